"""The first screen says honestly whether there is a difference, in whom, and how sure it is."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from gansfer.report.page.answers import (
    answer_sentence,
    answers,
    how_picked,
    pick_sentence,
    picks,
)
from gansfer.report.page.result_sections import facts
from gansfer.report.tables.comparisons import young_and_old
from gansfer.report.tables.methods import methods_table
from gansfer.report.tables.results import Meta, Results, compute

AUGMENTED = {1: "ratio-2to1", 6: "ratio-2to1"}


@pytest.fixture(scope="module")
def results(
    metrics: pd.DataFrame, expected: pd.DataFrame, meta: Meta, labelled: pd.DataFrame
) -> Results:
    """At N = 6 the gain is 0 in the young of the cohort, with noise; elsewhere as it was."""
    noise = np.random.default_rng(0).normal(0, 1e-3, len(metrics))
    none = metrics["arm"].str.startswith("ratio") & (metrics["labels"] == 6)
    none &= (metrics["set"] == "cohort") & (metrics["age_years"] < 60)
    gain = {"ratio-2to1": 0.01, "ratio-10to1": 0.005}
    value = metrics["value"] - none * metrics["arm"].map(gain).fillna(0.0)
    return compute(metrics.assign(value=value + noise), expected, meta, labelled)


def test_every_gain_has_its_interval_and_a_verdict(results: Results, meta: Meta) -> None:
    cards = {card.title: card for card in answers(results, meta)}
    assert {title: card.note for title, card in cards.items()} == {
        "All test subjects": "n = 12",
        "Cohort": "n = 24",
        "Cohort, under 60 years": "n = 13",
        "Cohort, 60 years and older": "n = 11",
    }
    for card in cards.values():
        assert [row.name for row in card.rows] == ["N = 1", "N = 6"]
        assert all(" to " in row.interval and row.verdict for row in card.rows)
    first = cards["All test subjects"].rows[0]
    assert (first.gain, first.verdict, first.kind) == ("+0.040", "better", "better")
    young = cards["Cohort, under 60 years"].rows[1]
    assert (young.verdict, young.kind) == ("no difference shown", "")
    assert cards["Cohort, 60 years and older"].rows[1].verdict == "better"


def test_no_fact_at_the_top_is_a_gain_without_its_interval(results: Results, meta: Meta) -> None:
    shown = facts(results, meta)
    assert [fact.name for fact in shown] == ["Test subjects", "Cohort subjects", "Computing time"]
    assert not any(fact.value.startswith(("+", "\N{MINUS SIGN}")) for fact in shown)


def test_worse_is_said_and_too_few_subjects_are_not_taken_for_no_difference(
    results: Results, meta: Meta
) -> None:
    table = results.fair.baseline_and_augmented
    first = table["labels"] == 1
    worse = table.assign(difference=table["difference"].mask(first, -0.02))
    few = worse.assign(n_subjects=4, p_wilcoxon_holm=worse["p_wilcoxon_holm"].mask(~first, 0.25))
    rows = answers(replace(results, fair=replace(results.fair, baseline_and_augmented=few)), meta)[
        0
    ].rows
    assert (rows[0].verdict, rows[0].kind) == ("worse", "worse")
    assert rows[1].verdict == "too few subjects to show any"


def test_the_first_sentence_answers_for_the_cohort_too(results: Results, meta: Meta) -> None:
    table = results.fair.cohort_baseline_and_augmented
    for difference, p, said in ((0.02, 1e-3, "better"), (-0.02, 1e-3, "worse"), (0.02, 0.06, "no")):
        told = table.assign(difference=difference, p_wilcoxon_holm=p)
        fair = replace(results.fair, cohort_baseline_and_augmented=told)
        cohort = answer_sentence(replace(results, fair=fair), meta).rpartition(" Cohort: ")[2]
        assert cohort.startswith(said) and cohort.count(" at N = ") == 1
    fair = replace(results.fair, cohort_baseline_and_augmented=table.iloc[:0])
    assert "Cohort" not in answer_sentence(replace(results, fair=fair), meta)


def test_young_and_old_are_tested_each_on_their_own(metrics: pd.DataFrame) -> None:
    shifted = metrics["value"].mask(
        metrics["arm"].eq("ratio-2to1") & (metrics["age_years"] >= 60), metrics["value"] + 0.1
    )
    noise = np.random.default_rng(0).normal(0, 1e-4, len(metrics))
    table = young_and_old(metrics.assign(value=shifted + noise), AUGMENTED, seed=0)
    by_cell = table.set_index(["ages", "labels"])
    assert by_cell.loc[("under 60 years", 1), "difference"] == pytest.approx(0.04, abs=1e-3)
    assert by_cell.loc[("60 years and older", 1), "difference"] == pytest.approx(0.14, abs=1e-3)
    assert by_cell["n_subjects"].tolist() == [13, 13, 11, 11]
    assert set(table["structure"]) == {"overall"}
    p = by_cell.loc["60 years and older"]
    assert p["p_wilcoxon_holm"].max() == pytest.approx(2 * p["p_wilcoxon"].min())


def test_with_nothing_measured_nothing_is_answered(
    metrics: pd.DataFrame, expected: pd.DataFrame, meta: Meta, labelled: pd.DataFrame
) -> None:
    nothing = compute(metrics.iloc[:0], expected, meta, labelled)
    assert answers(nothing, meta) == []
    assert answer_sentence(nothing, meta).endswith("better? Nothing to compare yet.")


@pytest.fixture(scope="module")
def with_rivals(
    metrics_with_rivals: pd.DataFrame,
    expected_with_rivals: pd.DataFrame,
    meta: Meta,
    labelled: pd.DataFrame,
) -> Results:
    return compute(metrics_with_rivals, expected_with_rivals, meta, labelled)


def test_where_a_rival_is_the_highest_the_first_screen_says_so(
    with_rivals: Results, meta: Meta
) -> None:
    said = (
        "classical augmentation at N = 1 (a rival, better than GANsfer alone); GANsfer at N = 6 "
        "(better than self-training)."
    )
    assert pick_sentence(with_rivals, meta) == f"What to pick? Test subjects: {said} Cohort: {said}"
    test, cohort = picks(with_rivals, meta)
    assert (test.title, test.note) == ("What to pick, test subjects", "n = 12")
    assert (cohort.title, cohort.note) == ("What to pick, cohort", "n = 24")
    assert [(row.name, row.gain, row.verdict) for row in test.rows] == [
        ("N = 1", "Classical augmentation", "highest of 6"),
        ("over baseline", "+0.059", "better"),
        ("over GANsfer", "+0.020", "better"),
        ("N = 6", "GANsfer", "highest of 6"),
        ("over baseline", "+0.009", "better"),
        ("over best rival", "+0.006", "better"),
    ]
    assert test.rows[-1].interval == "+0.004 to +0.007, Self-training"
    assert all(" to " in row.interval for row in test.rows if row.gain.startswith("+"))
    assert cohort.rows[0].verdict == "highest of 6"  # propagation, on fewer subjects, is in neither


def test_propagation_on_fewer_subjects_is_told_where_it_is_above(
    with_rivals: Results, meta: Meta
) -> None:
    text = how_picked(with_rivals, meta)
    assert "above GANsfer at N = 1: +0.040, " in text
    assert "too few subjects to show any, n = 4." in text
    assert "N = 6" not in text and "favours it" in text


def _of_test(results: Results, **changed: object) -> Results:
    """The results with other numbers of the highest method at N = 1."""
    table = results.methods
    rows = table["highest"].eq(True) & table["labels"].eq(1) & table["scope"].eq("test")
    for column, value in changed.items():
        table = table.assign(**{column: table[column].mask(rows, value)})
    return replace(results, methods=table)


@pytest.mark.parametrize(
    ("changed", "first", "card"),
    [
        ({"p_wilcoxon_holm": 0.4}, "none is shown to be better", "no difference shown"),
        (
            {"p_wilcoxon_holm": 0.4, "n_subjects": 4},
            "too few subjects to show any better",
            "too few subjects to show any",
        ),
    ],
)
def test_a_highest_mean_that_is_not_shown_is_no_winner(
    with_rivals: Results, meta: Meta, changed: dict[str, object], first: str, card: str
) -> None:
    unsure = _of_test(with_rivals, **changed)
    sentence = pick_sentence(unsure, meta).partition(" Cohort")[0]
    said = f"Test subjects: {first} than the baseline at N = 1; GANsfer at N = 6"
    assert sentence.startswith(f"What to pick? {said}")
    rows = picks(unsure, meta)[0].rows
    assert [(row.verdict, row.kind) for row in rows[1:3]] == [(card, "")] * 2


def test_what_is_not_shown_between_gansfer_and_a_rival_is_not_said(
    with_rivals: Results, meta: Meta
) -> None:
    table = with_rivals.methods
    beside = table["against"].eq("gansfer")
    unsure = table.assign(p_wilcoxon_holm=table["p_wilcoxon_holm"].mask(beside, 0.4))
    sentence = pick_sentence(replace(with_rivals, methods=unsure), meta)
    assert "(a rival, against GANsfer no difference shown)" in sentence
    assert "GANsfer at N = 6 (against self-training no difference shown)" in sentence


def test_what_is_not_there_is_not_picked_and_not_passed_over(
    metrics_with_rivals: pd.DataFrame,
    expected_with_rivals: pd.DataFrame,
    with_rivals: Results,
    meta: Meta,
) -> None:
    first = metrics_with_rivals["labels"].eq(1) & metrics_with_rivals["set"].eq("test")
    for arm, name, wanted in (
        ("baseline", "not all there at N = 1", ("", "5 of 6 methods are there")),
        ("ratio-2to1", "augmentation at N = 1 (a rival);", ("", "GANsfer is not all there")),
    ):
        hole = first & metrics_with_rivals["arm"].eq(arm) & metrics_with_rivals["fold"].eq(0)
        choice = with_rivals.fair.choice
        left = metrics_with_rivals[~hole]
        table = methods_table(left, expected_with_rivals, choice, None, with_rivals.seed)
        holed = replace(with_rivals, methods=table)
        assert name in pick_sentence(holed, meta)
        assert wanted in [(row.gain, row.verdict) for row in picks(holed, meta)[0].rows]


def test_where_nothing_is_above_the_baseline_it_is_to_be_picked(
    metrics_with_rivals: pd.DataFrame,
    expected_with_rivals: pd.DataFrame,
    with_rivals: Results,
    meta: Meta,
) -> None:
    others = metrics_with_rivals["arm"].ne("baseline") & metrics_with_rivals["set"].eq("test")
    worse = metrics_with_rivals.assign(value=metrics_with_rivals["value"] - 0.2 * others)
    table = methods_table(worse, expected_with_rivals, with_rivals.fair.choice, None, 0)
    beaten = replace(with_rivals, methods=table)
    assert "Test subjects: no method is above the baseline at N = 1, 6." in pick_sentence(
        beaten, meta
    )
    rows = picks(beaten, meta)[0].rows
    assert [(row.name, row.gain) for row in rows[:2]] == [
        ("N = 1", "Baseline"),
        ("over GANsfer", "+0.161"),
    ]


def test_without_rivals_there_is_nothing_to_pick(results: Results, meta: Meta) -> None:
    assert (pick_sentence(results, meta), picks(results, meta)) == ("", [])
    assert how_picked(results, meta) == ""

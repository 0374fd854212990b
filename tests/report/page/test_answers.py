"""The first screen says honestly whether there is a difference, in whom, and how sure it is."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from gansfer.report.page.answers import answer_sentence, answers
from gansfer.report.page.result_sections import facts
from gansfer.report.tables.comparisons import young_and_old
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

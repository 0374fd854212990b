"""The ratio that stands for augmentation: the paper's way, and without the test subjects."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from gansfer.report.page.best_section import best_section
from gansfer.report.page.page import Image, Table
from gansfer.report.page.result_sections import key_section
from gansfer.report.tables.arm_names import BY_FOLD
from gansfer.report.tables.comparisons import against_baseline
from gansfer.report.tables.ratio_choice import (
    best_on_test,
    best_ratio_arms,
    choice_table,
    ratio_by_rule,
    with_chosen,
    without_test_subjects,
)
from gansfer.report.tables.results import BEST_FOLDER, Meta, Results, compute

RULE = {1: "2:1", 6: "10:1", 12: "100:1"}
LUCK = 0.3


@pytest.fixture(scope="module")
def lucky(metrics: pd.DataFrame) -> pd.DataFrame:
    """At N = 1 the subjects of fold 0, and they alone, do far better with 10:1 than with 2:1."""
    chosen = (metrics["arm"] == "ratio-10to1") & (metrics["labels"] == 1)
    chosen &= (metrics["fold"] == 0) & (metrics["metric"] == "dsc") & (metrics["set"] == "test")
    return metrics.assign(value=metrics["value"] + LUCK * chosen)


@pytest.fixture(scope="module")
def results(
    lucky: pd.DataFrame, expected: pd.DataFrame, meta: Meta, labelled: pd.DataFrame
) -> Results:
    noise = np.random.default_rng(0).normal(0, 1e-4, len(lucky))
    return compute(lucky.assign(value=lucky["value"] + noise), expected, meta, labelled)


def test_best_ratio_is_chosen_on_common_subjects(metrics: pd.DataFrame) -> None:
    assert best_ratio_arms(metrics) == {1: "ratio-2to1", 6: "ratio-2to1"}
    # 10:1 is left with its easiest subject alone: its mean is the highest, yet it is not the best.
    low = metrics["value"].where(metrics["subject"] == "L00", metrics["value"] - 0.2)
    metrics = metrics.assign(value=low)
    lucky = (metrics["arm"] != "ratio-10to1") | (metrics["subject"] == "L00")
    assert best_ratio_arms(metrics[lucky])[1] == "ratio-2to1"


def test_a_fixed_ratio_can_be_asked_for(metrics: pd.DataFrame) -> None:
    assert best_ratio_arms(metrics, "10:1") == {1: "ratio-10to1", 6: "ratio-10to1"}
    assert best_ratio_arms(metrics, "5:1") == {}


def test_a_fold_does_not_choose_the_ratio_that_its_own_subjects_like(
    lucky: pd.DataFrame, expected: pd.DataFrame
) -> None:
    assert best_on_test(lucky, expected).test == {1: "ratio-10to1", 6: "ratio-2to1"}
    fair = without_test_subjects(lucky, expected, RULE)
    of_1 = {fold: arm for (labels, fold), arm in fair.by_fold.items() if labels == 1}
    assert of_1 == {0: "ratio-2to1", 1: "ratio-10to1", 2: "ratio-10to1"}
    assert fair.test == {1: BY_FOLD, 6: "ratio-2to1"}
    assert fair.title(1) == "10:1 in 2 folds, 2:1 in 1 fold"
    assert fair.title(6) == "2:1"


@pytest.mark.parametrize("fold", [0, 1, 2])
def test_no_value_of_a_folds_test_subjects_changes_its_choice(
    metrics: pd.DataFrame, expected: pd.DataFrame, fold: int
) -> None:
    drawn = np.random.default_rng(fold).uniform(0, 1, len(metrics))
    own = (metrics["fold"] == fold) & (metrics["set"] == "test")
    scrambled = metrics.assign(value=metrics["value"].mask(own, drawn))
    before, after = (
        without_test_subjects(table, expected, RULE).by_fold for table in (metrics, scrambled)
    )
    assert len(before) == 6
    for labels in (1, 6):
        assert before[labels, fold] == after[labels, fold]


def test_each_folds_subjects_are_measured_with_their_own_folds_ratio(
    lucky: pd.DataFrame, expected: pd.DataFrame
) -> None:
    fair = without_test_subjects(lucky, expected, RULE)
    table = against_baseline(with_chosen(lucky, fair), fair.test, "test", seed=0)
    row = table[(table["structure"] == "overall") & (table["labels"] == 1)].iloc[0]
    # Four subjects of fold 0 with 2:1 gain 0.04; the other eight, with 10:1, half of that.
    assert row["difference"] == pytest.approx((4 * 0.04 + 8 * 0.02) / 12)
    assert (row["n_subjects"], row["arm"]) == (12, BY_FOLD)


def test_one_fold_alone_keeps_to_the_rule_whatever_was_measured(
    metrics: pd.DataFrame, expected: pd.DataFrame
) -> None:
    one, planned = metrics[metrics["fold"] == 2], expected[expected["fold"] == 2]
    assert best_on_test(one, planned).test == {1: "ratio-2to1", 6: "ratio-2to1"}
    fair = without_test_subjects(one, planned, RULE)
    assert fair.test == fair.cohort == {1: "ratio-2to1", 6: "ratio-10to1"}
    # The rule's ratio is planned but not there: no other stands for it.
    there = one[(one["arm"] != "ratio-10to1") | (one["labels"] != 6)]
    assert without_test_subjects(there, planned, RULE).test == {1: "ratio-2to1"}


@pytest.mark.parametrize(
    ("labels", "wanted"),
    [(1, "2to1"), (3, "2to1"), (5, "2to1"), (6, "10to1"), (11, "10to1"), (12, "100to1")],
)
def test_the_rule_holds_from_a_label_count_on(labels: int, wanted: str) -> None:
    planned = [f"ratio-{ratio}" for ratio in ("100to1", "10to1", "2to1", "1to1")]
    assert ratio_by_rule(labels, planned, RULE) == f"ratio-{wanted}"


def test_the_nearest_planned_ratio_is_taken_for_one_that_is_not() -> None:
    assert ratio_by_rule(6, ["ratio-1to1", "ratio-4to1", "ratio-50to1"], RULE) == "ratio-4to1"


def test_the_cohort_takes_the_analysis_folds_ratio(
    lucky: pd.DataFrame, expected: pd.DataFrame
) -> None:
    fair = without_test_subjects(lucky, expected, RULE)
    assert fair.cohort == {1: "ratio-10to1", 6: "ratio-2to1"}  # fold 2
    moved = lucky.assign(fold=lucky["fold"].mask(lucky["set"] == "cohort", 0))
    assert without_test_subjects(moved, expected, RULE).cohort[1] == "ratio-2to1"


def test_the_choices_are_written_side_by_side(lucky: pd.DataFrame, expected: pd.DataFrame) -> None:
    fair = without_test_subjects(lucky, expected, RULE)
    table = choice_table(fair, best_on_test(lucky, expected))
    assert list(table) == ["labels", "fold", "without_test_subjects", "best_on_test"]
    rows = table.to_numpy().tolist()
    assert rows[0] == [1, 0, "ratio-2to1", "ratio-10to1"]
    assert rows[-1] == [6, 2, "ratio-2to1", "ratio-2to1"]
    assert len(rows) == 6


def test_the_page_leads_with_the_fair_choice_and_has_the_papers_beside(
    results: Results, meta: Meta
) -> None:
    section = key_section(results, meta, {})
    key, choices, _ = section.parts
    assert isinstance(key, Table) and isinstance(choices, Table)
    cells = dict(zip(key.headers, key.rows[0], strict=True))
    assert cells["Augmented"].note == "10:1 in 2 folds\n2:1 in 1 fold"
    assert cells["Difference"].text == "+0.027"
    assert cells["Best on test"].note.startswith("10:1, +0.120\n+")
    assert [cell.text for cell in choices.rows[0]] == ["N = 1", "2:1", "10:1", "10:1", "10:1"]
    assert "no subject chooses the ratio" in section.text[0]


def test_all_that_depends_on_the_choice_is_there_in_the_papers_way_too(
    results: Results, meta: Meta, tmp_path: Path
) -> None:
    boxes = tmp_path / "boxes.png"
    section = best_section(results, meta, {f"{BEST_FOLDER}/boxes": boxes, "per_structure": boxes})
    assert section is not None
    tables = [part for part in section.parts if isinstance(part, Table)]
    assert {Path(table.csv).stem for table in tables} == {
        "baseline_and_augmented",
        "pairs",
        "cohort_baseline_and_augmented",
        "cohort_by_age",
        "cohort_by_cdr",
        "table_ii",
        "volume_agreement",
        "surface_distances",
    }
    own = {table.csv for table in tables} - {"tables/surface_distances.csv"}
    assert all(Path(csv).parent == Path("tables", BEST_FOLDER) for csv in own)
    (image,) = [part for part in section.parts if isinstance(part, Image)]
    assert image.pdf == f"figures/{BEST_FOLDER}/boxes.pdf"
    assert tables[0].rows[0][3].text == "+0.120"


def test_where_both_choose_the_same_nothing_is_said_twice(results: Results, meta: Meta) -> None:
    same = replace(results, best=None)
    assert best_section(same, meta, {}) is None
    assert "here it chooses the same" in key_section(same, meta, {}).text[0]


def test_a_ratio_that_the_settings_fix_is_the_only_one(
    metrics: pd.DataFrame, expected: pd.DataFrame, meta: Meta, labelled: pd.DataFrame
) -> None:
    fixed = meta.copy()
    fixed["best_ratio"] = "10:1"
    test = metrics[metrics["set"] == "test"]
    results = compute(test, expected[expected["set"] == "test"], fixed, labelled)
    assert results.best is None
    assert results.fair.choice.test == {1: "ratio-10to1", 6: "ratio-10to1"}
    section = key_section(results, fixed, {})
    assert section.text == ["The augmented results take the ratio 10:1 throughout."]
    key = section.parts[0]
    assert isinstance(key, Table) and "Best on test" not in key.headers

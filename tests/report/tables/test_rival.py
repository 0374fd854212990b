from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from gansfer.report.figures.rival_figure import rival_figure
from gansfer.report.page.page import Table
from gansfer.report.page.rival_section import rival_section
from gansfer.report.tables.arm_names import arm_order, arm_title
from gansfer.report.tables.completeness import missing_cells, missing_in_words
from gansfer.report.tables.results import Meta, compute
from gansfer.report.tables.rival import rival_table
from gansfer.structures import PAPER_STRUCTURES

FOLD = 1
ABOVE_BASELINE = {1: 0.03, 6: -0.01}


@pytest.fixture(scope="module")
def with_rival(metrics: pd.DataFrame) -> pd.DataFrame:
    """Propagation is better than the baseline by a known amount in everybody of one fold."""
    base = metrics[(metrics["arm"] == "baseline") & (metrics["set"] == "test")]
    base = base[(base["fold"] == FOLD) & (base["metric"] == "dsc")]
    value = base["value"] + base["labels"].map(ABOVE_BASELINE)
    return pd.concat([metrics, base.assign(arm="propagation", value=value)], ignore_index=True)


@pytest.fixture(scope="module")
def table(with_rival: pd.DataFrame) -> pd.DataFrame:
    return rival_table(with_rival, {(1, FOLD): "ratio-2to1", (6, FOLD): "ratio-2to1"})


def test_the_same_subjects_are_compared(table: pd.DataFrame, metrics: pd.DataFrame) -> None:
    overall = table[table["structure"] == "overall"].set_index("labels")
    assert overall["difference"].to_dict() == pytest.approx(ABOVE_BASELINE)
    assert overall["higher"].to_dict() == {1: 4, 6: 0}
    assert set(overall["n_subjects"]) == {4} and set(overall["fold"]) == {FOLD}
    here = metrics[(metrics["fold"] == FOLD) & (metrics["set"] == "test")]
    here = here[(here["structure"] == "overall") & (here["metric"] == "dsc")]
    for source, arm in (("baseline", "baseline"), ("augmented", "ratio-2to1")):
        wanted = here[here["arm"] == arm].groupby("labels")["value"].mean()
        assert overall[source].to_dict() == pytest.approx(wanted.to_dict())


def test_a_subject_without_one_of_both_is_left_out(with_rival: pd.DataFrame) -> None:
    lost = (with_rival["arm"] == "baseline") & (with_rival["subject"] == "L05")
    table = rival_table(with_rival[~lost], {})
    assert set(table["n_subjects"]) == {3}
    assert table["augmented"].isna().all()


def test_an_augmented_arm_on_other_subjects_has_no_mean(with_rival: pd.DataFrame) -> None:
    lost = (with_rival["arm"] == "ratio-2to1") & (with_rival["subject"] == "L05")
    table = rival_table(with_rival[~lost], {(1, FOLD): "ratio-2to1", (6, FOLD): "ratio-2to1"})
    assert table["augmented"].isna().all() and table["baseline"].notna().all()


def test_the_section_has_a_row_for_each_method_and_the_papers_numbers(table: pd.DataFrame) -> None:
    section = rival_section(table, {})
    assert section is not None and f"fold {FOLD}" in section.text[0]
    (shown,) = section.parts
    assert isinstance(shown, Table)
    rows = {row[0].text: row[1:] for row in shown.rows}
    assert list(rows) == [
        "DeepMedic, baseline",
        "DeepMedic, with synthetic",
        "Propagation",
        "Propagation minus baseline",
    ]
    assert [cell.note for cell in rows["Propagation"]] == [
        "paper 0.80 (MALPEM)",
        "paper 0.92 (MALPEM)",
    ]
    assert [cell.note for cell in rows["Propagation minus baseline"]] == [
        "higher in 4 of 4",
        "higher in 0 of 4",
    ]


def test_without_propagation_there_is_no_section(metrics: pd.DataFrame) -> None:
    assert rival_section(rival_table(metrics, {}), {}) is None


def test_the_figure_is_wide_enough_for_its_legend(tmp_path: Path, table: pd.DataFrame) -> None:
    one = table[table["labels"] == 1]
    rival_figure(tmp_path / "rival.png", one, PAPER_STRUCTURES)
    pixels = np.asarray(Image.open(tmp_path / "rival.png").convert("L"))
    assert (pixels[:60, :4] == 255).all() and (pixels[:60, -4:] == 255).all()
    assert (tmp_path / "rival.pdf").exists()


def test_the_other_results_are_as_without_it(
    metrics: pd.DataFrame,
    with_rival: pd.DataFrame,
    expected: pd.DataFrame,
    meta: Meta,
    labelled: pd.DataFrame,
) -> None:
    one, other = (compute(each, expected, meta, labelled) for each in (metrics, with_rival))
    pd.testing.assert_frame_equal(one.ablation, other.ablation)
    for name in ("baseline_and_augmented", "pairs", "table_ii", "cohort_by_age"):
        pd.testing.assert_frame_equal(getattr(one.fair, name), getattr(other.fair, name))


def test_a_planned_rival_that_is_absent_is_missing(
    metrics: pd.DataFrame, expected: pd.DataFrame
) -> None:
    cell = {"seed": 0, "fold": FOLD, "labels": 6, "arm": "propagation", "set": "test"}
    planned = pd.concat([expected, pd.DataFrame([cell])], ignore_index=True)
    words = missing_in_words(missing_cells(metrics, planned))
    assert words == [f"N = 6 Propagation, fold {FOLD}"]


def test_its_place_is_after_the_arms_of_the_grid() -> None:
    arms = ["p1", "propagation", "synthetic", "ratio-1to1", "baseline"]
    assert sorted(arms, key=arm_order) == ["baseline", "ratio-1to1", "synthetic", *arms[1::-1]]
    assert arm_title("propagation") == "Propagation"

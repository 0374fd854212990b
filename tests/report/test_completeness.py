from __future__ import annotations

import pandas as pd

from gansfer.report.completeness import completeness_line, missing_cells, missing_in_words


def _state(metrics: pd.DataFrame, expected: pd.DataFrame) -> str:
    return completeness_line(missing_cells(metrics, expected), expected)


def test_a_whole_grid_is_complete(metrics: pd.DataFrame, expected: pd.DataFrame) -> None:
    assert _state(metrics, expected) == "Complete: all 38 planned results are here."


def test_missing_cells_are_named(metrics: pd.DataFrame, expected: pd.DataFrame) -> None:
    test = metrics["set"] == "test"
    hole = test & (metrics["arm"] == "ratio-2to1") & (metrics["labels"] == 6)
    hole &= metrics["fold"].isin([0, 2])
    hole |= (metrics["set"] == "cohort") & (metrics["arm"] == "baseline") & (metrics["labels"] == 1)
    assert _state(metrics[~hole], expected) == (
        "Incomplete: 3 of 38 planned results are missing: N = 1 Baseline on the cohort, fold 2; "
        "N = 6 2:1, folds 0, 2. Every number below is from what is there."
    )


def test_a_cell_that_lost_subjects_is_incomplete(
    metrics: pd.DataFrame, expected: pd.DataFrame
) -> None:
    lost = (
        (metrics["subject"] == "L05") & (metrics["arm"] == "synthetic") & (metrics["labels"] == 1)
    )
    missing = missing_cells(metrics[~lost], expected)
    assert missing_in_words(missing) == ["N = 1 Synthetic only, fold 1 (3 of 4 subjects)"]
    of_seed = "N = 1 Synthetic only, fold 1 of seed 0 (3 of 4 subjects)"
    assert missing_in_words(missing, n_seeds=2) == [of_seed]


def test_nothing_yet(metrics: pd.DataFrame, expected: pd.DataFrame) -> None:
    state = _state(metrics.iloc[:0], expected)
    assert state == "Incomplete: nothing of the 38 planned results is here yet."


def test_seeds_and_unchosen_folds(metrics: pd.DataFrame, expected: pd.DataFrame) -> None:
    more = expected[expected["set"] == "cohort"].assign(seed=3, fold=-1)
    more = more[(more["arm"] == "baseline") & (more["labels"] == 1)]
    missing = missing_cells(metrics, pd.concat([expected, more]))
    words = "N = 1 Baseline on the cohort, fold not chosen yet of seed 3"
    assert missing_in_words(missing) == [words]


def test_a_cohort_without_references_counts_as_measured(
    metrics: pd.DataFrame, expected: pd.DataFrame
) -> None:
    volumes_alone = (metrics["set"] == "test") | (metrics["metric"] == "volume_mm3")
    assert _state(metrics[volumes_alone], expected).startswith("Complete")

from __future__ import annotations

import pandas as pd

from gansfer.report.tables.completeness import (
    completeness_line,
    missing_cells,
    missing_files,
    missing_in_words,
)


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


def test_what_is_stale_is_said_to_be_with_its_cause(
    metrics: pd.DataFrame, expected: pd.DataFrame
) -> None:
    cause = "gan.phase_3.images was 24, is 40"
    stale = expected.assign(stale=expected["arm"].map(lambda arm: cause * (arm == "ratio-2to1")))
    there = metrics[metrics["arm"] != "ratio-2to1"]
    words = missing_in_words(missing_cells(there, stale))
    assert words[0] == f"N = 1 2:1 on the cohort, fold 2 (stale: {cause})"
    assert missing_in_words(missing_cells(there, expected))[0] == "N = 1 2:1 on the cohort, fold 2"
    assert _state(metrics.iloc[:0], stale) == (
        "Incomplete: nothing of the 38 planned results is of the current settings; 8 are stale: "
        f"{cause}."
    )


def test_a_missing_picture_makes_a_report_incomplete(
    metrics: pd.DataFrame, expected: pd.DataFrame
) -> None:
    names = ("latents.png", "embedding.png", "quality.csv")
    rows = [(0, fold, 1, 0, name, True) for fold in range(3) for name in names]
    files = pd.DataFrame(rows, columns=["seed", "fold", "labels", "group", "file", "there"])
    missing = missing_cells(metrics, expected)
    assert missing_files(files) == []
    assert completeness_line(missing, expected, files).startswith("Complete")
    files.loc[files["file"].str.endswith(".png"), "there"] = False
    files.loc[files["file"].eq("quality.csv") & files["fold"].eq(2), "there"] = False
    assert completeness_line(missing, expected, files) == (
        "Incomplete: all 38 planned results are here, but not all pictures and measures of slices. "
        "Also missing of the generated slices: latents.png, embedding.png of 3 of 3 GANs; "
        "quality.csv of 1 of 3 GANs. Every number below is from what is there."
    )

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from gansfer.errors import UserError
from gansfer.report.tables import dice as tables
from gansfer.structures import PAPER_STRUCTURES


def _cell(table: pd.DataFrame, labels: int, arm: str) -> pd.Series:
    return table[(table["labels"] == labels) & (table["arm"] == arm)].iloc[0]


def test_means_by_ratio_are_over_subjects(metrics: pd.DataFrame, expected: pd.DataFrame) -> None:
    table = tables.dsc_by_ratio(metrics, expected)
    row = _cell(table, 1, "ratio-2to1")
    effects = -0.002 * np.arange(12)
    assert row["mean_dsc"] == pytest.approx(0.80 + 0.04 + effects.mean())
    assert row["sd_dsc"] == pytest.approx(effects.std(ddof=1))
    assert (row["n_subjects"], row["cells"], row["cells_expected"]) == (12, 3, 3)
    assert list(table["arm"][:4]) == ["baseline", "ratio-10to1", "ratio-2to1", "synthetic"]


def test_holes_show_in_n_and_cells(metrics: pd.DataFrame, expected: pd.DataFrame) -> None:
    hole = (metrics["arm"] == "ratio-2to1") & (metrics["labels"] == 1) & (metrics["fold"] == 1)
    gone = (metrics["arm"] == "synthetic") & (metrics["labels"] == 6)
    table = tables.dsc_by_ratio(metrics[~hole & ~gone], expected)
    row = _cell(table, 1, "ratio-2to1")
    assert (row["n_subjects"], row["n_planned"]) == (8, 12)
    assert (row["cells"], row["cells_expected"]) == (2, 3)
    assert np.isnan(row["mean_dsc"]) and np.isnan(row["sd_dsc"])
    nothing = _cell(table, 6, "synthetic")
    assert nothing["n_subjects"] == 0
    assert np.isnan(nothing["mean_dsc"])


def test_excluded_values_are_counted_and_not_averaged(
    metrics: pd.DataFrame, expected: pd.DataFrame
) -> None:
    empty = metrics.copy()
    chosen = (empty["subject"] == "L00") & (empty["metric"] == "dsc") & (empty["labels"] == 1)
    empty.loc[chosen & (empty["arm"] == "baseline"), "value"] = np.nan
    row = _cell(tables.dsc_by_ratio(empty, expected), 1, "baseline")
    assert (row["n_subjects"], row["n_excluded"]) == (11, 1)
    assert row["mean_dsc"] == pytest.approx(0.80 - 0.002 * np.arange(1, 12).mean())


def test_seeds_are_averaged_before_subjects(metrics: pd.DataFrame, expected: pd.DataFrame) -> None:
    again = metrics[metrics["subject"] == "L00"].assign(seed=1)
    again = again.assign(value=again["value"] + 0.02)
    both = pd.concat([metrics, again])
    row = _cell(tables.dsc_by_ratio(both, expected), 1, "baseline")
    effects = -0.002 * np.arange(12)
    effects[0] += 0.01
    assert row["n_subjects"] == 12
    assert row["mean_dsc"] == pytest.approx(0.80 + effects.mean())


def test_pairs_are_the_same_subjects(metrics: pd.DataFrame) -> None:
    lacking = (metrics["subject"] == "L03") & (metrics["arm"] == "ratio-2to1")
    excluded = (metrics["subject"] == "L04") & (metrics["arm"] == "baseline")
    metrics = metrics.assign(value=metrics["value"].mask(excluded))
    pairs = tables.paired_rows(metrics[~lacking], {1: "ratio-2to1"}, "test")
    overall = pairs[pairs["structure"] == "overall"]
    assert not {"L03", "L04"} & set(overall["subject"])
    assert len(overall) == 10
    assert overall["difference"].to_numpy() == pytest.approx(0.04)


def test_ablation_has_the_rows_of_table_i_with_the_papers_numbers(metrics: pd.DataFrame) -> None:
    table = tables.ablation_table(metrics, PAPER_STRUCTURES, fold=0, labels=1).set_index("arm")
    rows = ["baseline", "p1", "p1+", "p2", "p2+", "p3", "p3+", "synthetic", "ratio-2to1"]
    assert list(table.index) == rows
    own = 100 * (0.80 - 0.002 * np.arange(4).mean())  # fold 0 alone
    assert table.loc["baseline", "overall"] == pytest.approx(own)
    assert table.loc["ratio-2to1", "overall"] == pytest.approx(own + 4)
    assert table.loc["p1", "n_subjects"] == 4
    assert table.loc["ratio-2to1", "paper_hippocampus"] == 74
    assert table.loc["p2", "paper_overall"] == 79.7


def test_bands_of_age_and_cdr(metrics: pd.DataFrame) -> None:
    augmented = {1: "ratio-2to1"}
    by_age = tables.by_age(metrics, augmented, (20, 40, 100))
    overall = by_age[by_age["structure"] == "overall"].set_index("age_from")
    young = [i for i in range(24) if 22 + 3 * i < 40]
    assert overall.loc[20, "n_subjects"] == len(young)
    assert overall.loc[20, "age_to"] == 40
    assert overall.loc[20, "baseline"] == pytest.approx(0.80 - 0.002 * np.mean(young))
    by_cdr = tables.by_cdr(metrics, augmented)
    overall = by_cdr[by_cdr["structure"] == "overall"].set_index("cdr")
    assert overall["n_subjects"].to_dict() == {0.0: 8, 0.5: 8, 1.0: 8}
    assert overall["difference"].to_numpy() == pytest.approx(0.04)


def test_surface_distances_are_medians_that_a_miss_worsens(metrics: pd.DataFrame) -> None:
    missed = metrics.copy()
    here = (missed["metric"] == "hd95_mm") & (missed["structure"] == "caudate")
    missed.loc[here & (missed["subject"] == "L00"), "value"] = np.inf
    table = tables.surface_distances(missed)
    row = table[
        (table["metric"] == "hd95_mm")
        & (table["structure"] == "caudate")
        & (table["arm"] == "baseline")
        & (table["labels"] == 1)
    ].iloc[0]
    assert (row["n_subjects"], row["n_infinite"]) == (12, 1)
    distances = sorted([np.inf, *(10 * (0.20 + 0.002 * i) for i in range(1, 12))])
    assert row["median_mm"] in [pytest.approx(distances[5]), pytest.approx(distances[6])]


def test_a_distance_to_an_empty_reference_is_counted(metrics: pd.DataFrame) -> None:
    empty = metrics["metric"].isin(["hd95_mm", "asd_mm"])
    some = empty & (metrics["structure"] == "caudate") & (metrics["subject"] == "L00")
    every = empty & (metrics["structure"] == "putamen")
    table = tables.surface_distances(metrics.assign(value=metrics["value"].mask(some | every)))
    of = table[table["metric"] == "hd95_mm"].groupby("structure")
    assert set(of["n_subjects"].get_group("caudate")) == {4 * 2 + 3, 3}  # the ablation: one fold
    assert set(of["n_excluded"].get_group("caudate")) == {1}
    assert of["median_mm"].get_group("putamen").isna().all()


def test_a_missing_column_is_named(metrics: pd.DataFrame) -> None:
    with pytest.raises(UserError, match=r"metrics: no column arm; found seed, .* wanted seed"):
        tables.checked(metrics.drop(columns="arm"))
    assert tables.checked(pd.DataFrame()).empty

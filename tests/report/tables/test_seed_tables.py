from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from gansfer.report.figures.seed_figure import seed_figure
from gansfer.report.page.seed_section import seed_section
from gansfer.report.tables import dice as tables
from gansfer.report.tables import seed_tables
from gansfer.report.tables.completeness import missing_cells
from gansfer.report.tables.ratio_choice import best_ratio_arms
from gansfer.report.tables.results import Meta, compute

SHIFTS = (0.0, 0.01, 0.05)  # mean 0.02, sample's standard deviation sqrt(0.0007)


@pytest.fixture(scope="module")
def three_seeds(metrics: pd.DataFrame) -> pd.DataFrame:
    """The grid again from seeds 1 and 2; each moves every Dice by its shift."""
    of_dice = metrics["metric"] == "dsc"
    return pd.concat(
        metrics.assign(seed=seed, value=metrics["value"] + shift * of_dice)
        for seed, shift in enumerate(SHIFTS)
    )


@pytest.fixture(scope="module")
def planned(expected: pd.DataFrame) -> pd.DataFrame:
    return pd.concat(expected.assign(seed=seed) for seed in range(3))


def _spread(metrics: pd.DataFrame, planned: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    by_seed = seed_tables.dsc_by_seed(metrics, planned, missing_cells(metrics, planned))
    return by_seed, seed_tables.seed_spread(by_seed, planned).set_index(["labels", "arm"])


def test_mean_and_deviation_are_over_seeds_of_means_over_folds(
    three_seeds: pd.DataFrame, planned: pd.DataFrame
) -> None:
    # Fold 1 has lost two of its four subjects everywhere: a mean over folds is not one over people.
    few = three_seeds[~three_seeds["subject"].isin(["L06", "L07"])]
    by_seed, spread = _spread(few, planned)
    row = spread.loc[(1, "ratio-2to1"), :]
    folds = [0.84 - 0.002 * np.mean(effects) for effects in (range(4), (4, 5), range(8, 12))]
    assert row["mean_dsc"] == pytest.approx(np.mean(folds) + 0.02)
    assert row["sd_dsc"] == pytest.approx(np.sqrt(0.0007))
    assert row["highest_dsc"] - row["lowest_dsc"] == pytest.approx(0.05)
    counts = ["n_seeds", "n_seeds_planned", "n_folds", "n_subjects"]
    assert [row[count] for count in counts] == [3, 3, 3, 10]
    assert spread["n_folds"][(1, "p1")] == 1
    assert len(by_seed) == 3 * len(spread)


def test_a_seed_with_a_hole_is_left_out_and_one_alone_is_not_shown(
    three_seeds: pd.DataFrame, planned: pd.DataFrame
) -> None:
    here = (three_seeds["set"] == "test") & (three_seeds["labels"] == 6)
    of_arm = here & (three_seeds["arm"] == "synthetic") & (three_seeds["fold"] == 2)
    hole = of_arm & (three_seeds["seed"] == 2)
    subject = here & (three_seeds["arm"] == "ratio-2to1") & (three_seeds["subject"] == "L01")
    gone = hole | (subject & (three_seeds["seed"] > 0))
    _, spread = _spread(three_seeds[~gone], planned)
    row = spread.loc[(6, "synthetic"), :]
    assert (row["n_seeds"], row["n_seeds_planned"]) == (2, 3)
    assert row["mean_dsc"] == pytest.approx(0.86 - 0.011 - 0.004 + 0.005)
    assert (6, "ratio-2to1") not in spread.index
    assert (6, "baseline") in spread.index


def test_one_seed_has_no_spread(
    metrics: pd.DataFrame, expected: pd.DataFrame, meta: Meta, labelled: pd.DataFrame
) -> None:
    by_seed, spread = _spread(metrics, expected)
    assert len(by_seed) == 14
    assert spread.empty
    assert seed_section(compute(metrics.iloc[:0], expected, meta, labelled), {}) is None


def test_arms_are_compared_at_the_seeds_that_both_have(three_seeds: pd.DataFrame) -> None:
    # The ratio was not run from seed 2, in which every arm is 0.05 better.
    hole = (three_seeds["arm"] == "ratio-2to1") & (three_seeds["seed"] == 2)
    fewer = three_seeds[~hole]
    pairs = tables.paired_rows(fewer, {1: "ratio-2to1"}, "test")
    pairs = pairs[pairs["structure"] == "overall"]
    assert len(pairs) == 12
    assert pairs["difference"].to_numpy() == pytest.approx(0.04)
    effects = -0.002 * np.arange(12)
    assert pairs["baseline"].mean() == pytest.approx(0.80 + effects.mean() + 0.005)
    ablation = tables.ablation_table(fewer, (), fold=0, labels=1).set_index("arm")
    overall = ablation["overall"]
    assert overall["ratio-2to1"] - overall["baseline"] == pytest.approx(4)


def test_the_best_ratio_is_not_the_one_with_the_luckiest_seeds(three_seeds: pd.DataFrame) -> None:
    unlucky = (three_seeds["arm"] == "ratio-2to1") & (three_seeds["seed"] == 2)
    assert best_ratio_arms(three_seeds[~unlucky])[6] == "ratio-2to1"


def test_a_subject_without_a_common_seed_keeps_one_and_makes_no_pair() -> None:
    rows = pd.DataFrame(
        [("a", 0, "x"), ("a", 1, "y"), ("b", 0, "x"), ("b", 1, "x"), ("b", 1, "y")],
        columns=["subject", "seed", "arm"],
    )
    kept = seed_tables.at_equal_seeds(rows, ["arm"])
    assert kept.to_numpy().tolist() == [["a", 0, "x"], ["b", 1, "x"], ["b", 1, "y"]]


def test_the_picture_is_drawn(
    tmp_path: Path, three_seeds: pd.DataFrame, planned: pd.DataFrame
) -> None:
    by_seed, spread = _spread(three_seeds, planned)
    seed_figure(tmp_path / "seeds.png", by_seed, spread.reset_index())
    assert (tmp_path / "seeds.pdf").stat().st_size > 1000

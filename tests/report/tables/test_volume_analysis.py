from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from gansfer.evaluation.stratify import Stratification
from gansfer.report.tables import volume_analysis as volumes
from gansfer.structures import PAPER_STRUCTURES

AUGMENTED = {1: "ratio-2to1", 6: "ratio-2to1"}


def _table_ii(metrics: pd.DataFrame, folds: int = 4) -> pd.DataFrame:
    return volumes.table_ii(metrics, AUGMENTED, PAPER_STRUCTURES, folds, 3, 0.05, seed=1)


def test_separable_volumes_are_told_apart(metrics: pd.DataFrame) -> None:
    table = _table_ii(metrics)
    assert (table["percent"] == 100.0).all()
    assert set(zip(table["source"], table["labels"], strict=True)) == {
        ("baseline", 1),
        ("baseline", 6),
        ("augmented", 1),
        ("augmented", 6),
        ("reference", 0),
    }
    assert set(table["n_very_mild"]) == set(table["n_mild"]) == {8}
    # Equal to the reference in every split: no difference.
    assert set(table.loc[table["source"] != "reference", "mark"]) == {"\N{DAGGER}"}
    assert (table.loc[table["source"] == "augmented", "p_corrected"] == 1.0).all()


def test_both_tests_of_table_ii_are_given(
    metrics: pd.DataFrame, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Accuracies of 3 repeats x 2 folds, in the order in which the arms are asked for.
    base = np.array([[0.60, 0.62], [0.61, 0.63], [0.60, 0.66]])
    gain = np.array([[0.03, 0.01], [0.02, 0.03], [0.05, 0.01]])  # of repeats: .02, .025, .03
    given = iter([base, base + gain, base - gain])
    monkeypatch.setattr(
        volumes,
        "stratify",
        lambda *_, **__: Stratification(one := next(given), one, 8, 8),
    )
    only = metrics[metrics["labels"] == 1]
    table = volumes.table_ii(only, {1: "ratio-2to1"}, PAPER_STRUCTURES, 2, 3, 0.05, seed=1)
    rows = table[table["measure"] == "accuracy"].set_index("source")
    repeats = np.array([0.02, 0.025, 0.03])
    t_naive = repeats.mean() / (repeats.std(ddof=1) / np.sqrt(3))
    t_corrected = gain.mean() / np.sqrt(gain.var(ddof=1) * (1 / 6 + 1))
    augmented = rows.loc["augmented"]
    assert augmented["p_naive"] == pytest.approx(2 * stats.t.sf(t_naive, 2))
    assert augmented["p_corrected"] == pytest.approx(2 * stats.t.sf(t_corrected, 5))
    # Against the reference everything doubles; the naive test alone is convinced.
    assert augmented["p_reference_naive"] == pytest.approx(2 * stats.t.sf(t_naive, 2))
    assert (augmented["mark_naive"], augmented["mark"]) == ("*", "\N{DAGGER}")
    assert np.isnan(rows["p_naive"]["baseline"])


def test_a_subject_without_a_volume_leaves_every_arm(metrics: pd.DataFrame) -> None:
    lost = metrics.copy()
    here = (lost["set"] == "cohort") & (lost["metric"] == "volume_mm3") & (lost["subject"] == "U01")
    lost.loc[here & (lost["arm"] == "baseline") & (lost["labels"] == 6), "value"] = np.nan
    assert set(_table_ii(lost)["n_very_mild"]) == {7}


def test_too_few_subjects_give_no_table(metrics: pd.DataFrame) -> None:
    assert _table_ii(metrics, folds=9).empty
    assert _table_ii(metrics[metrics["set"] == "test"]).empty


def test_volume_agreement_is_measured_minus_reference(metrics: pd.DataFrame) -> None:
    table = volumes.volume_agreement(metrics, AUGMENTED)
    row = table[(table["structure"] == "accumbens") & (table["arm"] == "baseline")].iloc[0]
    errors = [-30.0 + ord(f"U{i:02d}"[-1]) % 5 for i in range(24)]
    assert row["bias_mm3"] == pytest.approx(np.mean(errors))
    assert row["high_mm3"] == pytest.approx(np.mean(errors) + 1.96 * np.std(errors, ddof=1))
    assert row["n_subjects"] == 24
    assert set(table["arm"]) == {"baseline", "ratio-2to1"}


@pytest.fixture(scope="module")
def emptied(metrics: pd.DataFrame) -> pd.DataFrame:
    """Three references lack the amygdala: U01 (CDR 0.5), U02 (CDR 1) and U03 (CDR 0)."""
    empty = metrics["metric"].eq("reference_volume_mm3") & metrics["structure"].eq("amygdala")
    empty &= metrics["subject"].isin(["U01", "U02", "U03"])
    return metrics.assign(value=metrics["value"].mask(empty, 0.0))


def test_an_empty_reference_is_counted_and_not_averaged_in(
    metrics: pd.DataFrame, emptied: pd.DataFrame
) -> None:
    before, after = (
        volumes.volume_agreement(table, AUGMENTED).set_index(["structure", "labels", "arm"])
        for table in (metrics, emptied)
    )
    row = after.loc[("amygdala", 1, "baseline"), :]
    assert (row["n_subjects"], row["n_empty"]) == (21, 3)
    errors = [-30.0 + (ord(f"U{i:02d}"[-1]) + 1) % 5 for i in range(24) if i not in (1, 2, 3)]
    assert row["bias_mm3"] == pytest.approx(np.mean(errors))
    assert row["reference_mm3"] > 1000
    others = [name for name in after.index if name[0] != "amygdala"]
    pd.testing.assert_frame_equal(after.loc[others], before.loc[others])
    assert set(before["n_empty"]) == {0}


def test_an_empty_reference_is_no_volume_of_table_ii(emptied: pd.DataFrame) -> None:
    table = _table_ii(emptied)
    assert set(table["n_very_mild"]) == set(table["n_mild"]) == {7}
    assert set(table["n_left_out"]) == {2}  # of those with CDR 0.5 or more

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from gansfer.evaluation.stratify import Stratification
from gansfer.report import comparisons
from gansfer.structures import PAPER_STRUCTURES

AUGMENTED = {1: "ratio-2to1", 6: "ratio-2to1"}


def _noisy(metrics: pd.DataFrame) -> pd.DataFrame:
    noise = 0.02 * np.random.default_rng(0).standard_normal(len(metrics))
    return metrics.assign(value=metrics["value"] + noise)


def test_differences_and_tests_against_the_baseline(metrics: pd.DataFrame) -> None:
    noisy = _noisy(metrics)
    table = comparisons.against_baseline(noisy, AUGMENTED, "test", seed=0)
    overall = table[table["structure"] == "overall"].set_index("labels")
    p_values = {}
    for labels in (1, 6):
        here = noisy[
            (noisy["labels"] == labels)
            & (noisy["set"] == "test")
            & (noisy["metric"] == "dsc")
            & (noisy["structure"] == "overall")
        ].pivot(index="subject", columns="arm", values="value")
        base, other = here["baseline"], here["ratio-2to1"]
        row = overall.loc[labels]
        assert row["difference"] == pytest.approx((other - base).mean())
        assert row["low"] < row["difference"] < row["high"]
        assert row["improved"] == (other > base).sum()
        assert row["p_t"] == pytest.approx(stats.ttest_rel(other, base).pvalue)
        p_values[labels] = stats.wilcoxon(other, base).pvalue
        assert row["p_wilcoxon"] == pytest.approx(p_values[labels])
    smaller, larger = sorted(p_values.values())
    by_size = overall.sort_values("p_wilcoxon")["p_wilcoxon_holm"].to_list()
    assert by_size == pytest.approx([2 * smaller, max(2 * smaller, larger)])


def test_every_pair_of_groups_is_tested_once(metrics: pd.DataFrame) -> None:
    groups = comparisons.overall_by_group(_noisy(metrics), AUGMENTED)
    assert list(groups) == [(1, False), (1, True), (6, False), (6, True)]
    pairs = comparisons.all_pairs(groups)
    names = {frozenset((a, b)) for a, b in zip(pairs["first"], pairs["second"], strict=True)}
    assert len(pairs) == len(names) == 6
    assert (pairs["n_subjects"] == 12).all()
    assert (pairs["p_wilcoxon_holm"] >= pairs["p_wilcoxon"]).all()


def test_brackets_are_the_largest_sets_without_a_difference() -> None:
    groups = [(1, False), (1, True), (6, False), (6, True)]
    p = {
        ("1", "1*"): 0.01,
        ("1", "6"): 0.01,
        ("1", "6*"): 0.01,
        ("1*", "6"): 0.2,
        ("1*", "6*"): 0.01,
        ("6", "6*"): 0.05,  # not below the level: no difference
    }
    pairs = pd.DataFrame(
        [{"first": a, "second": b, "p_wilcoxon_holm": value} for (a, b), value in p.items()]
    )
    found = comparisons.undecided_sets(groups, pairs, 0.05)
    assert found == [((1, True), (6, False)), ((6, False), (6, True))]
    everyone = pairs.assign(p_wilcoxon_holm=1.0)
    assert comparisons.undecided_sets(groups, everyone, 0.05) == [tuple(groups)]
    assert comparisons.undecided_sets(groups, pairs.assign(p_wilcoxon_holm=0.0), 0.05) == []


def _table_ii(metrics: pd.DataFrame, folds: int = 4) -> pd.DataFrame:
    return comparisons.table_ii(metrics, AUGMENTED, PAPER_STRUCTURES, folds, 3, 0.05, seed=1)


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
        comparisons,
        "stratify",
        lambda *_, **__: Stratification(one := next(given), one, 8, 8),
    )
    only = metrics[metrics["labels"] == 1]
    table = comparisons.table_ii(only, {1: "ratio-2to1"}, PAPER_STRUCTURES, 2, 3, 0.05, seed=1)
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
    assert np.isnan(rows.loc["baseline", "p_naive"])


def test_a_subject_without_a_volume_leaves_every_arm(metrics: pd.DataFrame) -> None:
    lost = metrics.copy()
    here = (lost["set"] == "cohort") & (lost["metric"] == "volume_mm3") & (lost["subject"] == "U01")
    lost.loc[here & (lost["arm"] == "baseline") & (lost["labels"] == 6), "value"] = np.nan
    assert set(_table_ii(lost)["n_very_mild"]) == {7}


def test_too_few_subjects_give_no_table(metrics: pd.DataFrame) -> None:
    assert _table_ii(metrics, folds=9).empty
    assert _table_ii(metrics[metrics["set"] == "test"]).empty


def test_volume_agreement_is_measured_minus_reference(metrics: pd.DataFrame) -> None:
    table = comparisons.volume_agreement(metrics, AUGMENTED)
    row = table[(table["structure"] == "accumbens") & (table["arm"] == "baseline")].iloc[0]
    errors = [-30.0 + ord(f"U{i:02d}"[-1]) % 5 for i in range(24)]
    assert row["bias_mm3"] == pytest.approx(np.mean(errors))
    assert row["high_mm3"] == pytest.approx(np.mean(errors) + 1.96 * np.std(errors, ddof=1))
    assert row["n_subjects"] == 24
    assert set(table["arm"]) == {"baseline", "ratio-2to1"}

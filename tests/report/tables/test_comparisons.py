from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from gansfer.report.tables import comparisons

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

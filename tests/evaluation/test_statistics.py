import math
from collections.abc import Callable

import numpy as np
import pytest
from scipy import stats

from gansfer.evaluation.statistics import (
    TestResult,
    bootstrap_mean,
    compare_pairs,
    corrected_resampled_t_test,
    holm,
    kernel_regression,
    paired_t_test,
    smallest_wilcoxon_p,
    wilcoxon_signed_rank,
)


def _pairs(n: int = 30, shift: float = 0.3, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    first_n = rng.normal(size=n)
    return first_n, first_n - shift + rng.normal(size=n)


def test_paired_t_equals_scipy() -> None:
    first_n, second_n = _pairs()
    ours, theirs = paired_t_test(first_n, second_n), stats.ttest_rel(first_n, second_n)
    assert ours.statistic == pytest.approx(theirs.statistic)
    assert ours.p_value == pytest.approx(theirs.pvalue)
    assert ours.mean_difference == pytest.approx((first_n - second_n).mean())


def test_wilcoxon_equals_scipy() -> None:
    first_n, second_n = _pairs()
    ours, theirs = wilcoxon_signed_rank(first_n, second_n), stats.wilcoxon(first_n, second_n)
    assert (ours.statistic, ours.p_value) == pytest.approx((theirs.statistic, theirs.pvalue))


@pytest.mark.parametrize("test", [paired_t_test, wilcoxon_signed_rank])
def test_pairs_with_a_hole_are_left_out(test: Callable[..., TestResult]) -> None:
    first_n, second_n = _pairs()
    whole = test(first_n[2:], second_n[2:])
    first_n[0] = second_n[1] = np.nan
    holed = test(first_n, second_n)
    assert holed.n == 28
    assert holed.p_value == whole.p_value


def test_equal_arms_are_not_different_and_constant_shifts_are() -> None:
    first_n = np.arange(8.0)
    for test in (paired_t_test, wilcoxon_signed_rank):
        assert test(first_n, first_n).p_value == 1.0
    shifted = paired_t_test(first_n, first_n + 1)
    assert (shifted.statistic, shifted.p_value) == (-math.inf, 0.0)


def test_too_few_pairs_have_no_p() -> None:
    assert math.isnan(paired_t_test(np.array([1.0]), np.array([2.0])).p_value)
    assert math.isnan(wilcoxon_signed_rank(np.array([]), np.array([])).p_value)
    with pytest.raises(ValueError, match=r"equal lengths, found \(2,\) and \(3,\)"):
        paired_t_test(np.zeros(2), np.zeros(3))


def test_corrected_t_by_hand() -> None:
    # mean 2, variance 1, J 3, ratio 1/4: t = 2 / sqrt(1/3 + 1/4)
    result = corrected_resampled_t_test(np.array([1.0, 2.0, 3.0]), np.zeros(3), 0.25)
    t = 2 / math.sqrt(1 / 3 + 1 / 4)
    assert result.statistic == pytest.approx(t)
    assert result.p_value == pytest.approx(2 * stats.t.sf(t, 2))


def test_correction_of_zero_is_the_plain_test_and_more_is_more_careful() -> None:
    first_n, second_n = _pairs()
    plain = paired_t_test(first_n, second_n)
    assert corrected_resampled_t_test(first_n, second_n, 0.0).p_value == pytest.approx(
        plain.p_value
    )
    assert corrected_resampled_t_test(first_n, second_n, 0.25).p_value > plain.p_value


def test_holm_by_hand() -> None:
    # sorted .01 .02 .03 .04 -> .04 .06 .06 .06
    assert holm([0.04, 0.01, 0.03, 0.02]) == pytest.approx([0.06, 0.04, 0.06, 0.06])
    assert holm([0.6, 0.7]) == [1.0, 1.0]
    assert holm([]) == []


def test_holm_does_not_count_tests_that_were_not_made() -> None:
    adjusted = holm([0.01, math.nan, 0.04])
    assert adjusted[0] == pytest.approx(0.02) and adjusted[2] == pytest.approx(0.04)
    assert math.isnan(adjusted[1])


def test_every_pair_is_compared_once_and_corrected_together() -> None:
    rng = np.random.default_rng(1)
    arms = {name: rng.normal(mean, 1, 20) for name, mean in (("a", 0), ("b", 1), ("c", 0.2))}
    pairs = compare_pairs(arms)
    assert [(pair.first, pair.second) for pair in pairs] == [("a", "b"), ("a", "c"), ("b", "c")]
    assert [pair.t_holm_p for pair in pairs] == holm([pair.t_test.p_value for pair in pairs])
    assert [p.wilcoxon_holm_p for p in pairs] == holm([p.wilcoxon.p_value for p in pairs])
    assert pairs[2].t_test == paired_t_test(arms["b"], arms["c"])


def test_kernel_regression_equals_a_slow_oracle() -> None:
    rng = np.random.default_rng(2)
    age_n, dsc_n = rng.uniform(18, 90, 40), rng.normal(0.8, 0.05, 40)
    age_g = np.array([20.0, 47.5, 88.0])
    curve = kernel_regression(age_n, dsc_n, age_g, 5.0, seed=0, n_resamples=200)
    for x, y in zip(age_g, curve.y_g, strict=True):
        weights = [math.exp(-0.5 * ((age - x) / 5.0) ** 2) for age in age_n]
        expected = sum(w * d for w, d in zip(weights, dsc_n, strict=True)) / sum(weights)
        assert y == pytest.approx(expected)
    assert (curve.low_g < curve.y_g).all() and (curve.y_g < curve.high_g).all()


def test_kernel_band_covers_as_resampling_one_by_one_does() -> None:
    rng = np.random.default_rng(3)
    x_n, y_n = rng.uniform(0, 10, 50), rng.normal(size=50)
    curve = kernel_regression(x_n, y_n, np.array([5.0]), 2.0, seed=0, n_resamples=4000)
    again = []
    for _ in range(4000):
        drawn = rng.integers(50, size=50)
        weights = np.exp(-0.5 * ((x_n[drawn] - 5.0) / 2.0) ** 2)
        again.append((weights * y_n[drawn]).sum() / weights.sum())
    low, high = np.percentile(again, [2.5, 97.5])
    assert curve.low_g[0] == pytest.approx(low, abs=0.03)
    assert curve.high_g[0] == pytest.approx(high, abs=0.03)


def test_kernel_regression_far_from_all_points_is_the_nearest_one() -> None:
    curve = kernel_regression(
        np.array([0.0, 1.0]), np.array([3.0, 4.0]), np.array([900.0]), 1, seed=0
    )
    assert curve.y_g.tolist() == [4.0]
    assert np.isfinite([curve.low_g, curve.high_g]).all()


def test_kernel_regression_leaves_out_holes_and_repeats_itself() -> None:
    x_n, y_n = np.array([0.0, np.nan, 2.0, 3.0]), np.array([1.0, 5.0, np.nan, 2.0])
    first, again = (kernel_regression(x_n, y_n, np.array([1.0]), 1.0, seed=4) for _ in range(2))
    assert first.n == 2
    assert first.low_g.tolist() == again.low_g.tolist()
    with pytest.raises(ValueError, match="0 points with bandwidth 1"):
        kernel_regression(np.array([np.nan]), np.array([1.0]), np.array([1.0]), 1.0, seed=0)
    with pytest.raises(ValueError, match="bandwidth 0"):
        kernel_regression(x_n, y_n, np.array([1.0]), 0.0, seed=0)


def test_bootstrap_mean_covers_about_1_96_standard_errors() -> None:
    value_n = np.random.default_rng(5).normal(2, 1, 200)
    interval = bootstrap_mean(value_n, seed=0)
    standard_error = value_n.std(ddof=1) / math.sqrt(200)
    assert interval.mean == pytest.approx(value_n.mean())
    assert interval.low == pytest.approx(value_n.mean() - 1.96 * standard_error, abs=0.02)
    assert interval.high == pytest.approx(value_n.mean() + 1.96 * standard_error, abs=0.02)


def test_bootstrap_mean_of_holes() -> None:
    interval = bootstrap_mean(np.array([2.0, np.nan, 2.0]), seed=0)
    assert (interval.mean, interval.low, interval.high) == (2.0, 2.0, 2.0)
    empty = bootstrap_mean(np.array([np.nan]), seed=0)
    assert np.isnan([empty.mean, empty.low, empty.high]).all()


@pytest.mark.parametrize("n", [1, 4, 6, 12])
def test_no_wilcoxon_p_is_below_the_smallest(n: int) -> None:
    rising = np.arange(1.0, n + 1)
    assert smallest_wilcoxon_p(n) == pytest.approx(wilcoxon_signed_rank(rising, 0 * rising).p_value)

"""The tests, intervals and smoothed curves of section IV.

Every result carries its n. Pairs with a missing member (NaN) are left out of it.

Axes legend: N subjects, J repeated measurements (repeats x folds), G grid points of a curve,
B bootstrap resamples.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import stats

Floats = npt.NDArray[np.floating]


@dataclass(frozen=True)
class TestResult:
    """One two-sided test.

    Attributes:
        statistic: t or W; NaN where the test is not defined.
        p_value: two-sided; 1 where all differences are zero, NaN where n is too small.
        mean_difference: of first - second.
        n: pairs used.
    """

    __test__ = False  # the name starts with Test; pytest must not collect it

    statistic: float
    p_value: float
    mean_difference: float
    n: int


@dataclass(frozen=True)
class PairComparison:
    """Two arms on the same subjects (Fig. 10), with both tests.

    Attributes:
        first: name of one arm.
        second: name of the other.
        t_test: paired t-test, as in the paper.
        wilcoxon: signed-rank test.
        t_holm_p: p of the t-test after Holm's correction over all pairs.
        wilcoxon_holm_p: p of the signed-rank test after Holm's correction over all pairs.
    """

    first: str
    second: str
    t_test: TestResult
    wilcoxon: TestResult
    t_holm_p: float
    wilcoxon_holm_p: float


@dataclass(frozen=True)
class Curve:
    """A smoothed relation with its pointwise bootstrap band.

    Attributes:
        x_g: [G] where the curve is evaluated.
        y_g: [G] the estimate.
        low_g: [G] lower end of the band.
        high_g: [G] upper end.
        n: points used.
    """

    x_g: npt.NDArray[np.float64]
    y_g: npt.NDArray[np.float64]
    low_g: npt.NDArray[np.float64]
    high_g: npt.NDArray[np.float64]
    n: int


@dataclass(frozen=True)
class MeanInterval:
    """A mean and its bootstrap interval: NaN without values, no width with one."""

    mean: float
    low: float
    high: float


def paired_t_test(first_n: Floats, second_n: Floats) -> TestResult:
    """Two-sided paired t-test (IV.B, Fig. 10)."""
    first_n, second_n = _complete(first_n, second_n)
    difference_n = first_n - second_n
    if difference_n.size < 2:
        return _result(math.nan, math.nan, difference_n)
    if not difference_n.any():  # t would be 0 / 0
        return _result(0.0, 1.0, difference_n)
    test = stats.ttest_rel(first_n, second_n)
    return _result(float(test.statistic), float(test.pvalue), difference_n)


def wilcoxon_signed_rank(first_n: Floats, second_n: Floats) -> TestResult:
    """Two-sided Wilcoxon signed-rank test; pairs that are equal carry no rank."""
    difference_n = _paired_differences(first_n, second_n)
    if difference_n.size == 0:
        return _result(math.nan, math.nan, difference_n)
    if not difference_n.any():
        return _result(0.0, 1.0, difference_n)
    test = stats.wilcoxon(difference_n, zero_method="wilcox")
    return _result(float(test.statistic), float(test.pvalue), difference_n)


def smallest_wilcoxon_p(n: int) -> float:
    """The least p that the two-sided signed-rank test can give n pairs: all of one sign."""
    return min(1.0, 2.0 / 2.0**n)


def corrected_resampled_t_test(
    first_j: Floats, second_j: Floats, test_to_train_ratio: float
) -> TestResult:
    """Two-sided paired t-test for repeated cross-validation (Nadeau & Bengio 2003).

    The training sets of repeats overlap, so the naive variance of the mean, var / J, is far too
    small; it becomes var (1 / J + n_test / n_train).

    Args:
        first_j: [J] one method's result on each split.
        second_j: [J] the other's, on the same splits.
        test_to_train_ratio: n_test / n_train of a split; 1 / (folds - 1) for k folds.
    """
    difference_j = _paired_differences(first_j, second_j)
    n = difference_j.size
    if n < 2:
        return _result(math.nan, math.nan, difference_j)
    mean, variance = float(difference_j.mean()), float(difference_j.var(ddof=1))
    if variance == 0.0:
        t, p = (0.0, 1.0) if mean == 0.0 else (math.copysign(math.inf, mean), 0.0)
    else:
        t = mean / math.sqrt(variance * (1.0 / n + test_to_train_ratio))
        p = float(2.0 * stats.t.sf(abs(t), n - 1))
    return _result(t, p, difference_j)


def holm(p_values: Sequence[float]) -> list[float]:
    """Holm's step-down adjusted p-values, in the given order; NaN (no test) stays, uncounted."""
    tested = [i for i, p in enumerate(p_values) if not math.isnan(p)]
    adjusted = [math.nan] * len(p_values)
    highest = 0.0
    for rank, i in enumerate(sorted(tested, key=lambda i: p_values[i])):
        highest = max(highest, min(1.0, (len(tested) - rank) * p_values[i]))
        adjusted[i] = highest
    return adjusted


def compare_pairs(value_n_by_arm: Mapping[str, Floats]) -> list[PairComparison]:
    """Every pair of arms by paired t-test and signed-rank test (Fig. 10's bracket: p >= 0.05).

    Args:
        value_n_by_arm: arm -> [N] its value for each subject, subjects in one order.
    """
    pairs = list(itertools.combinations(value_n_by_arm, 2))
    t_tests = [paired_t_test(value_n_by_arm[a], value_n_by_arm[b]) for a, b in pairs]
    wilcoxons = [wilcoxon_signed_rank(value_n_by_arm[a], value_n_by_arm[b]) for a, b in pairs]
    t_holm = holm([test.p_value for test in t_tests])
    wilcoxon_holm = holm([test.p_value for test in wilcoxons])
    rows = zip(pairs, t_tests, wilcoxons, t_holm, wilcoxon_holm, strict=True)
    return [PairComparison(a, b, t, w, t_p, w_p) for (a, b), t, w, t_p, w_p in rows]


def kernel_regression(
    x_n: Floats,
    y_n: Floats,
    x_g: Floats,
    bandwidth: float,
    *,
    seed: int,
    n_resamples: int = 1000,
    confidence: float = 0.95,
) -> Curve:
    """Nadaraya-Watson regression, Gaussian kernel, with a bootstrap band (Figs. 11 and 12).

    Paper silent on kernel, bandwidth and band.

    Args:
        x_n: [N] abscissae, such as ages in years.
        y_n: [N] ordinates, such as DSC.
        x_g: [G] where to evaluate.
        bandwidth: SD of the kernel in the unit of x.
        seed: of the resampling of subjects.
        n_resamples: B.
        confidence: coverage of the pointwise percentile band.

    Raises:
        ValueError: the bandwidth is not positive, or no point is complete.
    """
    x_n, y_n = _complete(x_n, y_n)
    if not bandwidth > 0 or x_n.size == 0:
        raise ValueError(f"kernel regression of {x_n.size} points with bandwidth {bandwidth:g}")
    grid_g = np.asarray(x_g, np.float64)
    log_gn = -0.5 * ((grid_g[:, None] - x_n) / bandwidth) ** 2
    # Only ratios of weights matter: scaled so that the nearest point weighs 1, none underflows.
    weight_gn = np.exp(log_gn - log_gn.max(axis=1, keepdims=True))
    y_g = weight_gn @ y_n / weight_gn.sum(axis=1)
    rng = np.random.default_rng(seed)
    count_bn = rng.multinomial(x_n.size, np.full(x_n.size, 1.0 / x_n.size), size=n_resamples)
    with np.errstate(invalid="ignore", divide="ignore"):
        resampled_bg = (count_bn @ (weight_gn * y_n).T) / (count_bn @ weight_gn.T)
    low_g, high_g = _band(resampled_bg, confidence)
    return Curve(grid_g, y_g, low_g, high_g, int(x_n.size))


def bootstrap_mean(
    value_n: Floats, *, seed: int, n_resamples: int = 10_000, confidence: float = 0.95
) -> MeanInterval:
    """Mean with its percentile bootstrap interval over subjects.

    Args:
        value_n: [N] values; NaN where missing.
        seed: of the resampling.
        n_resamples: B.
        confidence: coverage.
    """
    present_n = np.asarray(value_n, np.float64)
    present_n = present_n[~np.isnan(present_n)]
    if present_n.size == 0:
        return MeanInterval(math.nan, math.nan, math.nan)
    rng = np.random.default_rng(seed)
    drawn_bn = rng.integers(present_n.size, size=(n_resamples, present_n.size))
    mean_b = present_n[drawn_bn].mean(axis=1)
    low, high = _band(mean_b[:, None], confidence)
    return MeanInterval(float(present_n.mean()), float(low[0]), float(high[0]))


def _band(value_bg: Floats, confidence: float) -> tuple[npt.NDArray, npt.NDArray]:
    """Ends of the central `confidence` of the resamples; one without weight at a point is NaN."""
    tail = 50.0 * (1.0 - confidence)
    low_g, high_g = np.nanpercentile(value_bg, [tail, 100.0 - tail], axis=0)
    return low_g, high_g


def _complete(first_n: Floats, second_n: Floats) -> tuple[npt.NDArray, npt.NDArray]:
    """The pairs without a NaN, as float64."""
    first_n, second_n = np.asarray(first_n, np.float64), np.asarray(second_n, np.float64)
    if first_n.shape != second_n.shape or first_n.ndim != 1:
        raise ValueError(f"pairs need equal lengths, found {first_n.shape} and {second_n.shape}")
    both_n = ~(np.isnan(first_n) | np.isnan(second_n))
    return first_n[both_n], second_n[both_n]


def _paired_differences(first_n: Floats, second_n: Floats) -> npt.NDArray:
    first_n, second_n = _complete(first_n, second_n)
    return first_n - second_n


def _result(statistic: float, p_value: float, difference_n: npt.NDArray) -> TestResult:
    mean = float(difference_n.mean()) if difference_n.size else math.nan
    return TestResult(statistic, p_value, mean, int(difference_n.size))

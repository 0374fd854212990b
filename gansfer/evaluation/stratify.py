"""Telling CDR 0.5 from CDR 1 or 2 by structure volumes (III.G, Table II).

Axes legend: N subjects, F features (one volume for each structure), R repeats, K folds.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import RepeatedStratifiedKFold

from gansfer.errors import UserError
from gansfer.evaluation.statistics import (
    TestResult,
    corrected_resampled_t_test,
    paired_t_test,
)

Metric = Literal["accuracy", "auc"]


@dataclass(frozen=True)
class Stratification:
    """How well one arm's volumes tell the groups apart, split by split.

    Attributes:
        accuracy_rk: [R, K] fraction right on each test fold.
        auc_rk: [R, K] area under the ROC curve on each test fold.
        n_negative: subjects of the first group (CDR 0.5).
        n_positive: subjects of the second (CDR 1 or 2).
    """

    accuracy_rk: npt.NDArray[np.float64]
    auc_rk: npt.NDArray[np.float64]
    n_negative: int
    n_positive: int

    def values_rk(self, metric: Metric) -> npt.NDArray[np.float64]:
        """[R, K] of one metric."""
        return self.accuracy_rk if metric == "accuracy" else self.auc_rk


@dataclass(frozen=True)
class ArmComparison:
    """Two arms on the same splits: one cell of Table II.

    Attributes:
        naive: paired two-tailed t-test over the R repeats' means. Paper: a two-tailed t-test, no
            more said. It treats overlapping splits as independent and finds too many differences.
        corrected: the corrected resampled t-test over all R x K splits.
    """

    naive: TestResult
    corrected: TestResult


def stratify(
    volume_nf: npt.NDArray[np.floating],
    positive_n: npt.NDArray[np.bool_],
    *,
    folds: int = 5,
    repeats: int = 100,
    seed: int,
) -> Stratification:
    """Logistic regression on standardised volumes, repeated stratified cross-validation (III.G).

    Standardisation is fitted on each training split. L2 penalty C = 1, scikit-learn's default:
    paper silent ("a simple logistic regression"). The same seed and subjects give the same splits,
    so arms are compared pair by pair.

    Args:
        volume_nf: [N, F] volumes, any unit.
        positive_n: [N] true for the second group (CDR 1 or 2).
        folds: K; at least 2.
        repeats: R.
        seed: of the splits.

    Raises:
        UserError: a group has fewer subjects than folds, or a volume is missing.
    """
    n_positive = int(positive_n.sum())
    n_negative = len(positive_n) - n_positive
    if min(n_positive, n_negative) < folds:
        raise UserError(
            f"stratification: {n_negative} and {n_positive} subjects in the two groups, expected "
            f"at least {folds} in each for {folds} folds; use fewer folds or a larger cohort"
        )
    incomplete_n = ~np.isfinite(volume_nf).all(axis=1)
    if incomplete_n.any():
        raise UserError(
            f"stratification: {int(incomplete_n.sum())} of {len(volume_nf)} subjects lack a "
            "volume, expected all; segment the whole cohort first"
        )
    accuracy_m, auc_m = [], []
    classifier = LogisticRegression(max_iter=1000)
    splits = RepeatedStratifiedKFold(n_splits=folds, n_repeats=repeats, random_state=seed % 2**32)
    for train_n, test_n in splits.split(volume_nf, positive_n):
        # Plain arithmetic: a pipeline and roc_auc_score check their input for three times as long.
        standard_nf = _standardised(volume_nf, volume_nf[train_n])
        classifier.fit(standard_nf[train_n], positive_n[train_n])
        decision_n = standard_nf[test_n] @ classifier.coef_[0] + classifier.intercept_[0]
        accuracy_m.append(np.mean((decision_n > 0) == positive_n[test_n]))
        auc_m.append(_auc(decision_n[positive_n[test_n]], decision_n[~positive_n[test_n]]))
    return Stratification(
        accuracy_rk=np.reshape(accuracy_m, (repeats, folds)),
        auc_rk=np.reshape(auc_m, (repeats, folds)),
        n_negative=n_negative,
        n_positive=n_positive,
    )


def _standardised(
    volume_nf: npt.NDArray[np.floating], train_nf: npt.NDArray[np.floating]
) -> npt.NDArray[np.float64]:
    """[N, F] volumes in standard deviations of the training split; a constant one is centred."""
    sd_f = train_nf.std(axis=0)
    return (volume_nf - train_nf.mean(axis=0)) / np.where(sd_f > 0, sd_f, 1.0)


def _auc(score_p: npt.NDArray[np.floating], score_q: npt.NDArray[np.floating]) -> float:
    """Area under the ROC curve: the chance that a positive scores higher; a tie counts half."""
    difference_pq = score_p[:, None] - score_q
    return float(np.mean((difference_pq > 0) + 0.5 * (difference_pq == 0)))


def compare_arms(first: Stratification, second: Stratification, metric: Metric) -> ArmComparison:
    """Both t-tests of one metric between two arms (or an arm and the reference method).

    Args:
        first: one arm.
        second: the other, on the same subjects with the same seed.
        metric: "accuracy" or "auc".

    Raises:
        ValueError: the arms were not split in the same way.
    """
    first_rk, second_rk = first.values_rk(metric), second.values_rk(metric)
    groups = (first.n_negative, first.n_positive), (second.n_negative, second.n_positive)
    if first_rk.shape != second_rk.shape or groups[0] != groups[1]:
        raise ValueError(
            f"arms of {groups[0]} and {groups[1]} subjects, splits {first_rk.shape} and "
            f"{second_rk.shape}: not pairs"
        )
    folds = first_rk.shape[1]
    return ArmComparison(
        naive=paired_t_test(first_rk.mean(axis=1), second_rk.mean(axis=1)),
        corrected=corrected_resampled_t_test(
            first_rk.ravel(), second_rk.ravel(), 1.0 / (folds - 1)
        ),
    )


def reference_mark(test: TestResult, significance: float = 0.05) -> str:
    """Table II's mark of an arm tested against the reference method (arm first).

    A dagger: not significantly different; an asterisk: significantly higher; else nothing.
    """
    if test.p_value >= significance:
        return "\N{DAGGER}"
    return "*" if test.mean_difference > 0 and test.p_value < significance else ""

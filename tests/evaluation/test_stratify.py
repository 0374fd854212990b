import dataclasses

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import RepeatedStratifiedKFold, cross_validate
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from gansfer.errors import UserError
from gansfer.evaluation.statistics import TestResult, corrected_resampled_t_test, paired_t_test
from gansfer.evaluation.stratify import compare_arms, reference_mark, stratify


def _cohort(effect: float, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """69 + 30 subjects as in the paper; volumes in mm^3; the first structure shrinks."""
    rng = np.random.default_rng(seed)
    positive_n = np.arange(99) >= 69
    volume_nf = rng.normal(5000, 1000, (99, 7))
    volume_nf[positive_n, 0] -= 1000 * effect
    return volume_nf, positive_n


def test_equals_scikit_learns_own_cross_validation() -> None:
    volume_nf, positive_n = _cohort(1.0)
    ours = stratify(volume_nf, positive_n, folds=5, repeats=3, seed=11)
    theirs = cross_validate(
        make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000)),
        volume_nf,
        positive_n,
        cv=RepeatedStratifiedKFold(n_splits=5, n_repeats=3, random_state=11),
        scoring=("accuracy", "roc_auc"),
    )
    np.testing.assert_allclose(ours.accuracy_rk.ravel(), theirs["test_accuracy"])
    np.testing.assert_allclose(ours.auc_rk.ravel(), theirs["test_roc_auc"])
    assert ours.accuracy_rk.shape == (3, 5)
    assert (ours.n_negative, ours.n_positive) == (69, 30)


def test_clear_groups_are_told_apart_whatever_the_unit() -> None:
    volume_nf, positive_n = _cohort(20.0)
    in_ml = stratify(volume_nf / 1000, positive_n, repeats=2, seed=2**62)
    assert in_ml.auc_rk.mean() > 0.99
    in_mm3 = stratify(volume_nf, positive_n, repeats=2, seed=2**62)
    np.testing.assert_allclose(in_mm3.auc_rk, in_ml.auc_rk)


def test_volumes_that_are_all_the_same_tell_nothing() -> None:
    volume_nf, positive_n = _cohort(0.0)
    same = stratify(np.full_like(volume_nf, 5000.0), positive_n, repeats=2, seed=0)
    np.testing.assert_array_equal(same.auc_rk, 0.5)  # all tie, and a tie counts half
    assert same.accuracy_rk.mean() == pytest.approx(69 / 99, abs=0.01)


def test_volumes_without_information_do_no_better_than_chance() -> None:
    aucs = [stratify(*_cohort(0.0, seed), repeats=2, seed=0).auc_rk.mean() for seed in range(8)]
    assert abs(np.mean(aucs) - 0.5) < 0.08


def test_comparison_is_paired_naive_and_corrected() -> None:
    volume_nf, positive_n = _cohort(1.5)
    better = stratify(volume_nf, positive_n, repeats=10, seed=1)
    worse = stratify(volume_nf[:, 1:], positive_n, repeats=10, seed=1)
    comparison = compare_arms(better, worse, "auc")
    assert comparison.naive == paired_t_test(better.auc_rk.mean(1), worse.auc_rk.mean(1))
    assert comparison.corrected == corrected_resampled_t_test(
        better.auc_rk.ravel(), worse.auc_rk.ravel(), 1 / 4
    )
    assert comparison.naive.p_value < comparison.corrected.p_value
    accuracy = compare_arms(better, worse, "accuracy")
    gain = better.accuracy_rk.mean() - worse.accuracy_rk.mean()
    assert accuracy.naive.mean_difference == pytest.approx(gain)
    with pytest.raises(ValueError, match="not pairs"):
        compare_arms(better, dataclasses.replace(worse, n_negative=68), "auc")


@pytest.mark.parametrize(
    ("p_value", "difference", "mark"),
    [
        (0.2, 0.1, "\N{DAGGER}"),
        (0.05, -0.1, "\N{DAGGER}"),
        (0.01, 0.1, "*"),
        (0.01, -0.1, ""),
        (float("nan"), 0.1, ""),
    ],
)
def test_marks_of_table_ii(p_value: float, difference: float, mark: str) -> None:
    assert reference_mark(TestResult(0.0, p_value, difference, 10)) == mark


def test_too_few_subjects_and_missing_volumes_are_named() -> None:
    volume_nf, positive_n = _cohort(0.0)
    with pytest.raises(UserError, match="3 subjects in the two groups, expected at least 5"):
        stratify(volume_nf[:72], positive_n[:72], seed=0)
    volume_nf[4, 2] = np.nan
    with pytest.raises(UserError, match="1 of 99 subjects lack a volume"):
        stratify(volume_nf, positive_n, seed=0)

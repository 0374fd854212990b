import numpy as np
import pytest

from gansfer.errors import UserError
from gansfer.synthesis.realism import keep


def test_scores_above_the_percentile_are_dropped() -> None:
    score_k = np.array([5.0, 1.0, 4.0, 2.0, 3.0])
    assert keep(score_k, 75.0).tolist() == [False, True, True, True, True]
    assert keep(score_k, 50.0).tolist() == [False, True, False, True, True]
    assert keep(score_k, 100.0).all()


def test_default_keeps_three_quarters() -> None:
    score_k = np.random.default_rng(0).normal(size=1000)
    assert keep(score_k).sum() == 750


def test_diverged_slices_are_dropped_and_do_not_move_the_threshold() -> None:
    score_k = np.array([1.0, 2.0, np.inf, 3.0, np.nan, 4.0])
    assert keep(score_k, 75.0).tolist() == [True, True, False, True, False, False]


def test_many_diverged_slices_do_not_let_the_worst_finite_one_pass() -> None:
    score_k = np.array([1.0, 2.0, 4.0, np.inf, np.inf, np.inf])
    assert keep(score_k, 75.0).tolist() == [True, True, False, False, False, False]


def test_no_slices_and_no_finite_score() -> None:
    assert keep(np.array([])).shape == (0,)
    with pytest.raises(UserError, match="none of 3 generated slices has a finite score"):
        keep(np.full(3, np.inf))

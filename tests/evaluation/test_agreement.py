import numpy as np
import pytest

from gansfer.evaluation.agreement import bland_altman


def test_by_hand() -> None:
    result = bland_altman(np.array([1.0, 4.0, 5.0]), np.array([0.0, 2.0, 2.0]))
    assert (result.bias, result.n) == (2.0, 3)  # differences 1, 2, 3: SD 1
    assert result.low == pytest.approx(0.04) and result.high == pytest.approx(3.96)


def test_missing_members_are_left_out() -> None:
    result = bland_altman(np.array([1.0, np.nan, 5.0, 2.0]), np.array([0.0, 2.0, np.nan, 2.0]))
    assert (result.n, result.bias) == (2, 0.5)


def test_too_few_subjects_have_no_limits() -> None:
    one = bland_altman(np.array([3.0]), np.array([1.0]))
    assert one.bias == 2.0 and np.isnan([one.low, one.high]).all()
    assert np.isnan(bland_altman(np.array([]), np.array([])).bias)


def test_lengths_must_agree() -> None:
    with pytest.raises(ValueError, match=r"\(2,\) measured and \(3,\) reference"):
        bland_altman(np.zeros(2), np.zeros(3))

import numpy as np
import pytest

from gansfer.evaluation.agreement import bland_altman, bland_altman_by_structure


def test_by_hand() -> None:
    result = bland_altman(np.array([1.0, 4.0, 5.0]), np.array([0.0, 2.0, 2.0]))
    assert result.difference_n.tolist() == [1.0, 2.0, 3.0]
    assert result.mean_n.tolist() == [0.5, 3.0, 3.5]
    assert (result.bias, result.sd, result.n) == (2.0, 1.0, 3)
    assert result.low == pytest.approx(0.04) and result.high == pytest.approx(3.96)


def test_missing_members_are_left_out_and_counted() -> None:
    result = bland_altman(np.array([1.0, np.nan, 5.0, 2.0]), np.array([0.0, 2.0, np.nan, 2.0]))
    assert (result.n, result.n_left_out, result.bias) == (2, 2, 0.5)


def test_too_few_subjects_have_no_limits() -> None:
    one = bland_altman(np.array([3.0]), np.array([1.0]))
    assert one.bias == 2.0 and np.isnan([one.sd, one.low, one.high]).all()
    assert np.isnan(bland_altman(np.array([]), np.array([])).bias)


def test_structures_are_not_mixed_up() -> None:
    measured_ns = np.array([[1.0, 10.0], [2.0, 20.0]])
    table = bland_altman_by_structure(measured_ns, measured_ns - [1.0, 5.0], ("a", "b"))
    assert {name: row.bias for name, row in table.items()} == {"a": 1.0, "b": 5.0}


def test_lengths_must_agree() -> None:
    with pytest.raises(ValueError, match=r"\(2,\) measured and \(3,\) reference"):
        bland_altman(np.zeros(2), np.zeros(3))

import numpy as np
import pytest

from gansfer.progress import Silent, StopRequested
from gansfer.synthesis.neighbours import nearest, nearest_slice_number


def _brute_force(query_khw: np.ndarray, reference_nhw: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    gap = query_khw[:, None].astype(np.float64) - reference_nhw[None].astype(np.float64)
    distance_kn = np.sqrt((gap**2).sum(axis=(2, 3)))
    return distance_kn.argmin(axis=1), distance_kn.min(axis=1)


def _images(seed: int, n: int, side: int = 9) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(n, side, side)).astype(np.float32)


@pytest.mark.parametrize("block", [1, 7, 2048])
def test_equals_brute_force_whatever_the_block(block: int) -> None:
    query_khw, reference_nhw = _images(0, 23), _images(1, 31)
    index_k, distance_k = nearest(query_khw, reference_nhw, block=block)
    expected_index_k, expected_distance_k = _brute_force(query_khw, reference_nhw)
    np.testing.assert_array_equal(index_k, expected_index_k)
    np.testing.assert_allclose(distance_k, expected_distance_k, rtol=1e-12)


def test_near_images_of_large_values_do_not_cancel() -> None:
    # |a|^2 is about 1e9 and the distances about 1e-2: the float32 screen alone sees only rounding.
    rng = np.random.default_rng(2)
    base_hw = rng.normal(0, 1000, (30, 30))
    reference_nhw = (base_hw + rng.normal(0, 1e-3, (40, 30, 30))).astype(np.float32)
    reference_nhw[::2] += rng.normal(0, 1000, (20, 30, 30)).astype(np.float32)
    query_khw = reference_nhw[1::2] + np.float32(1e-3)
    index_k, distance_k = nearest(query_khw, reference_nhw, block=8)
    expected_index_k, expected_distance_k = _brute_force(query_khw, reference_nhw)
    np.testing.assert_array_equal(index_k, expected_index_k)
    np.testing.assert_allclose(distance_k, expected_distance_k, rtol=1e-12)


def test_a_real_image_is_at_distance_exactly_zero() -> None:
    reference_nhw = _images(3, 12) + 100
    index_k, distance_k = nearest(reference_nhw[4:7], reference_nhw, block=5)
    assert index_k.tolist() == [4, 5, 6]
    assert distance_k.tolist() == [0.0, 0.0, 0.0]


def test_first_of_equal_references_wins_across_blocks() -> None:
    one_hw = _images(4, 1)[0]
    reference_nhw = np.stack([one_hw + 1, one_hw, one_hw, one_hw])
    for block in (1, 2, 4):
        index_k, _ = nearest(one_hw[None], reference_nhw, block=block)
        assert index_k.tolist() == [1]


def test_float16_is_compared_as_stored() -> None:
    query_khw, reference_nhw = _images(5, 6).astype(np.float16), _images(6, 9).astype(np.float16)
    index_k, distance_k = nearest(query_khw, reference_nhw)
    expected_index_k, expected_distance_k = _brute_force(query_khw, reference_nhw)
    np.testing.assert_array_equal(index_k, expected_index_k)
    np.testing.assert_allclose(distance_k, expected_distance_k, rtol=1e-12)


def test_query_that_is_not_finite_has_no_neighbour_and_spares_the_others() -> None:
    query_khw = _images(7, 3)
    query_khw[1, 0, 0] = np.nan
    index_k, distance_k = nearest(query_khw, _images(8, 5))
    assert index_k[1] == -1 and np.isinf(distance_k[1])
    expected_index_k, _ = _brute_force(query_khw[[0, 2]], _images(8, 5))
    np.testing.assert_array_equal(index_k[[0, 2]], expected_index_k)


def test_errors_say_what_was_given() -> None:
    with pytest.raises(ValueError, match=r"queries \(2, 9, 9\) with references \(0, 9, 9\)"):
        nearest(_images(0, 2), _images(0, 0))
    with pytest.raises(ValueError, match=r"references \(3, 8, 8\)"):
        nearest(_images(0, 2), _images(0, 3, side=8))
    reference_nhw = _images(0, 3)
    reference_nhw[0, 0, 0] = np.inf
    with pytest.raises(ValueError, match="not finite"):
        nearest(_images(0, 2), reference_nhw)


def test_slice_number_is_z_of_the_nearest_training_slice() -> None:
    training_nzhw = _images(9, 3 * 5).reshape(3, 5, 9, 9)
    noise = _images(10, 4) * 0.1
    query_khw = training_nzhw[[0, 1, 2, 2], [4, 0, 3, 1]] + noise
    assert nearest_slice_number(query_khw, training_nzhw).tolist() == [4, 0, 3, 1]


def test_watch_hears_each_block_and_can_stop() -> None:
    class Listening(Silent):
        def __init__(self) -> None:
            self.heard: list[tuple[int, int, str]] = []

        def report(self, done: int, total: int, unit: str, note: str = "") -> None:
            self.heard.append((done, total, unit))

    class Stopping(Silent):
        def stopping(self) -> bool:
            return True

    watch = Listening()
    nearest(_images(0, 4), _images(1, 6), block=3, watch=watch)
    assert watch.heard == [(i, 4, "blocks") for i in range(1, 5)]
    with pytest.raises(StopRequested):
        nearest(_images(0, 4), _images(1, 6), watch=Stopping())

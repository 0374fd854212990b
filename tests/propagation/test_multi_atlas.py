from __future__ import annotations

import os
import sys

import numpy as np
import pytest

from gansfer.errors import UserError
from gansfer.progress import Silent, StopRequested
from gansfer.propagation.multi_atlas import fuse_labels, propagate, warp_atlas

os.environ.setdefault("ITK_GLOBAL_DEFAULT_NUMBER_OF_THREADS", "1")  # read when ants is loaded
SPACING_MM = (2.0, 2.0, 2.0)


def _anatomy(shift: float, seed: int, shape: tuple[int, int, int] = (24, 28, 28)) -> tuple:
    """Two balls, bright and dark, moved along W; image and labels."""
    z, h, w = np.indices(shape).astype(float)
    label_zhw = np.zeros(shape, np.uint8)
    for value, (row, column) in enumerate(((14, 9), (13, 19)), start=1):
        inside = (z - 12) ** 2 + (h - row) ** 2 + (w - column - shift) ** 2 < 5.0**2
        label_zhw[inside] = value
    noise = 0.1 * np.random.default_rng(seed).normal(size=shape)
    image_zhw = np.array([0.0, 2.0, -2.0])[label_zhw] + noise
    return image_zhw.astype(np.float32), label_zhw


def _dice(a: np.ndarray, b: np.ndarray, value: int) -> float:
    return float(
        2 * ((a == value) & (b == value)).sum() / ((a == value).sum() + (b == value).sum())
    )


def test_without_antspyx_the_error_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ants", None)
    image_zhw, label_zhw = _anatomy(0, 0)
    wanted = r"need antspyx .* jobs/image/requirements-propagation\.txt"
    with pytest.raises(UserError, match=wanted):
        propagate(image_zhw, image_zhw[None], label_zhw[None], SPACING_MM)


def test_atlases_of_another_shape_are_refused() -> None:
    image_zhw, label_zhw = _anatomy(0, 0)
    with pytest.raises(ValueError, match="cannot propagate"):
        propagate(image_zhw, image_zhw[None, 1:], label_zhw[None], SPACING_MM)
    with pytest.raises(ValueError, match="cannot propagate"):
        propagate(image_zhw, image_zhw[None][:0], label_zhw[None][:0], SPACING_MM)


class _Stopping(Silent):
    def stopping(self) -> bool:
        return True


def test_a_stop_is_heard_before_the_next_atlas() -> None:
    image_zhw, label_zhw = _anatomy(0, 0)
    with pytest.raises(StopRequested):
        propagate(image_zhw, image_zhw[None], label_zhw[None], SPACING_MM, watch=_Stopping())


def test_no_label_anywhere_is_background_everywhere() -> None:
    image_zhw, label_zhw = _anatomy(0, 0)
    empty = np.zeros_like(label_zhw)
    fused = fuse_labels(image_zhw, image_zhw[None], empty[None], SPACING_MM)
    assert not fused.any()


@pytest.mark.slow
def test_a_shifted_atlas_is_brought_back() -> None:
    pytest.importorskip("ants")
    target_zhw, truth_zhw = _anatomy(0, 0)
    image_zhw, label_zhw = _anatomy(2, 1)
    assert _dice(label_zhw, truth_zhw, 1) < 0.75
    _, warped_zhw = warp_atlas(target_zhw, image_zhw, label_zhw, SPACING_MM)
    assert min(_dice(warped_zhw, truth_zhw, value) for value in (1, 2)) > 0.9


def test_the_same_images_give_the_same_labels_to_the_bit() -> None:
    pytest.importorskip("ants")
    target_zhw, _ = _anatomy(0, 0, shape=(16, 28, 28))
    image_zhw, label_zhw = _anatomy(2, 1, shape=(16, 28, 28))
    one, again = (warp_atlas(target_zhw, image_zhw, label_zhw, SPACING_MM)[0] for _ in range(2))
    assert np.array_equal(one, again)


def test_a_small_region_that_is_aligned_is_not_lost() -> None:
    """With an affine stage before SyN the labels of some pairs of 4 mm were thrown out of it."""
    pytest.importorskip("ants")
    for seed in range(4):
        target_zhw, truth_zhw = _anatomy(0, seed, shape=(15, 20, 20))
        image_zhw, label_zhw = _anatomy(1, 10 + seed, shape=(15, 20, 20))
        _, warped_zhw = warp_atlas(target_zhw, image_zhw, label_zhw, (4.0, 4.0, 4.0))
        assert _dice(warped_zhw, truth_zhw, 1) > _dice(label_zhw, truth_zhw, 1)


def test_fusion_lets_the_background_win_where_one_atlas_overreaches() -> None:
    pytest.importorskip("ants")
    target_zhw, truth_zhw = _anatomy(0, 0)
    images, labels = zip(*(_anatomy(0, seed) for seed in (1, 2)), strict=True)
    overreaching_zhw = np.where(_anatomy(0, 0)[1] == 0, 0, truth_zhw)
    overreaching_zhw[4:20, 2:8, 2:26] = 1  # an atlas that calls a slab of background structure 1
    fused = fuse_labels(
        target_zhw,
        np.stack([*images, images[0]]),
        np.stack([*labels, overreaching_zhw]),
        SPACING_MM,
    )
    assert min(_dice(fused, truth_zhw, value) for value in (1, 2)) > 0.95

"""What counts as a brain, and what as a head."""

from pathlib import Path

import numpy as np
import pytest

from gansfer.errors import UserError
from gansfer.readers.masks import brain_mask, load_mask, skull_signs
from gansfer.subjects import Volume
from tests.readers.layouts import brain, write_nifti

SHAPE = (40, 44, 36)


def ball(litres: float, shape: tuple[int, ...] = SHAPE, voxel_mm: float = 6.0) -> np.ndarray:
    """A ball of this volume in voxels of this size."""
    radius = (3 * litres * 1e6 / (4 * np.pi)) ** (1 / 3) / voxel_mm
    grid = np.indices(shape) - (np.array(shape)[:, None, None, None] - 1) / 2
    return (grid**2).sum(0) < radius**2


def affine(voxel_mm: float = 6.0) -> np.ndarray:
    return np.diag([-voxel_mm, voxel_mm, voxel_mm, 1])


@pytest.mark.parametrize("litres", [1.0, 1.9])
def test_a_brain(litres: float) -> None:
    assert skull_signs(ball(litres), affine()) == ""


def test_a_head_in_air_of_0_and_in_noise() -> None:
    assert skull_signs(ball(3.5), affine()) == "3.5 l are not 0, a brain has at most 2.2 l"
    noise = np.random.default_rng(0).random(SHAPE) < 0.9
    assert skull_signs(noise, affine(1.0)) == (
        "10% of its voxels are 0, expected a background of 0"
    )


def test_a_tight_box_round_a_brain_is_no_head() -> None:
    inside = ball(1.4, (40, 40, 40), 4.0)
    at = np.argwhere(inside)
    tight = inside[tuple(slice(a, b + 1) for a, b in zip(at.min(0), at.max(0), strict=True))]
    assert skull_signs(tight, affine(4.0)) == ""


def test_labels_of_structures_alone_are_no_mask(tmp_path: Path) -> None:
    head = Volume(np.ones(SHAPE, np.int16), affine())
    few = np.where(ball(0.1), 10, 0)
    with pytest.raises(UserError, match="strip the skull with SynthStrip, HD-BET or BET"):
        brain_mask(tmp_path / "t1.nii", head, few)
    whole = np.where(ball(1.3), 10, 0)
    whole[20, 22, 18] = 0
    np.testing.assert_array_equal(brain_mask(tmp_path / "t1.nii", head, whole), ball(1.3))


def test_given_masks(tmp_path: Path) -> None:
    image = Volume(brain(SHAPE), affine())
    path = write_nifti(tmp_path / "m.nii.gz", ball(1.3)[::-1].astype(np.uint8), affine() @ flip())
    np.testing.assert_array_equal(load_mask(path, image), ball(1.3))
    write_nifti(path, ball(3.0).astype(np.uint8), affine())
    with pytest.raises(UserError, match=r"the mask holds 3\.0 l, a brain has at most 2\.2 l"):
        load_mask(path, image)
    off = affine()
    off[1, 3] = 12
    write_nifti(path, ball(1.3).astype(np.uint8), off)
    with pytest.raises(UserError, match=r"its header places it 2\.0 voxels off the image"):
        load_mask(path, image)


def flip() -> np.ndarray:
    turned = np.diag([-1.0, 1, 1, 1])
    turned[0, 3] = SHAPE[0] - 1
    return turned

"""Resample images and label maps between grids. scipy.ndimage alone owns this geometry.

Axes legend: x y z are the input's voxel axes, Z H W the output's. A "fine" grid has several
samples along each axis of an output voxel, which are then averaged.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from nibabel.affines import apply_affine
from scipy import ndimage

Affine = npt.NDArray[np.float64]
Floats = npt.NDArray[np.float32]
LabelMap = npt.NDArray[np.uint8]
Mask = npt.NDArray[np.bool_]
Shape = tuple[int, int, int]

# Grids this close (voxels) are the same grid: voxels are then copied, not interpolated.
SAME_GRID_VOXELS = 1e-3
# A voxel half inside goes by its neighbours; else every structure would lose its rim.
TIE_BREAK = np.float32(1e-3)


def resample_image(
    intensity_xyz: Floats, brain_xyz: Mask, voxel_from_out: Affine, shape_out: Shape
) -> Floats:
    """Resample an image whose background is 0: cubic, averaged over larger output voxels.

    Outside the resampled brain the result is exactly 0, and nothing overshoots the input's range.
    Where the two grids coincide voxels are copied. Paper silent on interpolation.

    Args:
        intensity_xyz: image with 0 outside the brain.
        brain_xyz: the brain.
        voxel_from_out: [4, 4], output index -> input index.
        shape_out: output shape.
    """
    n_fine = _fineness(voxel_from_out)
    voxel_from_fine, shape_fine = _refine(voxel_from_out, shape_out, n_fine)
    if _grids_coincide(voxel_from_fine):
        return _block_mean(_sample(intensity_xyz, voxel_from_fine, shape_fine, order=0), n_fine)
    crop, voxel_from_fine = _crop(intensity_xyz.shape, voxel_from_fine, shape_fine)
    image_xyz, mask_xyz = intensity_xyz[crop], brain_xyz[crop].astype(np.float32)
    fine = _sample(image_xyz, voxel_from_fine, shape_fine, order=3)
    # A cubic spline overshoots at edges, into values that no tissue has.
    fine = np.clip(fine, image_xyz.min(), image_xyz.max())
    # The spline also rings into the background, which must stay exactly 0.
    inside = _sample(mask_xyz, voxel_from_fine, shape_fine, order=1) >= 0.5
    return _block_mean(np.where(inside, fine, np.float32(0)), n_fine)


def resample_labels(label_xyz: LabelMap, voxel_from_out: Affine, shape_out: Shape) -> LabelMap:
    """Resample a label map: each label's share of the output voxel, largest share wins.

    The shares keep small structures at larger voxels, where nearest-neighbour picking would not.
    Where the two grids coincide voxels are copied.

    Args:
        label_xyz: 0 background and any other values.
        voxel_from_out: [4, 4], output index -> input index.
        shape_out: output shape.
    """
    n_fine = _fineness(voxel_from_out)
    voxel_from_fine, shape_fine = _refine(voxel_from_out, shape_out, n_fine)
    copied = _grids_coincide(voxel_from_fine)
    if copied and n_fine == (1, 1, 1):
        return _sample(label_xyz, voxel_from_out, shape_out, order=0)
    if not copied:
        crop, voxel_from_fine = _crop(label_xyz.shape, voxel_from_fine, shape_fine)
        label_xyz = label_xyz[crop]
    best = np.zeros(shape_out, np.uint8)
    best_share = np.zeros(shape_out, np.float32)
    background = np.full(shape_out, 1 + TIE_BREAK, np.float32)
    for value in np.unique(label_xyz[label_xyz > 0]):
        one_xyz = (label_xyz == value).astype(np.float32)
        # Linear: a share must not overshoot 0 or 1, and a spline of a step would.
        fine = _sample(one_xyz, voxel_from_fine, shape_fine, order=0 if copied else 1)
        share = _block_mean(fine, n_fine)
        share = share + TIE_BREAK * ndimage.gaussian_filter(share, 1.0, mode="nearest")
        best = np.where(share > best_share, value, best)
        best_share = np.maximum(best_share, share)
        background -= share
    return np.where(best_share > background, best, 0).astype(np.uint8)


def box_corners(shape: Sequence[int]) -> npt.NDArray[np.int64]:
    """Voxel indices [8, 3] of a grid's corners."""
    return np.array(list(itertools.product(*[(0, n - 1) for n in shape])))


def offset_voxels(moved_ras: Affine, affine_ras: Affine, shape_xyz: Sequence[int]) -> float:
    """Largest distance between a grid's corners placed by one affine and by another.

    Args:
        moved_ras: [4, 4] voxel index -> RAS mm.
        affine_ras: [4, 4] another; the distance is in its voxels.
        shape_xyz: of the grid.
    """
    corner_83 = box_corners(shape_xyz)
    voxel_from_moved = np.linalg.inv(affine_ras) @ moved_ras
    off_83 = apply_affine(voxel_from_moved, corner_83) - corner_83
    return float(np.linalg.norm(off_83, axis=1).max())


def _grids_coincide(voxel_from_out: Affine) -> bool:
    """Whether every output voxel is an input voxel (axes may be permuted and flipped)."""
    matrix, offset = voxel_from_out[:3, :3], voxel_from_out[:3, 3]
    whole = np.round(matrix)
    return bool(
        np.abs(matrix - whole).max() < SAME_GRID_VOXELS / 100
        and np.array_equal(np.abs(whole).sum(0), np.ones(3))
        and np.array_equal(np.abs(whole).sum(1), np.ones(3))
        and np.abs(offset - np.round(offset)).max() < SAME_GRID_VOXELS
    )


def _fineness(voxel_from_out: Affine) -> Shape:
    """Count samples along each axis of an output voxel that skip none of the input."""
    input_voxels_3 = np.linalg.norm(voxel_from_out[:3, :3], axis=0)
    z, h, w = np.maximum(1, np.ceil(input_voxels_3 - 0.25)).astype(int).tolist()
    return z, h, w


def _refine(voxel_from_out: Affine, shape_out: Shape, n_fine: Shape) -> tuple[Affine, Shape]:
    """Make the grid with `n_fine` samples along the axes of every output voxel."""
    share_3 = 1 / np.array(n_fine)
    out_from_fine = np.diag([*share_3, 1.0])
    out_from_fine[:3, 3] = (share_3 - 1) / 2  # samples lie symmetric about the voxel's centre
    z, h, w = (n * samples for n, samples in zip(shape_out, n_fine, strict=True))
    return voxel_from_out @ out_from_fine, (z, h, w)


def _block_mean(fine: Floats, n_fine: Shape) -> Floats:
    if n_fine == (1, 1, 1):
        return fine
    (z, h, w), (in_z, in_h, in_w) = fine.shape, n_fine
    blocks = fine.reshape(z // in_z, in_z, h // in_h, in_h, w // in_w, in_w)
    return blocks.mean(axis=(1, 3, 5), dtype=np.float32)


def _crop(
    shape_xyz: tuple[int, ...], voxel_from_out: Affine, shape_out: Shape
) -> tuple[tuple[slice, ...], Affine]:
    """Find the part of the input that the output needs, with a margin for the spline."""
    at = apply_affine(voxel_from_out, box_corners(shape_out))
    shape = np.array(shape_xyz)
    # A cubic B-spline's prefilter fades by 0.27 a voxel: 12 voxels away it is below float32.
    low = np.clip(np.floor(at.min(0)).astype(int) - 12, 0, shape - 1)
    high = np.clip(np.ceil(at.max(0)).astype(int) + 13, low + 1, shape)
    moved = voxel_from_out.copy()
    moved[:3, 3] -= low
    return tuple(slice(a, b) for a, b in zip(low, high, strict=True)), moved


def _sample(
    array_xyz: npt.NDArray, voxel_from_out: Affine, shape_out: Shape, order: int
) -> npt.NDArray:
    matrix, offset = voxel_from_out[:3, :3], voxel_from_out[:3, 3]
    if order == 0:  # exact copies; no half-voxel ties to break
        matrix, offset = np.round(matrix), np.round(offset)
    return ndimage.affine_transform(
        array_xyz, matrix, offset, output_shape=shape_out, order=order, mode="constant", cval=0
    )

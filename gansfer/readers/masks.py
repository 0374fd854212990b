"""Where the brain is in an image: a mask that was given, a whole-brain segmentation, or not zero.

An image counts as brain-extracted when its background is zero and what is left has a brain's size:
at least a fifth of its voxels are exactly 0 (a brain fills about half of its bounding box) and the
others are at most 2.2 litres (the largest brains have some 1.9, with their ventricles; a head has 3
and more, also where the air round it was set to 0).
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from gansfer.errors import UserError
from gansfer.readers.files.nifti import load_volume
from gansfer.readers.label_maps import grid_offset_voxels, turned_like
from gansfer.subjects import Volume

Mask = npt.NDArray[np.bool_]

LEAST_BACKGROUND = 0.2
LARGEST_BRAIN_ML = 2200.0
# Labels that together are less than this are structures, not a segmentation of the whole brain.
LEAST_PARCELLATION_ML = 700.0
SAME_PLACE_VOXELS = 0.25
# Interpolation leaves a few voxels below 0 at edges; a mean of 0 leaves half of them.
MOST_NEGATIVE = 0.05
DARKEST_PERCENTILE = 0.1


def brain_mask(path: Path, image: Volume, numbers_xyz: npt.NDArray[np.int64] | None) -> Mask:
    """The brain of an image for which no mask was given.

    Args:
        path: the image, for messages.
        image: its intensities.
        numbers_xyz: a segmentation of it in any numbers, or None; where it covers a whole brain and
            the image is not brain-extracted, the brain is what it labels, holes filled.

    Raises:
        UserError: the image shows a whole head and nothing says where its brain is.
    """
    nonzero_xyz = np.asarray(image.array_xyz) != 0
    why = skull_signs(nonzero_xyz, image.affine_ras)
    if not why:
        return nonzero_xyz
    if numbers_xyz is not None:
        labelled_xyz = numbers_xyz != 0
        if _millilitres(labelled_xyz, image.affine_ras) >= LEAST_PARCELLATION_ML:
            return np.asarray(ndimage.binary_fill_holes(labelled_xyz), bool) & nonzero_xyz
    raise UserError(
        f"{path}: no mask, and the image is not brain-extracted ({why}); strip the skull with "
        "SynthStrip, HD-BET or BET, or give a mask"
    )


def skull_signs(nonzero_xyz: Mask, affine_ras: npt.NDArray[np.float64]) -> str:
    """Why an image shows more than a brain; empty: it does not."""
    background = 1 - np.count_nonzero(nonzero_xyz) / nonzero_xyz.size
    if background < LEAST_BACKGROUND:
        return f"{background:.0%} of its voxels are 0, expected a background of 0"
    volume_ml = _millilitres(nonzero_xyz, affine_ras)
    if volume_ml > LARGEST_BRAIN_ML:
        return f"{volume_ml / 1000:.1f} l are not 0, a brain has at most 2.2 l"
    return ""


def brain_only(image: Volume, brain_xyz: Mask | None) -> Volume:
    """The image with 0 outside its brain; None: it is so already."""
    if brain_xyz is None:
        return image
    array_xyz = np.asarray(image.array_xyz)
    inside_xyz = np.where(brain_xyz, array_xyz, np.zeros((), array_xyz.dtype))
    return replace(image, array_xyz=inside_xyz)


def above_background(path: Path, image: Volume, brain_xyz: Mask) -> Volume:
    """The image with its brain above 0, the background's value from here on.

    In an image with zero mean a background of 0 is as bright as the mean of the brain: nothing to
    tell them apart, for a network, a registration or N4 (which takes logarithms). Where more than
    `MOST_NEGATIVE` of the brain is below 0, the brain is shifted up by its darkest intensity
    (`DARKEST_PERCENTILE`, so that no outlier says how far; what is darker is set to that).

    Args:
        path: for the note.
        image: intensities.
        brain_xyz: its brain.

    Returns:
        the image itself where the background is dark enough already, else one with 0 outside the
        brain and a note.
    """
    array_xyz = np.asarray(image.array_xyz)
    brain_v = array_xyz[brain_xyz]
    below = float(np.mean(brain_v < 0)) if brain_v.size else 0.0
    if below <= MOST_NEGATIVE:
        return image
    darkest = float(np.percentile(brain_v, DARKEST_PERCENTILE))
    lifted_xyz = np.zeros(array_xyz.shape, np.float32)
    lifted_xyz[brain_xyz] = np.maximum(brain_v - darkest, np.finfo(np.float32).tiny)
    note = (
        f"{path}: {below:.0%} of the brain's voxels are below 0, the background's value (is the "
        f"image z-scored?); the background is taken as {darkest:.3g}, the brain's darkest intensity"
    )
    return replace(image, array_xyz=lifted_xyz, notes=(*image.notes, note))


def load_mask(path: Path, image: Volume, notes: list[str] | None = None) -> Mask:
    """Read a brain mask on its image's grid; `notes` is extended by what is odd with its file.

    Raises:
        UserError: the file is damaged, on another grid, or no mask of a brain in the image.
    """
    volume = turned_like(load_volume(path, notes), image)
    ours, theirs = volume.array_xyz.shape, image.array_xyz.shape
    if ours != theirs:
        raise UserError(
            f"{path}: shape {' x '.join(map(str, ours))}, expected "
            f"{' x '.join(map(str, theirs))} as the image; give a mask on the image's grid"
        )
    off_voxels = grid_offset_voxels(volume, image)
    if off_voxels > SAME_PLACE_VOXELS:
        raise UserError(
            f"{path}: its header places it {off_voxels:.1f} voxels off the image; give a mask on "
            "the image's grid"
        )
    mask_xyz = np.asarray(volume.array_xyz) > 0.5
    volume_ml = _millilitres(mask_xyz, image.affine_ras)
    if volume_ml > LARGEST_BRAIN_ML:
        raise UserError(
            f"{path}: the mask holds {volume_ml / 1000:.1f} l, a brain has at most 2.2 l; is this "
            "a mask of the head?"
        )
    return mask_xyz


def _millilitres(mask_xyz: Mask, affine_ras: npt.NDArray[np.float64]) -> float:
    voxel_mm3 = abs(float(np.linalg.det(affine_ras[:3, :3])))
    return int(np.count_nonzero(mask_xyz)) * voxel_mm3 / 1000

"""Segmentations of any label protocol, as our label maps on an image's grid."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from gansfer.errors import UserError
from gansfer.readers.files.nifti import load_volume
from gansfer.readers.label_maps import (
    grid_offset_voxels,
    label_numbers,
    load_labels,
    map_labels,
    turned_like,
)
from gansfer.readers.protocols import LabelProtocol
from gansfer.resampling import resample_labels
from gansfer.subjects import Volume

Mask = npt.NDArray[np.bool_]
LabelMap = npt.NDArray[np.uint8]

# Grids whose corners are less than this apart are the same grid.
SAME_PLACE_VOXELS = 0.25


@dataclass(frozen=True)
class Segmentation:
    """A segmentation on its image's grid.

    Attributes:
        label_xyz: 0 and 1..S.
        white_matter_xyz: labelled white matter in the brain, or None where there is none.
    """

    label_xyz: LabelMap
    white_matter_xyz: Mask | None


def load_segmentation(
    path: Path,
    image: Volume,
    subject_id: str,
    protocol: LabelProtocol,
    brain_xyz: Mask,
    *,
    resample: bool = False,
    same_place: bool = True,
    complete: bool = False,
    notes: list[str] | None = None,
) -> Segmentation:
    """Read a segmentation and turn its numbers into ours.

    Args:
        path: the file.
        image: the image that it segments.
        subject_id: the image's, for messages.
        protocol: what its numbers mean.
        brain_xyz: the image's brain, to notice a map that lies elsewhere.
        resample: bring a map on another grid to the image's; else it is refused.
        same_place: the file says where it lies (Analyze files do not): compare it.
        complete: every structure must occur.
        notes: what is odd with the file, though it can be used; extended.

    Raises:
        UserError: the file is damaged, on another grid, holds other numbers than these, lacks a
            structure or lies outside the brain.
    """
    numbers_xyz = whole_numbers(
        path,
        image,
        subject_id,
        protocol.value_of,
        resample=resample,
        same_place=same_place,
        notes=notes,
    )
    label_xyz = map_labels(path, numbers_xyz, protocol.value_of, brain_xyz)
    present = set(np.unique(label_xyz).tolist())
    for value, name in enumerate(protocol.structures, start=1):
        if complete and value not in present:
            raise UserError(
                f"{path}: no voxel of {name} (numbers "
                f"{', '.join(map(str, protocol.numbers_of(value)))}); label it, exclude the "
                "subject, or leave it out of cohort.structures"
            )
    white_xyz = np.isin(numbers_xyz, protocol.white_matter) & brain_xyz
    return Segmentation(label_xyz, white_xyz if white_xyz.any() else None)


def whole_numbers(
    path: Path,
    image: Volume,
    subject_id: str,
    value_of: Mapping[int, int],
    *,
    resample: bool,
    same_place: bool = True,
    notes: list[str] | None = None,
) -> npt.NDArray[np.int64]:
    """A segmentation's own numbers on an image's grid.

    Args:
        path: the file.
        image: the image that it segments.
        subject_id: the image's, for messages.
        value_of: protocol's number -> our value.
        resample: bring a map on another grid to the image's; else it is refused.
        same_place: the file says where it lies (Analyze files do not): compare it.
        notes: what is odd with the file, though it can be used; extended.

    Raises:
        UserError: the file is damaged, or on another grid and not to be resampled.
    """
    if not same_place:
        return load_labels(path, image, subject_id, value_of, notes)
    volume = turned_like(load_volume(path, notes), image)
    numbers_xyz = label_numbers(path, volume, value_of, notes)
    difference = _other_grid(volume, image)
    if not difference:
        return numbers_xyz
    if not resample:
        raise UserError(
            f"{path}: {difference} of {subject_id}; set resample: true to bring it to the image's "
            "grid, or give labels on that grid"
        )
    known = np.unique(numbers_xyz)
    # Resampling takes at most 256 values: ranks stand for the numbers meanwhile.
    rank_xyz = np.searchsorted(known, numbers_xyz)
    label_from_image = np.linalg.inv(volume.affine_ras) @ image.affine_ras
    x, y, z = image.array_xyz.shape
    if len(known) > 256 or known[0] != 0:
        raise UserError(
            f"{path}: {len(known)} different numbers, expected 0 and at most 255 to resample; give "
            "labels on the image's grid"
        )
    return known[resample_labels(rank_xyz.astype(np.uint8), label_from_image, (x, y, z))]


def _other_grid(volume: Volume, image: Volume) -> str:
    """How a map's grid differs from the image's; empty: it does not."""
    ours, theirs = volume.array_xyz.shape, image.array_xyz.shape
    if ours != theirs:
        return f"shape {_times(ours)}, expected {_times(theirs)} as the image"
    off_voxels = grid_offset_voxels(volume, image)
    if off_voxels > SAME_PLACE_VOXELS:
        return f"its header places it {off_voxels:.1f} voxels off the image"
    return ""


def _times(shape: tuple[int, ...]) -> str:
    return " x ".join(map(str, shape))

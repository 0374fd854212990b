"""Label maps on their image's grid, and their numbers as ours."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
from nibabel.affines import apply_affine
from nibabel.orientations import (
    apply_orientation,
    inv_ornt_aff,
    io_orientation,
    ornt_transform,
)

from gansfer.errors import UserError
from gansfer.readers.nifti import load_volume
from gansfer.resampling import box_corners
from gansfer.structures import LARGEST_LABEL
from gansfer.subjects import Volume

Affine = npt.NDArray[np.float64]

# A label map that lies less than this inside the brain is not on the image's grid.
MIN_INSIDE_BRAIN = 0.8


def load_labels(path: Path, image: Volume, subject_id: str) -> npt.NDArray[np.int64]:
    """Read a label map on an image's grid, its axes turned to the image's where they differ.

    Only axes are compared, not origins: Analyze files carry none.

    Args:
        path: label map in any protocol's numbers.
        image: the image that it labels.
        subject_id: the image's, for messages.

    Raises:
        UserError: as `load_volume`; or the grids differ, or a number is not whole.
    """
    label_xyz = turned_like(load_volume(path), image).array_xyz
    if label_xyz.shape != image.array_xyz.shape:
        raise UserError(
            f"{path}: shape {label_xyz.shape} for the image of {subject_id} of "
            f"{image.array_xyz.shape}; give labels on the image's grid"
        )
    check_label_numbers(path, label_xyz)
    return np.rint(label_xyz).astype(np.int64)


def turned_like(volume: Volume, image: Volume) -> Volume:
    """The same volume with its axes in an image's order and directions."""
    turn = ornt_transform(io_orientation(volume.affine_ras), io_orientation(image.affine_ras))
    turned_xyz = np.asarray(apply_orientation(volume.array_xyz, turn))
    affine_ras = volume.affine_ras @ inv_ornt_aff(turn, volume.array_xyz.shape)
    return Volume(turned_xyz, np.asarray(affine_ras, np.float64))


def grid_offset_voxels(volume: Volume, image: Volume) -> float:
    """Largest distance between the corners of two grids of one shape, in the image's voxels."""
    return offset_voxels(volume.affine_ras, image.affine_ras, image.array_xyz.shape)


def offset_voxels(moved_ras: Affine, affine_ras: Affine, shape_xyz: Sequence[int]) -> float:
    """Largest distance, in voxels of the second, between the corners that two affines give."""
    corner_83 = box_corners(shape_xyz)
    voxel_from_moved = np.linalg.inv(affine_ras) @ moved_ras
    off_83 = apply_affine(voxel_from_moved, corner_83) - corner_83
    return float(np.linalg.norm(off_83, axis=1).max())


def check_label_numbers(path: Path, label_xyz: npt.NDArray[np.generic]) -> None:
    """Raise a UserError where a value is no label number."""
    value_xyz = np.asarray(label_xyz)
    fractions = not np.issubdtype(value_xyz.dtype, np.integer)
    if (
        value_xyz.min() < 0
        or value_xyz.max() > LARGEST_LABEL
        or (fractions and np.abs(value_xyz - np.rint(value_xyz)).max() > 1e-3)
    ):
        raise UserError(f"{path}: values are not label numbers (0, 1, 2 ...); is this an image?")


def map_labels(
    path: Path,
    numbers_xyz: npt.NDArray[np.int64],
    table: Mapping[int, int],
    brain_xyz: npt.NDArray[np.bool_],
) -> npt.NDArray[np.uint8]:
    """Turn a protocol's numbers into ours; every number that is not in `table` becomes background.

    Args:
        path: for messages.
        numbers_xyz: label map in the protocol's numbers.
        table: protocol's number -> our value (`structures.protocol_table`).
        brain_xyz: the image's brain, to notice a label map that lies elsewhere.

    Raises:
        UserError: none of the numbers occurs, or the labels lie outside the brain.
    """
    values = np.zeros(max(int(numbers_xyz.max()), max(table)) + 1, np.uint8)
    values[list(table)] = list(table.values())
    label_xyz = values[numbers_xyz]
    n_labelled = int(np.count_nonzero(label_xyz))
    if not n_labelled:
        held = ", ".join(map(str, np.unique(numbers_xyz)[1:9]))
        wanted = ", ".join(map(str, sorted(table)[:8]))
        raise UserError(
            f"{path}: holds numbers {held} ..., none of {wanted} ...; is the protocol right?"
        )
    inside = np.count_nonzero(label_xyz[brain_xyz]) / n_labelled
    if inside < MIN_INSIDE_BRAIN:
        raise UserError(
            f"{path}: only {inside:.0%} of the labels lie in the image's brain; "
            "do the label map and the image belong together?"
        )
    return label_xyz

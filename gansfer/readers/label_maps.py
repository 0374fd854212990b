"""Label maps on their image's grid, and their numbers as ours."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import numpy.typing as npt
from nibabel.orientations import (
    apply_orientation,
    inv_ornt_aff,
    io_orientation,
    ornt_transform,
)

from gansfer.errors import UserError
from gansfer.readers.nifti import load_volume
from gansfer.structures import LARGEST_LABEL
from gansfer.subjects import Volume

# A label map that lies less than this inside the brain is not on the image's grid.
MIN_INSIDE_BRAIN = 0.8


def load_labels(path: Path, image: Volume, who: str) -> npt.NDArray[np.int64]:
    """Read a label map on an image's grid, its axes turned to the image's where they differ.

    Only axes are compared, not origins: Analyze files carry none.

    Args:
        path: label map in any protocol's numbers.
        image: the image that it labels.
        who: the image's name, for messages.

    Raises:
        UserError: as `load_volume`; or the grids differ, or a number is not whole.
    """
    label_xyz = turned_like(load_volume(path), image).array_xyz
    if label_xyz.shape != image.array_xyz.shape:
        raise UserError(
            f"{path}: shape {label_xyz.shape} for the image of {who} of "
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
    corners = np.stack(np.meshgrid(*[(0, n - 1) for n in image.array_xyz.shape], indexing="ij"), -1)
    image_from_volume = np.linalg.inv(image.affine_ras) @ volume.affine_ras
    at = corners.reshape(-1, 3)
    moved = at @ image_from_volume[:3, :3].T + image_from_volume[:3, 3]
    return float(np.linalg.norm(moved - at, axis=1).max())


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
        found = ", ".join(map(str, np.unique(numbers_xyz)[1:9]))
        wanted = ", ".join(map(str, sorted(table)[:8]))
        raise UserError(
            f"{path}: holds numbers {found} ..., none of {wanted} ...; is the protocol right?"
        )
    inside = np.count_nonzero(label_xyz[brain_xyz]) / n_labelled
    if inside < MIN_INSIDE_BRAIN:
        raise UserError(
            f"{path}: only {inside:.0%} of the labels lie in the image's brain; "
            "do the label map and the image belong together?"
        )
    return label_xyz

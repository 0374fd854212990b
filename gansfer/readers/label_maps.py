"""Label maps on their image's grid, and their numbers as ours."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from nibabel.orientations import (
    apply_orientation,
    inv_ornt_aff,
    io_orientation,
    ornt_transform,
)

from gansfer.errors import UserError
from gansfer.readers.files.nifti import load_volume
from gansfer.resampling import offset_voxels
from gansfer.structures import LARGEST_LABEL
from gansfer.subjects import Volume

# A label map that lies less than this inside the brain is not on the image's grid.
MIN_INSIDE_BRAIN = 0.8
# This near to a whole number, a value is one.
WHOLE = 1e-3
# With a coarser slope, rounding could give another label than was meant.
COARSEST_SLOPE = 0.5
# No protocol has more; an image has.
MOST_LABELS = 10_000


def load_labels(
    path: Path,
    image: Volume,
    subject_id: str,
    value_of: Mapping[int, int],
    notes: list[str] | None = None,
) -> npt.NDArray[np.int64]:
    """Read a label map on an image's grid, its axes turned to the image's where they differ.

    Only axes are compared, not origins: Analyze files carry none.

    Args:
        path: label map in any protocol's numbers.
        image: the image that it labels.
        subject_id: the image's, for messages.
        value_of: protocol's number -> our value.
        notes: what is odd with the file, though it can be used; extended.

    Raises:
        UserError: as `load_volume`; or the grids differ, or a number is not whole.
    """
    volume = turned_like(load_volume(path, notes), image)
    if volume.array_xyz.shape != image.array_xyz.shape:
        raise UserError(
            f"{path}: shape {volume.array_xyz.shape} for the image of {subject_id} of "
            f"{image.array_xyz.shape}; give labels on the image's grid"
        )
    return label_numbers(path, volume, value_of, notes)


def turned_like(volume: Volume, image: Volume) -> Volume:
    """The same volume with its axes in an image's order and directions."""
    turn = ornt_transform(io_orientation(volume.affine_ras), io_orientation(image.affine_ras))
    turned_xyz = np.asarray(apply_orientation(volume.array_xyz, turn))
    affine_ras = volume.affine_ras @ inv_ornt_aff(turn, volume.array_xyz.shape)
    return replace(volume, array_xyz=turned_xyz, affine_ras=np.asarray(affine_ras, np.float64))


def grid_offset_voxels(volume: Volume, image: Volume) -> float:
    """Largest distance between the corners of two grids of one shape, in the image's voxels."""
    return offset_voxels(volume.affine_ras, image.affine_ras, image.array_xyz.shape)


def label_numbers(
    path: Path, volume: Volume, value_of: Mapping[int, int], notes: list[str] | None = None
) -> npt.NDArray[np.int64]:
    """A label map's whole numbers, also where the file's header or its writer scaled them.

    Values that are not whole are taken in two cases, each with a note. Written as integers with a
    slope of at most 0.5 (nibabel does so with labels held as floats), each is at most half a slope
    from its number: 9.9765 is 10. Or all are one factor off whole numbers that have every structure
    of the protocol: 10/255 is 10.

    Args:
        path: for messages.
        volume: the map as read.
        value_of: protocol's number -> our value.
        notes: what is odd with the file, though it can be used; extended.

    Raises:
        UserError: a value is no label number, and neither case holds.
    """
    value_xyz = np.asarray(volume.array_xyz)
    is_scaled = (volume.slope, volume.intercept) != (1, 0)
    is_whole = _in_range(value_xyz) and (
        np.issubdtype(value_xyz.dtype, np.integer)
        or np.abs(value_xyz - np.rint(value_xyz)).max() <= WHOLE
    )
    if is_whole and not is_scaled:
        return np.rint(value_xyz).astype(np.int64)
    value_v = np.unique(value_xyz).astype(np.float64)
    number_v = _unscaled(value_v, volume, value_of)
    odd_v = np.abs(value_v - (np.rint(value_v) if number_v is None else number_v))
    if number_v is None:
        odd_v = np.where((value_v < 0) | (value_v > LARGEST_LABEL), np.inf, odd_v)
    n = int(odd_v.argmax())
    if number_v is None and is_whole:  # of another protocol, as `map_labels` will say
        number_v = np.rint(value_v)
    elif number_v is None:
        stored = (value_v[n] - volume.intercept) / volume.slope
        how, remedy = "", "is this an image?"
        if is_scaled:
            how = f" (stored as {stored:.6g}, slope {volume.slope:.6g})"
            remedy = "write the labels again as integers, with slope 1"
        raise UserError(
            f"{path}: the value {value_v[n]:.6g}{how} is no label number (0, 1, 2 ...); {remedy}"
        )
    elif odd_v[n] > WHOLE and notes is not None:
        notes.append(
            f"{path}: labels are scaled (slope {volume.slope:.6g}): the value {value_v[n]:.6g} is "
            f"taken as {number_v[n]:.0f}, and the others accordingly"
        )
    return number_v[np.searchsorted(value_v, value_xyz)].astype(np.int64)


def _unscaled(
    value_v: npt.NDArray[Any], volume: Volume, value_of: Mapping[int, int]
) -> npt.NDArray[Any] | None:
    """The whole numbers that the values of a scaled map stand for; None: it cannot be said."""
    if len(value_v) > MOST_LABELS:
        return None
    slope = volume.slope
    off = np.abs(value_v - np.rint(value_v)).max()
    nearest = off <= WHOLE or (0 < slope <= COARSEST_SLOPE and off <= slope / 2 + WHOLE)
    if nearest and _in_range(value_v) and _structures(np.rint(value_v), value_of):
        return np.asarray(np.rint(value_v))
    smallest = value_v[value_v > 0].min(initial=np.inf)
    factors = {1 / slope} if slope != 1 else {255.0, *(n / smallest for n in value_of)}
    wanted = set(value_of.values())
    candidates = {
        tuple(np.rint(value_v * factor))
        for factor in factors
        if _in_range(value_v * factor)
        and np.abs(value_v * factor - np.rint(value_v * factor)).max() <= WHOLE
        and _structures(np.rint(value_v * factor), value_of) == wanted
    }
    return np.array(candidates.pop()) if len(candidates) == 1 else None


def _in_range(values: npt.NDArray[Any]) -> bool:
    return bool(values.min() >= 0 and values.max() <= LARGEST_LABEL)


def _structures(number_v: npt.NDArray[Any], value_of: Mapping[int, int]) -> set[int]:
    """Our values of the structures that these numbers label."""
    return {value_of[int(number)] for number in number_v if int(number) in value_of}


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

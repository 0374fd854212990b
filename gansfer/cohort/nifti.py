"""Careful reading of image files: whole, 3-D, finite and with contrast, or a one-line error."""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import numpy.typing as npt
from nibabel.filebasedimages import ImageFileError
from nibabel.imageglobals import LoggingOutputSuppressor
from nibabel.orientations import (
    apply_orientation,
    io_orientation,
    ornt_transform,
)
from nibabel.spatialimages import HeaderDataError, ImageDataError
from nibabel.wrapstruct import WrapStructError

from gansfer.cohort.subjects import Volume
from gansfer.errors import UserError

# What nibabel, gzip and zlib raise on files that are missing a part or are something else.
DAMAGE = (
    OSError,
    EOFError,
    ValueError,
    zlib.error,
    ImageFileError,
    HeaderDataError,
    ImageDataError,
    WrapStructError,
)
# A label map that lies less than this inside the brain is not on the image's grid.
MIN_INSIDE_BRAIN = 0.8


class _LenientHeader(nib.Nifti1Header):
    """A header whose quaternion may be a rounding error too long, as in the MICCAI 2012 files."""

    quaternion_threshold = np.float64(-1e-6)


class _LenientImage(nib.Nifti1Image):
    header_class = _LenientHeader


def load_volume(path: Path) -> Volume:
    """Read a 3-D image; trailing axes of length 1 are dropped (the T88 images of OASIS-1 are 4-D).

    Raises:
        UserError: the file is missing, truncated or of another kind, is not 3-D, holds NaN or
            infinity, is constant, or has no usable geometry.
    """
    if not path.is_file():
        raise UserError(f"{path}: no such file; is the download complete?")
    try:
        kind: Any = _LenientImage if path.name.endswith((".nii", ".nii.gz")) else nib
        # Analyze's blank origin is no news: the reader of T88 places the image itself.
        with LoggingOutputSuppressor():
            image = kind.load(path)
        array_xyz = np.asanyarray(image.dataobj)
        affine_ras = np.asarray(image.affine, np.float64)
    except DAMAGE as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        raise UserError(f"{path}: cannot be read ({reason}); download it again") from error
    while array_xyz.ndim > 3 and array_xyz.shape[-1] == 1:
        array_xyz = array_xyz[..., 0]
    if array_xyz.ndim != 3 or 1 in array_xyz.shape:
        raise UserError(
            f"{path}: shape {' x '.join(map(str, array_xyz.shape))}, expected three dimensions; "
            "is this a slice or a series?"
        )
    n_bad = array_xyz.size - int(np.count_nonzero(np.isfinite(array_xyz)))
    if n_bad:
        raise UserError(f"{path}: {n_bad} voxels are not finite; repair or exclude the image")
    if array_xyz.min() == array_xyz.max():
        raise UserError(f"{path}: every voxel is {array_xyz.flat[0]:g}; is the file empty?")
    if not np.isfinite(affine_ras).all() or abs(np.linalg.det(affine_ras[:3, :3])) < 1e-6:
        raise UserError(f"{path}: the header's affine has no volume; repair the header")
    return Volume(array_xyz, affine_ras)


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
    volume = load_volume(path)
    turn = ornt_transform(io_orientation(volume.affine_ras), io_orientation(image.affine_ras))
    label_xyz = np.asarray(apply_orientation(volume.array_xyz, turn))
    if label_xyz.shape != image.array_xyz.shape:
        raise UserError(
            f"{path}: shape {label_xyz.shape} for the image of {who} of "
            f"{image.array_xyz.shape}; give labels on the image's grid"
        )
    numbers_xyz = np.rint(label_xyz).astype(np.int64)
    if np.abs(label_xyz - numbers_xyz).max() > 1e-3 or numbers_xyz.min() < 0:
        raise UserError(f"{path}: values are not label numbers (0, 1, 2 ...); is this an image?")
    return numbers_xyz


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

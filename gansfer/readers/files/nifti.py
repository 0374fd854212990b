"""Careful reading of image files: whole, 3-D, finite and with contrast, or a one-line error."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import numpy.typing as npt
from nibabel.filebasedimages import ImageFileError
from nibabel.fileholders import FileHolder
from nibabel.imageglobals import logger
from nibabel.orientations import io_orientation
from nibabel.spatialimages import HeaderDataError, ImageDataError
from nibabel.wrapstruct import WrapStructError

from gansfer.errors import UserError
from gansfer.readers.files.headers import (
    NIFTI_2_BEGINS,
    SPARE_BYTES,
    Claim,
    check_claim,
    opened_file,
    read_claim,
    surplus,
)
from gansfer.readers.files.tables import collected
from gansfer.resampling import offset_voxels
from gansfer.subjects import Volume
from gansfer.untrusted import BoundedStream

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
    OverflowError,
    MemoryError,
)
# More than this between sform and qform is no rounding.
MOST_APART_VOXELS = 1.0
# No scanner is a hundred metres away.
LARGEST_MM = 1e5
_CHUNK_BYTES = 1 << 20


class _LenientHeader(nib.Nifti1Header):
    """A header whose quaternion may be a rounding error too long, as in the MICCAI 2012 files."""

    quaternion_threshold = np.float64(-1e-6)


class _LenientImage(nib.Nifti1Image):
    header_class = _LenientHeader


def load_volume(path: Path, notes: list[str] | None = None) -> Volume:
    """Read a 3-D image; trailing axes of length 1 are dropped (the T88 images of OASIS-1 are 4-D).

    Args:
        path: NIfTI, Analyze or MGH, compressed or not.
        notes: extended by the volume's own notes.

    Raises:
        UserError: the file is missing, truncated or of another kind, is not 3-D, holds NaN or
            infinity, is constant, or has no usable geometry.
    """
    _check_file(path)
    try:
        # Analyze's blank origin is no news: the reader of T88 places the image itself.
        with _quiet_nibabel(), np.errstate(all="ignore"):
            claim = read_claim(path)
            check_claim(path, claim)
            image, array_xyz = _read_image(path, claim)
        affine_ras = np.asarray(image.affine, np.float64)
    except DAMAGE as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        raise UserError(f"{path}: cannot be read ({reason}); download it again") from error
    while array_xyz.ndim > 3:
        array_xyz = array_xyz[..., 0]
    n_bad = array_xyz.size - int(np.count_nonzero(np.isfinite(array_xyz)))
    if n_bad:
        raise UserError(f"{path}: {n_bad} voxels are not finite; repair or exclude the image")
    if array_xyz.min() == array_xyz.max():
        raise UserError(f"{path}: every voxel is {array_xyz.flat[0]:g}; is the file empty?")
    if not _has_volume(affine_ras):
        raise UserError(f"{path}: the header's affine has no volume; repair the header")
    own_notes = _two_places(path, image.header, array_xyz.shape)
    if notes is not None:
        notes.extend(own_notes)
    slope, intercept = (getattr(image.dataobj, name, None) for name in ("slope", "inter"))
    return Volume(
        array_xyz,
        affine_ras,
        placed=_is_placed(image.header),
        slope=1.0 if slope is None else float(slope),
        intercept=0.0 if intercept is None else float(intercept),
        notes=own_notes,
    )


@contextmanager
def _quiet_nibabel() -> Iterator[None]:
    """Nothing on the terminal of what nibabel mends in a header; what matters is checked here."""
    before, logger.disabled = logger.disabled, True
    try:
        yield
    finally:
        logger.disabled = before


def _has_volume(affine_ras: npt.NDArray[np.float64]) -> bool:
    """Whether voxels have a size, and axes a direction."""
    if not np.isfinite(affine_ras).all() or not np.abs(affine_ras).max() < LARGEST_MM:
        return False
    if abs(np.linalg.det(affine_ras[:3, :3])) < 1e-6:
        return False
    return bool(np.isfinite(io_orientation(affine_ras)).all())


def load_image(path: Path, others: Sequence[Path]) -> Volume:
    """As `load_volume`; where the image is damaged, the files that belong to it are looked at too.

    Args:
        path: the image.
        others: masks and label maps, which can only be read with the image.

    Raises:
        UserError: what is wrong with the image and with the others, a line each.
    """
    try:
        return load_volume(path)
    except UserError as error:
        problems = [str(error)]
    for other in others:
        with collected(problems):
            load_volume(other)
    raise UserError("\n".join(problems))


def _two_places(path: Path, header: Any, shape_xyz: tuple[int, ...]) -> tuple[str, ...]:
    """A note where a NIfTI's two transforms, which should agree, place the image differently."""
    if not isinstance(header, nib.Nifti1Header):
        return ()
    sform_ras = header.get_sform(coded=True)[0]
    try:
        qform_ras = header.get_qform(coded=True)[0]
    except HeaderDataError:
        return (
            () if sform_ras is None else (f"{path}: the qform is no rotation; the sform is used",)
        )
    if sform_ras is None or qform_ras is None:
        return ()
    if np.linalg.det(sform_ras[:3, :3]) * np.linalg.det(qform_ras[:3, :3]) < 0:
        how = "mirror images of each other"
    else:
        off_voxels = offset_voxels(qform_ras, sform_ras, shape_xyz)
        if off_voxels <= MOST_APART_VOXELS:
            return ()
        how = f"up to {off_voxels:.1f} voxels apart"
    return (
        f"{path}: the header's sform and qform disagree ({how}); the sform is used: see which "
        "is right, and copy it over the other (fslorient -copyqform2sform or -copysform2qform)",
    )


def _is_placed(header: Any) -> bool:
    if isinstance(header, nib.Nifti1Header):
        return bool(header["qform_code"] or header["sform_code"])
    return not isinstance(header, nib.AnalyzeHeader)


def _read_image(path: Path, claim: Claim) -> tuple[Any, npt.NDArray[Any]]:
    """An image and its voxels. A compressed file is read to its end, where its checksum is.

    nibabel stops after the last voxel, and would never see that a bit of one was flipped. Nor
    would it stop at a header's extension of gigabytes.
    """
    kind: Any = nib
    name = path.name.lower()
    if name.endswith((".mgh", ".mgz")):
        kind = nib.MGHImage
    elif name.endswith((".nii", ".nii.gz")):
        with opened_file(path) as stream:
            kind = nib.Nifti2Image if stream.read(4) in NIFTI_2_BEGINS else _LenientImage
    if not claim.is_packed:
        image = kind.load(path)
        return image, np.asanyarray(image.dataobj)
    with opened_file(path) as stream:
        bounded = BoundedStream(stream, claim.n_bytes + SPARE_BYTES + 1)
        image = kind.from_file_map({"image": FileHolder(str(path), bounded)}, mmap=False)
        array_xyz = np.asanyarray(image.dataobj)
        while bounded.read(_CHUNK_BYTES):
            pass
        if bounded.tell() > claim.n_bytes + SPARE_BYTES:
            with path.open("rb") as file:  # the last four bytes: unpacked length, modulo 2^32
                file.seek(-4, 2)
                n_held = struct.unpack("<I", file.read(4))[0]
            raise surplus(path, claim, max(n_held, bounded.tell()))
    return image, array_xyz


def _check_file(path: Path) -> None:
    """Raise where there is no file to open, and say which kind of nothing it is."""
    try:
        is_there, is_link = path.is_file(), path.is_symlink()
        n_bytes = path.stat().st_size if is_there else 0
    except OSError as error:
        raise UserError(
            f"{path}: cannot be reached ({error.strerror}); make the folder readable to you"
        ) from error
    if not is_there and is_link:
        raise UserError(f"{path}: is a link that leads nowhere; put the file itself there")
    if not is_there:
        raise UserError(f"{path}: no such file; is the download complete?")
    if n_bytes == 0:
        raise UserError(f"{path}: cannot be read (the file has 0 bytes); download it again")
    try:
        path.open("rb").close()
    except OSError as error:
        raise UserError(f"{path}: {error.strerror}; make the file readable to you") from error

"""What an image's header claims, and whether its file can hold it, before any voxel is read."""

from __future__ import annotations

import gzip
import io
import math
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, cast

import nibabel as nib
import numpy as np
from nibabel.spatialimages import HeaderDataError

from gansfer.errors import UserError
from gansfer.untrusted import MOST_HEADER_BYTES, expands_too_much

ENDINGS = (".nii.gz", ".nii", ".mgz", ".mgh", ".hdr", ".img")
# Some writers pad a file; a slice more is no padding.
SPARE_BYTES = 512
NIFTI_2_BEGINS = (struct.pack("<i", 540), struct.pack(">i", 540))
MGH_HEADER_BYTES = 284
MGH_TYPES = {0: ">u1", 1: ">i4", 3: ">f4", 4: ">i2"}
_APPLE_DOUBLE = b"\0\5\x16\7"


@dataclass(frozen=True)
class Claim:
    """What a header says of the voxels, before any is read.

    Attributes:
        shape: of all axes.
        dtype: of a voxel.
        offset: first byte of the voxels in the file that holds them.
        data: that file.
        is_packed: it is compressed.
    """

    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    offset: int
    data: Path
    is_packed: bool

    @property
    def n_bytes(self) -> int:
        """Up to the end of the last voxel."""
        return self.offset + math.prod(self.shape) * self.dtype.itemsize


def read_claim(path: Path) -> Claim:
    """Read a header without its extensions, and nothing else."""
    name = path.name.lower()
    ending = next((one for one in ENDINGS if name.endswith(one)), None)
    if ending is None:
        raise UserError(
            f"{path}: is of a kind that is not read, expected {', '.join(ENDINGS)}; convert it"
        )
    is_pair, is_packed = ending in (".hdr", ".img"), ending in (".nii.gz", ".mgz")
    with opened_file(path.with_suffix(".hdr") if is_pair else path) as stream:
        first = stream.read(540)
    if first[:4] == _APPLE_DOUBLE:
        raise UserError(f"{path}: is what macOS keeps beside a file, not the file; drop the `._`")
    data = path.with_suffix(".img") if is_pair else path
    is_mgh, is_nifti_2 = ending in (".mgh", ".mgz"), first[:4] in NIFTI_2_BEGINS
    n_header = MGH_HEADER_BYTES if is_mgh else 540 if is_nifti_2 else 348
    if len(first) < n_header:
        raise EOFError(f"the header ends after {len(first)} bytes, expected {n_header}")
    if is_mgh:
        dims = struct.unpack(">4i", first[4:20])
        kind_code = struct.unpack(">i", first[20:24])[0]
        if kind_code not in MGH_TYPES:
            raise HeaderDataError(f"its voxels are of the unknown type {kind_code}")
        return Claim(dims, np.dtype(MGH_TYPES[kind_code]), MGH_HEADER_BYTES, data, is_packed)
    kind = nib.Nifti2Header if is_nifti_2 else nib.Nifti1Header
    header = kind.from_fileobj(io.BytesIO(first[:n_header]), check=False)
    shape = tuple(map(int, header.get_data_shape()))
    try:
        dtype = header.get_data_dtype()
    except KeyError as error:
        raise HeaderDataError(f"its voxels are of the unknown type {error}") from error
    if not dtype.itemsize:
        raise HeaderDataError("its voxels have no type")
    is_analyze = is_pair and bytes(header["magic"]) not in (b"ni1", b"ni2")
    offset = 0 if is_analyze else int(header.get_data_offset())
    return Claim(shape, dtype, offset, data, is_packed)


def check_claim(path: Path, claim: Claim) -> None:
    """Raise where the voxels are not of one brain image, or more than the file can hold."""
    if claim.dtype.names:
        raise UserError(
            f"{path}: holds colours (RGB), expected one intensity a voxel; convert it to grey"
        )
    if np.issubdtype(claim.dtype, np.complexfloating):
        raise UserError(f"{path}: holds complex numbers, expected intensities; take the magnitude")
    shape = claim.shape
    while len(shape) > 3 and shape[-1] == 1:
        shape = shape[:-1]
    if len(shape) != 3 or min(shape) < 2:
        raise UserError(
            f"{path}: shape {' x '.join(map(str, shape))}, expected three dimensions; "
            "is this a slice or a series?"
        )
    if not 0 <= claim.offset <= MOST_HEADER_BYTES:
        raise OSError(f"voxels at byte {claim.offset}")
    n_held = claim.data.stat().st_size
    if claim.is_packed and expands_too_much(claim.n_bytes, n_held):
        raise UserError(
            f"{path}: the header asks for {claim.n_bytes} bytes, {claim.n_bytes // n_held} times "
            "the file's; if they are there, unpack the file (gunzip) and name the unpacked one"
        )
    if not claim.is_packed and claim.n_bytes > n_held:
        raise OSError(
            f"Expected {claim.n_bytes - claim.offset} bytes, got {max(n_held - claim.offset, 0)} "
            f"bytes from {claim.data} - could the file be damaged?"
        )
    if not claim.is_packed and n_held > claim.n_bytes + SPARE_BYTES:
        raise surplus(path, claim, n_held)


def opened_file(path: Path) -> IO[bytes]:
    """A file's bytes, unpacked where its name says that it is packed."""
    if path.name.lower().endswith((".gz", ".mgz")):
        return cast("IO[bytes]", gzip.open(path))
    return path.open("rb")


def surplus(path: Path, claim: Claim, n_held: int) -> UserError:
    """The file holds more than its header says: one of the two is of another image."""
    return UserError(
        f"{path}: the header asks for {claim.n_bytes} bytes, the file holds {n_held}; do header "
        "and data belong together?"
    )

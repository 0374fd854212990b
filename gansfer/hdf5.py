"""HDF5 files that are whole or absent, also on a full disk; and files of others, read with care."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path

import h5py

from gansfer.atomic import replacing
from gansfer.errors import UserError
from gansfer.sealed import is_intact, is_sealed, seal
from gansfer.untrusted import MOST_OF_DEFLATE, expands_too_much

# What h5py raises on files that are damaged, lack a part or hold it in another form.
DAMAGE = (
    OSError,
    KeyError,
    IndexError,
    ValueError,
    TypeError,
    AttributeError,
    RuntimeError,
    OverflowError,
    MemoryError,
)
# HDF5 File Format Specification III.E: a collection of texts, and the head of each.
_HEAP, _HEAP_HEAD, _TEXT_HEAD = b"GCOL\x01", struct.Struct("<5s3xQ"), struct.Struct("<H6xQ")
_WIDTHS = (8, 8)  # bytes of an offset and of a length, as h5py writes them
_CHUNK_BYTES = 16 << 20


@contextmanager
def replacing_hdf5(path: Path) -> Iterator[h5py.File]:
    """Yield an HDF5 file in memory; write it to `path`, atomically, if the block succeeds.

    HDF5 itself does not bear a full disk: it raises what says nothing of the disk, and crashes when
    the file is closed. So the bytes are made first, and written as those of any other product.

    Raises:
        UserError: the disk is full, or takes no more for another reason that is not ours.
    """
    with h5py.File(path.name, "w", driver="core", backing_store=False) as file:
        yield file
        file.flush()
        content = file.id.get_file_image()
    with replacing(path) as aside:
        aside.write_bytes(content)
        seal(aside)


@contextmanager
def reading_hdf5(path: Path, remedy: str) -> Iterator[h5py.File]:
    """Yield an HDF5 file to be read; whatever its content raises in the block becomes one line.

    Args:
        path: the file.
        remedy: what the user should do if it is damaged.

    Raises:
        UserError: the file is missing or damaged.
    """
    if not path.is_file():
        raise UserError(f"{path}: missing; {remedy}")
    try:
        status = path.stat()
        _check(path, status.st_size, (status.st_dev, status.st_ino, status.st_mtime_ns))
        # Read-only files on a shared file system must not be locked.
        with h5py.File(path, "r", locking=False) as file:
            if file.id.get_create_plist().get_sizes() != _WIDTHS:
                raise ValueError("its offsets or lengths have another width than 8 bytes")
            yield file
    except DAMAGE as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        raise UserError(f"{path}: cannot be read ({reason}); {remedy}") from error


def dataset(file: h5py.File, name: str, n_axes: int) -> h5py.Dataset:
    """A dataset that lies in the file itself and is no larger than its bytes can be.

    Args:
        file: as of `reading_hdf5`.
        name: the dataset's.
        n_axes: how many it has.

    Raises:
        ValueError: it is a link, lies in other files, or claims more than the file can hold.
        KeyError: there is none.
    """
    if not isinstance(file.get(name, getlink=True), h5py.HardLink):
        raise ValueError(f"{name} is a link to another place, expected the data themselves")
    found = file[name]
    if not isinstance(found, h5py.Dataset) or found.ndim != n_axes:
        raise ValueError(f"{name} is no array of {n_axes} axes")
    if found.is_virtual or found.external:
        raise ValueError(f"{name} lies in other files, expected the data themselves")
    if expands_too_much(
        found.size * found.dtype.itemsize, found.id.get_storage_size(), MOST_OF_DEFLATE
    ):
        shape = " x ".join(map(str, found.shape))
        raise ValueError(f"{name} claims {shape} values, more than the file can hold")
    return found


@lru_cache(maxsize=256)
def _check(path: Path, n_bytes: int, identity: tuple[int, int, int]) -> None:
    """Refuse a file that HDF5 does not bear to read: it crashes, or never ends, at some damage.

    Args:
        path: the file; one of an earlier version has no seal.
        n_bytes: its size.
        identity: what changes when the file does; it is read once as long as that stays.

    Raises:
        ValueError: it is not as it was written.
        OSError: the file cannot be read.
    """
    if not is_sealed(path):
        _check_heaps(path, n_bytes)
    elif not is_intact(path):
        raise ValueError("it was damaged since it was written")


def _check_heaps(path: Path, n_bytes: int) -> None:
    """Refuse texts that HDF5 would never be done with: it goes on by the size that each claims."""
    with path.open("rb") as file:
        for start in range(0, n_bytes, _CHUNK_BYTES):
            file.seek(start)
            chunk = file.read(_CHUNK_BYTES + len(_HEAP) - 1)
            at = chunk.find(_HEAP)
            while at >= 0:
                file.seek(start + at)
                head = file.read(_HEAP_HEAD.size)
                size = _HEAP_HEAD.unpack(head)[1] if len(head) == _HEAP_HEAD.size else 0
                texts = file.read(max(size - len(head), 0)) if size <= n_bytes else b""
                if _is_endless(texts):
                    raise ValueError("a text in it claims to have no size")
                at = chunk.find(_HEAP, at + 1)


def _is_endless(texts: bytes) -> bool:
    """Whether one of these texts leads to itself or back, by its size."""
    at = 0
    while at + _TEXT_HEAD.size <= len(texts):
        index, size = _TEXT_HEAD.unpack_from(texts, at)
        taken = size if index == 0 else _TEXT_HEAD.size + -(-size // 8) * 8
        if not 0 < taken < 1 << 63:
            return True
        at += taken
    return False

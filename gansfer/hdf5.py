"""HDF5 files that are whole or absent, also on a full disk; and files of others, read with care."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import h5py

from gansfer.atomic import replacing
from gansfer.errors import UserError
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
    try:  # Read-only files on a shared file system must not be locked.
        with h5py.File(path, "r", locking=False) as file:
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

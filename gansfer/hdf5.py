"""HDF5 files that are whole or absent, also on a full disk."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import h5py

from gansfer.atomic import replacing


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

"""HDF5 products: whole or absent, also where the disk takes no more."""

from __future__ import annotations

import resource
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import h5py
import numpy as np
import pytest

from gansfer.errors import UserError
from gansfer.hdf5 import replacing_hdf5

NOISE = np.random.default_rng(0).integers(0, 255, (64, 4096)).astype(np.uint8)


@contextmanager
def files_of_at_most(n_bytes: int) -> Iterator[None]:
    """What a full disk is to a writer, in this process only."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    ignored = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (n_bytes, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, ignored)


def write(path: Path) -> None:
    with replacing_hdf5(path) as file:
        file.create_dataset("x", data=NOISE, chunks=(1, 4096), compression="gzip")
        file.attrs["units"] = "none"


def test_what_was_written_is_read(tmp_path: Path) -> None:
    write(tmp_path / "deep" / "a.h5")
    with h5py.File(tmp_path / "deep" / "a.h5", "r") as file:
        np.testing.assert_array_equal(file["x"][:], NOISE)
        assert file.attrs["units"] == "none"
    assert [path.name for path in (tmp_path / "deep").iterdir()] == ["a.h5"]


def test_a_full_disk_is_one_line_and_leaves_nothing(tmp_path: Path) -> None:
    with files_of_at_most(100_000), pytest.raises(UserError) as caught:
        write(tmp_path / "a.h5")
    assert str(caught.value) == (
        f"{tmp_path}/a.h5: cannot be written (File too large); free space there, or set storage to "
        "a folder with room"
    )
    assert list(tmp_path.iterdir()) == []


def test_an_error_keeps_the_old_product(tmp_path: Path) -> None:
    write(tmp_path / "a.h5")
    before = (tmp_path / "a.h5").read_bytes()
    with pytest.raises(RuntimeError), replacing_hdf5(tmp_path / "a.h5") as file:
        file["y"] = 1
        raise RuntimeError
    assert (tmp_path / "a.h5").read_bytes() == before

"""HDF5 products: whole or absent, also where the disk takes no more."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import h5py
import numpy as np
import pytest

from gansfer.errors import UserError
from gansfer.hdf5 import _check, reading_hdf5, replacing_hdf5
from gansfer.sealed import unsealed
from tests.full_disk import files_of_at_most

ROOT = Path(__file__).resolve().parents[1]
NOISE = np.random.default_rng(0).integers(0, 255, (64, 4096)).astype(np.uint8)


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


def texts_at(content: bytes) -> list[int]:
    """Where the heads of the texts lie, the free space after them last."""
    at = content.index(b"GCOL\x01") + 16
    found = [at]
    while content[at : at + 2] != b"\0\0":
        at += 16 + -(-int.from_bytes(content[at + 8 : at + 16], "little") // 8) * 8
        found.append(at)
    return found


READING = """
import sys
from pathlib import Path
from gansfer.hdf5 import reading_hdf5
try:
    with reading_hdf5(Path(sys.argv[1]), "make it again") as file:
        print(file.attrs["units"], file.attrs["names"][1])
except Exception as error:
    print(type(error).__name__, error)
"""


@pytest.mark.parametrize(
    ("number", "size", "said"),
    [
        (None, 0, "none second"),
        (-1, 0, "UserError {path}: cannot be read (a text in it claims to have no size); make it"),
        (0, 2**64 - 16, "UserError {path}: cannot be read (a text in it claims to have no size)"),
    ],
)
def test_texts_that_lead_to_themselves_do_not_hold_us_for_ever(
    tmp_path: Path, number: int | None, size: int, said: str
) -> None:
    """HDF5 walks a heap by the sizes that it claims: where they are 0, without an end."""
    path = tmp_path / "a.h5"
    with replacing_hdf5(path) as file:
        file.create_dataset("x", data=NOISE)
        file.attrs["units"] = "none"
        file.attrs["names"] = ["first", "second"]
    content = bytearray(unsealed(path))  # as an earlier version has written it
    if number is not None:
        at = texts_at(bytes(content))[number]
        content[at + 8 : at + 16] = size.to_bytes(8, "little")
    path.write_bytes(content)
    ran = subprocess.run(
        [sys.executable, "-c", READING, str(path)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    assert ran.stdout.startswith(said.format(path=path))


@pytest.mark.parametrize("place", [0, 100, -100, -1])
def test_what_is_not_as_it_was_written_is_not_given_to_the_library(
    tmp_path: Path, place: int
) -> None:
    path = tmp_path / "a.h5"
    write(path)
    content = bytearray(path.read_bytes())
    content[place] ^= 1
    path.write_bytes(content)
    with pytest.raises(UserError) as caught, reading_hdf5(path, "make it again"):
        pass
    assert str(caught.value) == (
        f"{path}: cannot be read (it was damaged since it was written); make it again"
    )


def test_a_file_is_checked_once_as_long_as_it_stays(tmp_path: Path) -> None:
    write(tmp_path / "a.h5")
    _check.cache_clear()
    for _ in range(2):
        with reading_hdf5(tmp_path / "a.h5", "make it again"):
            pass
    assert (_check.cache_info().misses, _check.cache_info().hits) == (1, 1)
    write(tmp_path / "a.h5")
    with reading_hdf5(tmp_path / "a.h5", "make it again"):
        pass
    assert _check.cache_info().misses == 2

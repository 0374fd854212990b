"""Files that somebody made to do harm: refused in a line, before they cost time or memory.

Each is read in a process of its own, which says what was raised and how much more memory it took.
"""

from __future__ import annotations

import gzip
import struct
import subprocess
import sys
from collections.abc import Callable
from functools import cache
from pathlib import Path

import h5py
import nibabel as nib
import numpy as np
import pytest

from gansfer.cohort.shards import Cohort
from gansfer.cohort.table import read_table
from gansfer.errors import UserError
from gansfer.evaluation.predictions import read_predictions
from gansfer.readers.files.nifti import load_volume
from gansfer.readers.files.tables import read_rows
from gansfer.synthesis.synthetic_sets import read_synthetic
from tests.readers import fuzzing
from tests.readers.layouts import brain, write_nifti

READ = """
import resource, sys
from pathlib import Path
from gansfer.errors import UserError
{imports}
def peak_mib():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
before = peak_mib()
try:
    {call}
except UserError as error:
    print(f"{{peak_mib() - before:.0f}} {{error}}")
else:
    print("read")
"""
MOST_MIB = 150


def refused(path: Path, imports: str, call: str) -> str:
    """What a process of its own says of a file; it must not take much memory over it."""
    code = READ.format(imports=imports, call=call)
    ran = subprocess.run(
        [sys.executable, "-c", code, str(path)], capture_output=True, text=True, check=False
    )
    assert ran.returncode == 0, ran.stderr[-2000:]
    mib, _, line = ran.stdout.strip().partition(" ")
    assert mib.isdecimal(), ran.stdout
    assert int(mib) < MOST_MIB, ran.stdout
    return line


def volume_refused(path: Path) -> str:
    return refused(
        path,
        "from gansfer.readers.files.nifti import load_volume",
        "load_volume(Path(sys.argv[1]))",
    )


def nifti(folder: Path, offset: int, packed: bytes) -> bytes:
    """A good NIfTI file's bytes with some of its header replaced."""
    raw = bytearray(write_nifti(folder / "good.nii", brain((12, 14, 10))).read_bytes())
    raw[offset : offset + len(packed)] = packed
    return bytes(raw)


@cache
def zeros(n_mib: int) -> bytes:
    """A gzip file of zeros, member by member: quick to make, slow to read."""
    return gzip.compress(bytes(16 << 20), 6) * (n_mib // 16)


HUGE = struct.pack("<4h", 3, 10000, 10000, 10000)


@pytest.mark.parametrize("ending", [".nii", ".nii.gz"])
def test_a_nifti_that_claims_a_million_million_voxels(tmp_path: Path, ending: str) -> None:
    raw = nifti(tmp_path, 40, HUGE)
    path = tmp_path / f"huge{ending}"
    path.write_bytes(raw if ending == ".nii" else gzip.compress(raw))
    line = volume_refused(path)
    wanted = "Expected 2000000000000 bytes" if ending == ".nii" else "asks for 2000000000352 bytes"
    assert wanted in line


@pytest.mark.parametrize("ending", [".mgh", ".mgz"])
def test_an_mgh_that_claims_a_million_million_voxels(tmp_path: Path, ending: str) -> None:
    nib.save(nib.MGHImage(brain((12, 14, 10)), np.eye(4)), tmp_path / "good.mgh")
    raw = bytearray((tmp_path / "good.mgh").read_bytes())
    raw[4:16] = struct.pack(">3i", 10000, 10000, 10000)
    path = tmp_path / f"huge{ending}"
    path.write_bytes(bytes(raw) if ending == ".mgh" else gzip.compress(bytes(raw)))
    assert "2000000000" in volume_refused(path)


def test_an_analyze_that_claims_a_million_million_voxels(tmp_path: Path) -> None:
    nib.save(nib.AnalyzeImage(brain((12, 14, 10)), np.eye(4)), tmp_path / "i.hdr")
    raw = bytearray((tmp_path / "i.hdr").read_bytes())
    raw[40:48] = HUGE
    (tmp_path / "i.hdr").write_bytes(raw)
    assert "Expected 2000000000000 bytes, got 3360 bytes" in volume_refused(tmp_path / "i.hdr")


@pytest.mark.parametrize("offset", [1e30, np.inf, np.nan, -1e30, 1e9])
def test_a_header_that_overflows(tmp_path: Path, offset: float) -> None:
    path = tmp_path / "i.nii.gz"
    path.write_bytes(gzip.compress(nifti(tmp_path, 108, struct.pack("<f", offset))))
    assert "i.nii.gz: cannot be read (" in volume_refused(path)


def test_seven_axes_of_the_largest_number(tmp_path: Path) -> None:
    path = tmp_path / "i.nii.gz"
    path.write_bytes(gzip.compress(nifti(tmp_path, 40, struct.pack("<8h", 7, *[32767] * 7))))
    assert "expected three dimensions" in volume_refused(path)


def test_a_gzip_bomb_that_holds_what_it_claims(tmp_path: Path) -> None:
    path = tmp_path / "bomb.nii.gz"
    raw = nifti(tmp_path, 40, struct.pack("<4h", 3, 1024, 1024, 512))
    path.write_bytes(gzip.compress(raw[:352]) + zeros(1024))
    assert "unpack the file (gunzip) and name the unpacked one" in volume_refused(path)


def test_a_gzip_bomb_behind_a_small_image(tmp_path: Path) -> None:
    path = tmp_path / "bomb.nii.gz"
    path.write_bytes(gzip.compress(nifti(tmp_path, 0, b"")) + zeros(4096))
    assert "do header and data belong together?" in volume_refused(path)


def test_a_gzip_bomb_in_an_extension(tmp_path: Path) -> None:
    path = tmp_path / "bomb.nii.gz"
    raw = nifti(tmp_path, 108, struct.pack("<f", 4096.0))[:348]
    extension = struct.pack("<4b2i", 1, 0, 0, 0, 2**31 - 16, 6)
    path.write_bytes(gzip.compress(raw + extension) + zeros(2048))
    assert "bomb.nii.gz: " in volume_refused(path)


def test_an_image_that_shrinks_well_is_read(tmp_path: Path) -> None:
    """A label map of few structures is no bomb."""
    array_xyz = np.zeros((128, 128, 128), np.uint8)
    array_xyz[60:64, 60:64, 60:64] = 1
    path = write_nifti(tmp_path / "l.nii.gz", array_xyz)
    assert array_xyz.nbytes > 100 * path.stat().st_size
    np.testing.assert_array_equal(load_volume(path).array_xyz, array_xyz)


def test_a_file_of_macos_and_one_of_another_kind(tmp_path: Path) -> None:
    path = tmp_path / "._i.nii"
    path.write_bytes(b"\0\5\x16\7" + bytes(600))
    with pytest.raises(UserError, match=r"is what macOS keeps beside a file, not the file"):
        load_volume(path)
    (tmp_path / "i.mnc").write_bytes(b"CDF")
    with pytest.raises(UserError, match=r"i\.mnc: is of a kind that is not read, expected \.nii"):
        load_volume(tmp_path / "i.mnc")


def h5_cases(folder: Path) -> dict[str, Callable[[h5py.File], object]]:
    """Ways to make a dataset's bytes come from elsewhere, or from nowhere."""
    with h5py.File(folder / "secret.h5", "w") as file:
        file["label"] = np.zeros((3, 4, 8, 8), np.uint8)
    (folder / "secret.bin").write_bytes(bytes(768))

    def external(file: h5py.File) -> None:
        file.create_dataset(
            "label", (3, 4, 8, 8), "u1", external=[(str(folder / "secret.bin"), 0, 768)]
        )

    def virtual(file: h5py.File) -> None:
        layout = h5py.VirtualLayout((3, 4, 8, 8), "u1")
        layout[:] = h5py.VirtualSource(str(folder / "secret.h5"), "label", (3, 4, 8, 8))
        file.create_virtual_dataset("label", layout)

    return {
        "an external link": lambda file: file.__setitem__(
            "label", h5py.ExternalLink(str(folder / "secret.h5"), "label")
        ),
        "a soft link": lambda file: file.__setitem__("label", h5py.SoftLink("/id")),
        "external storage": external,
        "a virtual dataset": virtual,
        "a million million voxels": lambda file: file.create_dataset(
            "label", (3, 10000, 10000, 10000), "u1", chunks=(1, 1, 100, 100), compression="gzip"
        ),
    }


@pytest.mark.parametrize("n", range(5))
def test_predictions_whose_bytes_are_not_their_own(tmp_path: Path, n: int) -> None:
    name, change = list(h5_cases(tmp_path).items())[n]
    path = tmp_path / "p.h5"
    fuzzing.FORMATS[[one.name for one in fuzzing.FORMATS].index("predictions")].write(tmp_path)
    assert sorted(read_predictions(path)) == ["a", "b", "c"]
    with h5py.File(path, "r+") as file:
        del file["label"]
        change(file)
    line = refused(
        path,
        "from gansfer.evaluation.predictions import read_predictions",
        "read_predictions(Path(sys.argv[1]))",
    )
    wanted = {
        "an external link": "label is a link to another place",
        "a soft link": "label is a link to another place",
        "external storage": "label lies in other files",
        "a virtual dataset": "label lies in other files",
        "a million million voxels": "claims 3 x 10000 x 10000 x 10000 values, more than the file",
    }[name]
    assert wanted in line
    assert line.endswith("run the stage that wrote it again")


@pytest.mark.parametrize("name", ["shards", "synthetic sets"])
def test_other_hdf5_files_follow_no_link_either(tmp_path: Path, name: str) -> None:
    form = next(form for form in fuzzing.FORMATS if form.name == name)
    form.write(tmp_path)
    with h5py.File(tmp_path / form.target, "r+") as file:
        file.move("image", "elsewhere")
        file["image"] = h5py.SoftLink("elsewhere")
    with pytest.raises(UserError, match="image is a link to another place"):
        if name == "shards":
            Cohort(tmp_path)
        else:
            read_synthetic(tmp_path / form.target)


def table_with(folder: Path, old: str, new: str) -> Path:
    """A good subjects.csv with one thing changed."""
    fuzzing.FORMATS[[one.name for one in fuzzing.FORMATS].index("subjects.csv")].write(folder)
    path = folder / "subjects.csv"
    assert old in path.read_text()
    path.write_bytes(path.read_text().replace(old, new, 1).encode("latin-1"))
    return path


@pytest.mark.parametrize(
    ("old", "new", "wanted"),
    [
        ("s1,", "s\xfc1,", r"line \d: 'utf-8' codec can't decode byte 0xfc"),
        ("images-000.h5", "../../images-000.h5", "shard is '../../images-000.h5', which is no"),
        ("images-000.h5", "/etc/images-000.h5", "which is no name of a file"),
        ("s1,", "../s1,", r"id is '\.\./s1', which is no name of a file"),
        ("images-000.h5,0", "images-000.h5,-1", "row is '-1', expected a row's number"),
        (",100.0,", ",nan,", "intensity_mean is nan"),
        (",100.0,", ",1e999,", "intensity_mean is 1e999"),
        ("s1,", "s0,", "id s0 is given twice"),
        ("s1,31.0", "s1,31.0,", "more or fewer cells than columns"),
    ],
)
def test_tables_that_name_what_they_should_not(
    tmp_path: Path, old: str, new: str, wanted: str
) -> None:
    path = table_with(tmp_path, old, new)
    with pytest.raises(UserError, match=wanted) as caught:
        read_table(path)
    assert str(caught.value).endswith("prepare the cohort again")


def test_a_table_larger_than_any(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    with path.open("wb") as file:
        file.truncate(65 << 20)
    with pytest.raises(UserError, match="65 MiB, expected a table of at most 64 MiB"):
        read_rows(path, ("id",))
    with pytest.raises(UserError, match="too large for a table of subjects"):
        read_table(path)

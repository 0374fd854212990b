"""Little copies of the two data sets' folder layouts, as their real files are."""

from __future__ import annotations

import gzip
import struct
from pathlib import Path

import nibabel as nib
import numpy as np

T88_SHAPE = (44, 52, 44)  # 4 mm
MASKED = "{0}_mpr_n4_anon_111_t88_masked_gfc"


def brain(shape, seed: int = 0) -> np.ndarray:
    """A noisy ellipsoid, int16, 0 outside."""
    grid = np.stack(np.meshgrid(*[np.linspace(-1, 1, n) for n in shape], indexing="ij"))
    inside = (grid**2).sum(0) < 0.5
    noise = np.random.default_rng(seed).integers(200, 1200, shape)
    return np.where(inside, noise, 0).astype(np.int16)


def write_t88(discs: Path, session: str, array_xyz: np.ndarray, disc: int = 1) -> Path:
    """One session as OASIS-1 has it: big-endian Analyze, 4-D, the origin's bytes blank."""
    folder = discs / f"disc{disc}" / session / "PROCESSED" / "MPRAGE" / "T88_111"
    folder.mkdir(parents=True)
    shape = array_xyz.shape
    header = bytearray(348)
    struct.pack_into(">i", header, 0, 348)
    struct.pack_into(">8h", header, 40, 4, *shape, 1, 0, 0, 0)
    struct.pack_into(">2h", header, 70, 4, 16)
    struct.pack_into(">4f", header, 76, 0, *(np.array([176, 208, 176]) / shape))
    header[253:263] = b" " * 9 + b"\0"
    path = folder / (MASKED.format(session) + ".hdr")
    path.write_bytes(header)
    path.with_suffix(".img").write_bytes(array_xyz.astype(">i2").tobytes(order="F"))
    return path


def write_nifti(path: Path, array_xyz: np.ndarray, affine: np.ndarray | None = None) -> Path:
    """A NIfTI file; the default affine has voxel axes left, anterior, superior."""
    path.parent.mkdir(parents=True, exist_ok=True)
    affine = np.diag([-1.0, 1.0, 1.0, 1.0]) if affine is None else affine
    nib.save(nib.Nifti1Image(array_xyz, affine), path)
    return path


def lengthen_quaternion(path: Path) -> None:
    """Make the header's quaternion a rounding error too long, as in the challenge's files."""
    raw = bytearray(gzip.decompress(path.read_bytes()))
    struct.pack_into("<2h", raw, 252, 1, 0)
    struct.pack_into("<3f", raw, 256, 0.0, np.sqrt(1 + 6e-7), 0.0)
    path.write_bytes(gzip.compress(bytes(raw)))


def write_challenge(folder: Path, rows: list[str], header: str) -> Path:
    """The challenge's folder; each row starts with the id, and has an image and labels."""
    folder.mkdir(parents=True)
    (folder / "demographics.csv").write_text("\n".join([header, *rows]) + "\n")
    for number, row in enumerate(rows):
        subject_id = row.split(",")[0]
        part = "training" if number % 2 == 0 else "testing"
        image_xyz = brain((20, 24, 22), number)
        label_xyz = np.zeros(image_xyz.shape, np.int16)
        label_xyz[8:10, 10:12, 10:12] = 47  # hippocampus, right
        label_xyz[11:13, 10:12, 10:12] = 48
        label_xyz[8:12, 13:15, 10:12] = 59  # thalamus
        label_xyz[8:12, 8:10, 10:12] = 44  # white matter
        label_xyz[8:12, 15:16, 10:12] = 71  # something else
        write_nifti(folder / f"{part}-images" / f"{subject_id}_3.nii.gz", image_xyz)
        write_nifti(folder / f"{part}-labels" / f"{subject_id}_3_glm.nii.gz", label_xyz)
    return folder

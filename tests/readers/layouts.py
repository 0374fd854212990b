"""Little copies of the two data sets' folder layouts, as their real files are."""

from __future__ import annotations

import gzip
import struct
from pathlib import Path

import nibabel as nib
import numpy as np

T88_SHAPE = (44, 52, 44)  # 4 mm
MASKED = "{0}_mpr_n4_anon_111_t88_masked_gfc"


def brain(shape: tuple[int, ...], seed: int = 0) -> np.ndarray:
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


def head_volume(shape: tuple[int, ...] = (24, 26, 24), seed: int = 0) -> np.ndarray:
    """A noisy image without a background of 0, int16: a head as a scanner gives it."""
    return np.random.default_rng(seed).integers(20, 1200, shape).astype(np.int16)


FOLDER_SHAPE = (40, 44, 36)
FOLDER_AFFINE = np.array([[-2.0, 0, 0, 39], [0, 2, 0, -54], [0, 0, 2, -35], [0, 0, 0, 1]])
FOLDER_HEADER = "id,person,image,mask,label,reference,age_years,sex,cdr,in_pool"


def two_structures(shape: tuple[int, ...] = FOLDER_SHAPE) -> np.ndarray:
    """Hippocampus (17, 53) and thalamus (10, 49) in FreeSurfer's numbers, with white matter."""
    label_xyz = np.zeros(shape, np.int16)
    label_xyz[14:17, 18:22, 16:20] = 17
    label_xyz[23:26, 18:22, 16:20] = 53
    label_xyz[18:20, 22:25, 16:20] = 10
    label_xyz[20:22, 22:25, 16:20] = 49
    label_xyz[14:26, 14:17, 16:20] = 2
    return label_xyz


def write_folder(folder: Path, n_labelled: int = 2, n_others: int = 2) -> Path:
    """A plain folder of images in the common space and its table, `people.csv`."""
    rows = [FOLDER_HEADER]
    for n in range(n_labelled + n_others):
        name = f"s{n}"
        write_nifti(folder / "images" / f"{name}.nii.gz", brain(FOLDER_SHAPE, n), FOLDER_AFFINE)
        segmentation = ""
        if n < n_labelled:
            segmentation = f"labels/{name}.nii.gz"
            write_nifti(folder / segmentation, two_structures(), FOLDER_AFFINE)
        age, sex, cdr = 30 + 10 * n, "FM"[n % 2], (0, 0.5, 1, 2)[n % 4]
        rows.append(f"{name},,images/{name}.nii.gz,,{segmentation},,{age},{sex},{cdr},")
    (folder / "people.csv").write_text("\n".join(rows) + "\n")
    return folder


def write_bids(root: Path, people: tuple[str, ...] = ("01", "02", "03")) -> Path:
    """A BIDS dataset of heads with masks, segmentations of the first two, and their dseg.tsv."""
    rows = ["participant_id\tage\tsex\tcdr"]
    masks, labels = root / "derivatives" / "masks", root / "derivatives" / "manual"
    for n, person in enumerate(people):
        anat = Path(f"sub-{person}") / "anat"
        head_xyz = head_volume(FOLDER_SHAPE, n)
        inside = (brain(FOLDER_SHAPE, n) != 0).astype(np.uint8)
        write_nifti(root / anat / f"sub-{person}_T1w.nii.gz", head_xyz, FOLDER_AFFINE)
        write_nifti(masks / anat / f"sub-{person}_desc-brain_mask.nii.gz", inside, FOLDER_AFFINE)
        if n < 2:
            name = f"sub-{person}_desc-manual_dseg.nii.gz"
            write_nifti(labels / anat / name, two_structures(), FOLDER_AFFINE)
        rows.append(f"sub-{person}\t{60 + n}\t{'FM'[n % 2]}\t{'n/a' if n else 0.5}")
    (root / "participants.tsv").write_text("\n".join(rows) + "\n")
    (labels / "dseg.tsv").write_text(
        "index\tname\n17\tLeft-Hippocampus\n53\tRight-Hippocampus\n10\tLeft-Thalamus-Proper\n"
        "49\tRight-Thalamus-Proper\n2\tLeft-Cerebral-White-Matter\n99\tLeft-Vessel\n"
    )
    return root


def folder_cohort(folder: Path, **changed: object) -> dict:
    """The cohort section for `write_folder`."""
    return {
        "images": {
            "kind": "folder",
            "folder": str(folder),
            "table": str(folder / "people.csv"),
            "in_common_space": True,
        },
        "labels": {"kind": "table", "protocol": "freesurfer"},
        "structures": ["hippocampus", "thalamus"],
        "roi": {"voxel_mm": 4.0},
    } | changed


def bids_cohort(root: Path, **changed: object) -> dict:
    """The cohort section for `write_bids`."""
    return {
        "images": {
            "kind": "bids",
            "folder": str(root),
            "masks": str(root / "derivatives" / "masks"),
            "in_common_space": True,
        },
        "labels": {"kind": "bids", "folder": str(root / "derivatives" / "manual")},
        "structures": ["hippocampus", "thalamus"],
        "roi": {"voxel_mm": 4.0},
    } | changed


def experiment_values(cohort: dict, storage: Path) -> dict:
    """The smallest experiment on such a cohort."""
    return {
        "name": "mini",
        "storage": str(storage),
        "cohort": cohort,
        "grid": {"folds": 2, "use_folds": [0], "label_counts": [1], "ablation": None},
        "gan": {
            "fmaps": [8, 8, 8],
            "minibatch": 8,
            "phase_2": {"frozen_top_blocks": 1},
            "latent_size": 8,
        },
        "synthesis": {"slices_per_phase": 10},
        "segmenter": {"preset": "deepmedic-original"},
    }

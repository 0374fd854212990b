"""The real data's folders with the built-in cohort's brains at 4 mm, for benchmarks in seconds.

As make_cohort.py writes them with --real-labelled: discs and table, the challenge's folder, and the
truth of every disc's image in truth/labels. Brains are cut to an ellipsoid round the deep grey
matter, so that a registration takes a second.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import numpy.typing as npt

from gansfer.phantom.individual import draw_individual
from gansfer.phantom.phantom_source import scan
from gansfer.readers.oasis import t88_affine
from gansfer.seeds import seed_for
from gansfer.settings import RoiSettings
from gansfer.structures import PAPER_STRUCTURES, PROTOCOLS, WHITE_MATTER
from tests.benchmarks.arguments import CHALLENGE_NAME, TABLE_NAME
from tests.readers.layouts import T88_SHAPE, write_nifti, write_t88

Affine = npt.NDArray[np.float64]

# Person: id in the challenge ("": not labelled), age.
PEOPLE: Mapping[str, tuple[str, int]] = {
    "OAS1_0001": ("1001", 25),
    "OAS1_0002": ("1002", 58),  # on no disc: nothing to refine the registration to
    "OAS1_0003": ("", 30),
    "OAS1_0004": ("", 72),
    "OAS1_0005": ("", 64),
}
ON_NO_DISC = ("OAS1_0002",)
HALF_AXES_MM = np.array([56.0, 60.0, 48.0])
# Where the scanner's pose puts a head: native RAS mm -> common RAS mm.
COMMON_FROM_NATIVE: Affine = np.array(
    [[0.99, -0.10, 0.05, 3], [0.10, 0.99, 0.03, -4], [-0.05, -0.03, 1.04, 5], [0, 0, 0, 1.0]]
)
# Brain that is no structure is labelled in blocks, as the protocol labels some 130 regions.
FIRST_BLOCK, BLOCK_MM = 100, 30.0


def write_little_cohort(folder: Path) -> Path:
    """Two labelled people, one of whom is on a disc, and three of the pool."""
    rows, labelled_rows = [], []
    for person, (subject_id, age_years) in PEOPLE.items():
        session = f"{person}_MR1"
        affine_ras = t88_affine(T88_SHAPE)
        if person not in ON_NO_DISC:
            rows.append(f"{session},F,{age_years},")
            image_xyz, numbers_xyz = drawn(person, age_years, affine_ras, "disc")
            write_t88(folder, session, image_xyz)
            write_nifti(
                folder / "truth" / "labels" / f"{session}_labels.nii.gz", numbers_xyz, affine_ras
            )
        if subject_id:
            labelled_rows.append(f"{subject_id},{session},{age_years},F,0,")
            affine_ras[:3, 3] += 1.3  # another scan of the same head
            image_xyz, numbers_xyz = drawn(person, age_years, affine_ras, "native")
            native_ras = np.linalg.inv(COMMON_FROM_NATIVE) @ affine_ras
            challenge, part = folder / CHALLENGE_NAME, "training"
            write_nifti(
                challenge / f"{part}-images" / f"{subject_id}_3.nii.gz", image_xyz, native_ras
            )
            write_nifti(
                challenge / f"{part}-labels" / f"{subject_id}_3_glm.nii.gz", numbers_xyz, native_ras
            )
    (folder / TABLE_NAME).write_text("\n".join(["ID,M/F,Age,CDR", *rows]) + "\n")
    header = "id,oasis_session,age_years,sex,cdr,repeat_of"
    (challenge / "demographics.csv").write_text("\n".join([header, *labelled_rows]) + "\n")
    return folder


def drawn(
    person: str, age_years: int, affine_ras: Affine, scanned: str
) -> tuple[npt.NDArray[np.int16], npt.NDArray[np.int16]]:
    """A person's image and labels in the challenge's numbers, on an upright grid."""
    lines_mm = [
        (affine_ras[k, 3] + affine_ras[k, k] * np.arange(n)).astype(np.float32)
        for k, n in enumerate(T88_SHAPE)
    ]
    anatomy = np.random.default_rng(seed_for(0, "little-cohort", person))
    noise = np.random.default_rng(seed_for(0, "little-cohort-noise", person, scanned))
    image_xyz, label_xyz, white_xyz = scan(
        draw_individual(anatomy, age_years, 0.0),
        (lines_mm[0], lines_mm[1], lines_mm[2]),
        abs(float(affine_ras[0, 0])),
        noise,
    )
    at_mm = np.stack(np.meshgrid(*lines_mm, indexing="ij"), axis=-1) - RoiSettings().centre_mm
    inside_xyz = ((at_mm / HALF_AXES_MM) ** 2).sum(axis=-1) < 1
    brain_xyz = np.where(inside_xyz, image_xyz, 0).astype(np.int16)
    side_xyz = (at_mm[..., 0] < 0).astype(int)  # right, left: the order of the protocol's numbers
    block_xyz = np.floor((at_mm + 2 * BLOCK_MM) / BLOCK_MM).astype(int) @ (1, 4, 16)
    numbers_xyz = FIRST_BLOCK + block_xyz
    numbers_xyz[white_xyz] = np.array(WHITE_MATTER["neuromorphometrics"])[side_xyz[white_xyz]]
    for value, name in enumerate(PAPER_STRUCTURES, start=1):
        of_it = label_xyz == value
        numbers_xyz[of_it] = np.array(PROTOCOLS["neuromorphometrics"][name])[side_xyz[of_it]]
    return brain_xyz, np.where(brain_xyz > 0, numbers_xyz, 0).astype(np.int16)

"""Does our alignment put a brain where the release's own has it? Is white matter estimated well?

    python -m tests.benchmarks.same_subjects COHORT [--subjects 30]

COHORT is a folder that make_cohort.py wrote with --real-labelled: its discs hold a T88 copy of
every labelled subject, an affine image of the native one. The true affine between both comes from
the centroids of some 130 labels (truth/labels). Printed for each subject: the distance between
where our registration (to the pool's mean; to the copy itself) and where the true affine puts a
brain voxel (mean over the brain, mm), and how far the mixture's white matter is from the median of
the labelled white matter (per cent of the file's intensity). Wanted: at most 1.0 mm and 3 % for
every subject.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from gansfer.preprocessing.preprocess import mixture_white_matter
from gansfer.preprocessing.registration import mean_template, register_affine, template_members
from gansfer.readers.challenge import ChallengeSource
from gansfer.readers.label_maps import load_labels
from gansfer.readers.oasis import OasisSource
from gansfer.structures import PAPER_STRUCTURES, WHITE_MATTER, protocol_table
from gansfer.subjects import Volume
from tests.benchmarks.arguments import (
    CHALLENGE_NAME,
    TABLE_NAME,
    count,
    parser_of,
    raw_cohort,
)

Affine = npt.NDArray[np.float64]
LEAST_VOXELS = 60
WHITE = WHITE_MATTER["neuromorphometrics"]
VALUE_OF = protocol_table("neuromorphometrics", PAPER_STRUCTURES)
COLUMNS = (
    "to template mm",
    "to own copy mm",
    "fit mm",
    "similarity",
    "white native %",
    "white T88 %",
)


def centroids_mm(numbers_xyz: npt.NDArray[np.int64], affine_ras: Affine) -> dict[int, Affine]:
    """Centroid of every label of some size, RAS mm."""
    sizes = np.bincount(numbers_xyz.ravel())
    values = [int(v) for v in np.flatnonzero(sizes >= LEAST_VOXELS) if v]
    at = np.array(ndimage.center_of_mass(np.ones(numbers_xyz.shape), numbers_xyz, values))
    at_mm = at @ affine_ras[:3, :3].T + affine_ras[:3, 3]
    return dict(zip(values, at_mm, strict=True))


def fitted_affine(source: dict[int, Affine], target: dict[int, Affine]) -> tuple[Affine, float]:
    """Twelve-parameter affine between centroids by least squares, and its RMS error in mm."""
    both = sorted(set(source) & set(target))
    from_mm = np.array([[*source[v], 1.0] for v in both])
    to_mm = np.array([target[v] for v in both])
    matrix = np.eye(4)
    matrix[:3] = np.linalg.lstsq(from_mm, to_mm, rcond=None)[0].T
    rms_mm = float(np.sqrt(((from_mm @ matrix[:3].T - to_mm) ** 2).sum(1).mean()))
    return matrix, rms_mm


def mean_distance_mm(one: Affine, other: Affine, image: Volume) -> float:
    """Mean over brain voxels of the distance between where two affines put them."""
    at = np.argwhere(np.asarray(image.array_xyz) != 0)[::7]
    at_mm = np.c_[at, np.ones(len(at))] @ image.affine_ras.T
    return float(np.linalg.norm((at_mm @ (one - other).T)[:, :3], axis=1).mean())


def white_matter_error(image: Volume, numbers_xyz: npt.NDArray[np.int64]) -> float:
    """(mixture - labelled median) / labelled median, in the file's units."""
    intensity_xyz = np.asarray(image.array_xyz, np.float32)
    brain_v = intensity_xyz[intensity_xyz != 0]
    mean, sd = float(brain_v.mean()), float(brain_v.std())
    estimate = mixture_white_matter((brain_v - mean) / sd) * sd + mean
    median = float(np.median(intensity_xyz[np.isin(numbers_xyz, WHITE)]))
    return (estimate - median) / median


def main(arguments: Sequence[str] | None = None) -> dict[str, dict[str, float]]:
    """Measure, print, and give each subject's row."""
    parser = parser_of(__doc__)
    parser.add_argument("cohort", type=raw_cohort)
    parser.add_argument("--subjects", type=count, default=30)
    chosen = parser.parse_args(arguments)
    if not (chosen.cohort / "truth" / "labels").is_dir():
        parser.error(f"COHORT holds no truth: {chosen.cohort / 'truth' / 'labels'}")
    challenge = ChallengeSource(chosen.cohort / CHALLENGE_NAME, PAPER_STRUCTURES)
    discs = OasisSource(chosen.cohort, chosen.cohort / TABLE_NAME)
    sessions = {one.id for one in discs.subjects()}
    template = mean_template(discs.load(i).image for i in template_members(discs.subjects()))
    rows: dict[str, dict[str, float]] = {}
    print(f"subject   {'  '.join(COLUMNS)}")
    for subject in challenge.subjects()[: chosen.subjects]:
        session = challenge.session_of(subject.id)
        if session not in sessions:
            print(f"{subject.id:8}  left out: no disc has a copy of it")
            continue
        native, copy = challenge.load(subject.id).image, discs.load(session).image
        labels = challenge.files(subject.id)[1]
        native_xyz = load_labels(labels, native, subject.id, VALUE_OF)
        copy_xyz = load_labels(
            chosen.cohort / "truth" / "labels" / f"{session}_labels.nii.gz", copy, session, VALUE_OF
        )
        true, rms_mm = fitted_affine(
            centroids_mm(native_xyz, native.affine_ras), centroids_mm(copy_xyz, copy.affine_ras)
        )
        found = register_affine(native, None, template)
        own = register_affine(native, None, copy, found.common_from_native)
        row = (
            mean_distance_mm(found.common_from_native, true, native),
            mean_distance_mm(own.common_from_native, true, native),
            rms_mm,
            found.similarity,
            100 * white_matter_error(native, native_xyz),
            100 * white_matter_error(copy, copy_xyz),
        )
        rows[subject.id] = dict(zip(COLUMNS, row, strict=True))
        print(f"{subject.id:8}  {in_columns(row)}", flush=True)
    if not rows:
        raise SystemExit("no subject has a copy on a disc")
    table = np.abs([list(row.values()) for row in rows.values()])
    print(f"mean      {in_columns(table.mean(axis=0))}  (sizes, n={len(rows)})")
    print(f"largest   {in_columns(table.max(axis=0))}")
    return rows


def in_columns(values: Sequence[float] | npt.NDArray[np.float64]) -> str:
    """Numbers under the heads of their columns."""
    return "  ".join(f"{value:{len(name)}.2f}" for name, value in zip(COLUMNS, values, strict=True))


if __name__ == "__main__":
    main()

"""Does our alignment put a brain where the release's own has it? Is white matter estimated well?

    python tests/benchmarks/same_subjects.py COHORT [--subjects 30]

COHORT is a folder that make_cohort.py wrote with --real-labelled: its discs hold a T88 copy of
every labelled subject, an affine image of the native one. The true affine between both comes from
the centroids of some 130 labels (truth/labels). Printed for each subject: the distance between
where our registration (to the pool's mean; to the copy itself) and where the true affine puts a
brain voxel (mean over the brain, mm), and how far the mixture's white matter is from the median of
the labelled white matter (per cent of the file's intensity). Wanted: at most 1.0 mm and 3 % for
every subject.
"""

from __future__ import annotations

import argparse
from pathlib import Path

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

Affine = npt.NDArray[np.float64]
LEAST_VOXELS = 60
WHITE = WHITE_MATTER["neuromorphometrics"]
VALUE_OF = protocol_table("neuromorphometrics", PAPER_STRUCTURES)


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


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("cohort", type=Path)
    parser.add_argument("--subjects", type=int, default=30)
    chosen = parser.parse_args()
    challenge = ChallengeSource(
        chosen.cohort / "MICCAI-2012-Multi-Atlas-Challenge-Data", PAPER_STRUCTURES
    )
    discs = OasisSource(chosen.cohort, chosen.cohort / "oasis_cross-sectional.csv")
    template = mean_template(discs.load(i).image for i in template_members(discs.subjects()))
    rows = []
    print("subject  to template mm  to own copy mm  fit mm  similarity  white native %  T88 %")
    for subject in challenge.subjects()[: chosen.subjects]:
        session = challenge.session_of(subject.id)
        native, copy = challenge.load(subject.id).image, discs.load(session).image
        folder = chosen.cohort / "MICCAI-2012-Multi-Atlas-Challenge-Data"
        labels = next(folder.glob(f"*-labels/{subject.id}_3_glm.nii*"))
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
        rows.append(row)
        print(f"{subject.id:8} " + "  ".join(f"{value:6.2f}" for value in row), flush=True)
    table = np.abs(np.array(rows))
    print(f"mean     {'  '.join(f'{v:6.2f}' for v in table.mean(0))}")
    print(f"largest  {'  '.join(f'{v:6.2f}' for v in table.max(0))}")


if __name__ == "__main__":
    main()

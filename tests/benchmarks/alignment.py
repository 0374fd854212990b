"""How good is our alignment? Majority vote of the other subjects' labels after affine alignment.

    python tests/benchmarks/alignment.py COHORT [--voxel-mm 1] [--pool 40] [--template-only]

COHORT is a folder with OASIS-1's discs and table, the challenge's folder and, for --pool, the true
labels of a simulated cohort in truth/labels. What was measured on such a cohort with another
alignment: DSC .775 overall (.695 over age 50) on the 30 labelled, .69 on simulated pool images.
Anything trained must beat what this prints. With --template-only the registration of the labelled
ends at the pool's mean, and not, as in the stage `prepare`, at the same person's T88 volume.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import numpy as np
import numpy.typing as npt

from gansfer.preprocessing.preprocess import PreparedSubject, prepare_subject
from gansfer.preprocessing.registration import mean_template, register_affine, template_members
from gansfer.readers.challenge import ChallengeSource
from gansfer.readers.combined import CombinedSource
from gansfer.readers.oasis import OasisSource
from gansfer.readers.references import ReferenceFolder
from gansfer.settings import RoiSettings
from gansfer.structures import PAPER_STRUCTURES

LabelMaps = npt.NDArray[np.uint8]


def open_cohort(folder: Path) -> CombinedSource:
    """The cohort with its true labels, where it has them, as references."""
    truth = folder / "truth" / "labels"
    references = None
    if truth.is_dir():
        references = ReferenceFolder(
            truth, PAPER_STRUCTURES, "neuromorphometrics", "{id}_labels.nii.gz"
        )
    return CombinedSource(
        OasisSource(folder, folder / "oasis_cross-sectional.csv"),
        ChallengeSource(folder / "MICCAI-2012-Multi-Atlas-Challenge-Data", PAPER_STRUCTURES),
        references,
    )


def align_labelled(
    source: CombinedSource, roi: RoiSettings, *, template_only: bool
) -> list[PreparedSubject]:
    """Every labelled subject, registered and prepared; prints the time that it took."""
    subjects = source.subjects()
    start_s = time.perf_counter()
    template = mean_template(source.load(i).image for i in template_members(subjects))
    print(f"template: {time.perf_counter() - start_s:.0f} s")
    prepared, cpu_s = [], []
    for subject in subjects:
        if subject.labelled:
            raw = source.load(subject.id)
            start_s = time.process_time()
            found = register_affine(raw.image, raw.brain_mask, template)
            if raw.own_copy is not None and not template_only:
                found = register_affine(
                    raw.image, raw.brain_mask, raw.own_copy, found.common_from_native
                )
            cpu_s.append(time.process_time() - start_s)
            prepared.append(prepare_subject(raw, roi, found.common_from_native, found.similarity))
    lost = sum(one.n_label_voxels_outside_roi for one in prepared)
    worst = min(one.registration_similarity or 0 for one in prepared)
    print(
        f"registration: {np.mean(cpu_s):.2f} CPU-seconds a subject, lowest similarity {worst:.3f}, "
        f"{lost} labelled voxels outside the region"
    )
    return prepared


def majority(label_nzhw: LabelMaps) -> LabelMaps:
    """The value that most of the maps have, voxel by voxel."""
    n_values = len(PAPER_STRUCTURES) + 1
    votes = np.stack([(label_nzhw == value).sum(axis=0) for value in range(n_values)])
    return votes.argmax(axis=0).astype(np.uint8)


def dice(one: npt.NDArray[np.bool_], other: npt.NDArray[np.bool_]) -> float:
    """Twice the overlap over the sum of both."""
    return float(2 * np.count_nonzero(one & other) / (one.sum() + other.sum()))


def report(name: str, found: LabelMaps, wanted: LabelMaps, age_years: npt.NDArray) -> None:
    """Print overall DSC, that of the over 50, and each structure's."""
    pairs = list(zip(found, wanted, strict=True))
    overall = np.array([dice(a > 0, b > 0) for a, b in pairs])
    print(f"{name}, n={len(pairs)}: overall {overall.mean():.4f}", end="")
    if (age_years > 50).any():
        print(f", over 50 {overall[age_years > 50].mean():.4f} (n={(age_years > 50).sum()})")
    for k, structure in enumerate(PAPER_STRUCTURES):
        print(f"  {structure} {np.mean([dice(a == k + 1, b == k + 1) for a, b in pairs]):.3f}")


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("cohort", type=Path)
    parser.add_argument("--voxel-mm", type=float, default=1.0)
    parser.add_argument("--pool", type=int, default=0, help="how many pool images to measure")
    parser.add_argument("--template-only", action="store_true")
    chosen = parser.parse_args()
    source = open_cohort(chosen.cohort)
    roi = RoiSettings(voxel_mm=chosen.voxel_mm)
    prepared = align_labelled(source, roi, template_only=chosen.template_only)
    label_nzhw = np.stack([one.label_zhw for one in prepared if one.label_zhw is not None])
    others = [majority(np.delete(label_nzhw, n, axis=0)) for n in range(len(label_nzhw))]
    age_years = np.array([one.subject.age_years or 0 for one in prepared])
    report("labelled, leaving one out", np.stack(others), label_nzhw, age_years)
    strangers = [one for one in source.subjects() if one.in_pool and not one.labelled_as]
    strangers = [one for one in strangers if not one.labelled and not one.repeat_of][: chosen.pool]
    if strangers:
        vote_zhw = majority(label_nzhw)
        truth = [prepare_subject(source.load(one.id), roi).reference_zhw for one in strangers]
        known = [k for k, reference in enumerate(truth) if reference is not None]
        wanted = np.stack([reference for reference in truth if reference is not None])
        age_years = np.array([strangers[k].age_years or 0 for k in known])
        report("pool", np.stack([vote_zhw] * len(known)), wanted, age_years)


if __name__ == "__main__":
    main()

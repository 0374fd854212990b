"""How good is our alignment? Majority vote of the other subjects' labels after affine alignment.

    python -m tests.benchmarks.alignment COHORT [--voxel-mm 1] [--pool 40] [--template-only]

COHORT is a folder with OASIS-1's discs and table, the challenge's folder and, for --pool, the true
labels of a simulated cohort in truth/labels. What was measured on such a cohort with another
alignment: DSC .775 overall (.695 over age 50) on the 30 labelled, .69 on simulated pool images.
Anything trained must beat what this prints. With --template-only the registration of the labelled
ends at the pool's mean, and not, as in the stage `prepare`, at the same person's T88 volume.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
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
from tests.benchmarks.arguments import (
    CHALLENGE_NAME,
    TABLE_NAME,
    count_or_zero,
    parser_of,
    raw_cohort,
)
from tests.benchmarks.prepared import dice

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
        OasisSource(folder, folder / TABLE_NAME),
        ChallengeSource(folder / CHALLENGE_NAME, PAPER_STRUCTURES),
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


def report(
    name: str, found: LabelMaps, wanted: LabelMaps, age_years: npt.NDArray
) -> dict[str, float]:
    """Print and give overall DSC, that of the over 50, and each structure's."""
    each = np.array([dice(a, b, len(PAPER_STRUCTURES)) for a, b in zip(found, wanted, strict=True)])
    overall, *means = each.mean(axis=0)
    result = {"overall": float(overall)}
    print(f"{name}, n={len(each)}: overall {overall:.4f}", end="")
    if (age_years > 50).any():
        result["over 50"] = float(each[age_years > 50, 0].mean())
        print(f", over 50 {result['over 50']:.4f} (n={(age_years > 50).sum()})", end="")
    print()
    for structure, mean in zip(PAPER_STRUCTURES, means, strict=True):
        result[structure] = float(mean)
        print(f"  {structure} {mean:.3f}")
    return result


def main(arguments: Sequence[str] | None = None) -> dict[str, dict[str, float]]:
    """Measure, print, and give the DSC of each group of subjects."""
    parser = parser_of(__doc__)
    parser.add_argument("cohort", type=raw_cohort)
    parser.add_argument("--voxel-mm", type=float, default=1.0)
    parser.add_argument(
        "--pool", type=count_or_zero, default=0, help="how many pool images to measure"
    )
    parser.add_argument("--template-only", action="store_true")
    chosen = parser.parse_args(arguments)
    if chosen.pool and not (chosen.cohort / "truth" / "labels").is_dir():
        parser.error(f"--pool needs {chosen.cohort / 'truth' / 'labels'}")
    source = open_cohort(chosen.cohort)
    roi = RoiSettings(voxel_mm=chosen.voxel_mm)
    prepared = align_labelled(source, roi, template_only=chosen.template_only)
    label_nzhw = np.stack([one.label_zhw for one in prepared if one.label_zhw is not None])
    others = [majority(np.delete(label_nzhw, n, axis=0)) for n in range(len(label_nzhw))]
    age_years = np.array([one.subject.age_years or 0 for one in prepared])
    results = {
        "labelled": report("labelled, leaving one out", np.stack(others), label_nzhw, age_years)
    }
    strangers = [one for one in source.subjects() if one.in_pool and not one.labelled_as]
    strangers = [one for one in strangers if not one.labelled and not one.repeat_of][: chosen.pool]
    if strangers:
        vote_zhw = majority(label_nzhw)
        truth = [prepare_subject(source.load(one.id), roi).reference_zhw for one in strangers]
        known = [k for k, reference in enumerate(truth) if reference is not None]
        wanted = np.stack([reference for reference in truth if reference is not None])
        age_years = np.array([strangers[k].age_years or 0 for k in known])
        votes = np.stack([vote_zhw] * len(known))
        results["pool"] = report("pool", votes, wanted, age_years)
    return results


if __name__ == "__main__":
    main()

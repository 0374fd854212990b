"""How good is label propagation, and how long does it take?

    gansfer run CONFIG --until prepare
    python -m tests.benchmarks.propagation runs/NAME/cohort [--atlases 1,6] [--subjects 2]
                                                            [--pool 2]

Reads a prepared cohort. Printed for each number of atlases: overall DSC and each structure's of
the oldest labelled subjects, from the other labelled ones nearest in age, and of the oldest of the
pool whose references are known; then CPU-seconds of an atlas and of a fusion, on one thread.
What must be beaten is the majority vote after affine alignment (tests/benchmarks/alignment.py).
"""

from __future__ import annotations

import os
import time
from collections.abc import Sequence

os.environ["ITK_GLOBAL_DEFAULT_NUMBER_OF_THREADS"] = "1"  # read when ants is loaded

import numpy as np

from gansfer.cohort.shards import Cohort
from gansfer.evaluation.overlap import dice_table
from gansfer.propagation.atlases import nearest_atlases
from gansfer.propagation.multi_atlas import Labels, fuse_labels, warp_atlas
from gansfer.subjects import Subject
from tests.benchmarks.arguments import count, count_or_zero, parser_of, prepared_cohort


def measure(
    cohort: Cohort, target: Subject, truth_zhw: Labels, counts: list[int]
) -> tuple[dict[int, dict[str, float]], list[float], list[float]]:
    """DSC by structure for each number of atlases; seconds of each warp and each fusion."""
    atlases = nearest_atlases(target, cohort.subjects, max(counts))
    images, labels = cohort.images(atlases), cohort.labels(atlases)
    target_zhw = cohort.images([target.id])[0]
    warped, warp_s, fuse_s = [], [], []
    for image_zhw, label_zhw in zip(images, labels, strict=True):
        start_s = time.process_time()
        warped.append(warp_atlas(target_zhw, image_zhw, label_zhw, cohort.spacing_zhw_mm))
        warp_s.append(time.process_time() - start_s)
    found = {}
    for n_atlases in counts:
        first = warped[:n_atlases]
        fused_zhw = first[0][1]
        if n_atlases > 1:
            start_s = time.process_time()
            fused_zhw = fuse_labels(
                target_zhw,
                np.stack([image for image, _ in first]),
                np.stack([label for _, label in first]),
                cohort.spacing_zhw_mm,
            )
            if n_atlases == max(counts):
                fuse_s.append(time.process_time() - start_s)
        rows = dice_table(target.id, fused_zhw, truth_zhw, cohort.structures)
        # One that the truth lacks is nan, and shows as such in a mean.
        found[n_atlases] = {
            row.structure: float("nan") if row.value is None else row.value for row in rows
        }
    return found, warp_s, fuse_s


def oldest(subjects: list[Subject], n: int) -> list[Subject]:
    """The n oldest: those that the labelled young are least like."""
    return sorted(subjects, key=lambda one: (-(one.age_years or 0), one.id))[:n]


def counts_of(text: str) -> list[int]:
    """Numbers of atlases such as 1,6."""
    return sorted({count(one) for one in text.split(",")})


def main(arguments: Sequence[str] | None = None) -> dict[str, dict[int, dict[str, float]]]:
    """Measure, print, and give the mean DSC by group, number of atlases and structure."""
    parser = parser_of(__doc__)
    parser.add_argument("cohort", type=prepared_cohort)
    parser.add_argument("--atlases", type=counts_of, default=[1, 6])
    parser.add_argument("--subjects", type=count_or_zero, default=2)
    parser.add_argument("--pool", type=count_or_zero, default=2)
    chosen = parser.parse_args(arguments)
    cohort, counts = Cohort(chosen.cohort), chosen.atlases
    known = {row.subject.id for row in cohort.rows if row.reference_shard}
    labelled = [one for one in cohort.subjects if one.labelled]
    n_others = len(labelled) - (chosen.subjects > 0)
    if max(counts) > n_others:
        parser.error(f"--atlases {max(counts)}: {n_others} others are labelled")
    strangers = [
        one
        for one in cohort.subjects
        if one.id in known and not (one.labelled or one.labelled_as or one.repeat_of)
    ]
    results: dict[str, dict[int, dict[str, float]]] = {}
    warp_s: list[float] = []
    fuse_s: list[float] = []
    for name, people in (
        ("labelled, leaving one out", oldest(labelled, chosen.subjects)),
        ("pool", oldest(strangers, chosen.pool)),
    ):
        measured = []
        for one in people:
            truth_zhw = (cohort.labels if one.labelled else cohort.references)([one.id])[0]
            found, warps_s, fusions_s = measure(cohort, one, truth_zhw, counts)
            measured.append(found)
            warp_s += warps_s
            fuse_s += fusions_s
            by_count = ", ".join(f"{n}: {found[n]['overall']:.3f}" for n in counts)
            age = "age unknown" if one.age_years is None else f"{one.age_years:.0f} years"
            print(f"{one.id}, {age}, overall by atlases: {by_count}", flush=True)
        for n in counts if measured else ():
            means = {
                structure: float(np.mean([found[n][structure] for found in measured]))
                for structure in measured[0][n]
            }
            results.setdefault(name, {})[n] = means
            said = " ".join(f"{structure} {mean:.3f}" for structure, mean in means.items())
            print(f"{name}, n={len(measured)}, {n} atlases: {said}")
    if not warp_s:
        raise SystemExit("nobody to measure: no labelled subject and no reference was asked for")
    said = f"CPU-seconds at {cohort.spacing_zhw_mm[0]:g} mm: {np.median(warp_s):.1f} an atlas"
    if fuse_s:
        said += f", {np.median(fuse_s):.1f} a fusion of {max(counts)}"
    print(said)
    return results


if __name__ == "__main__":
    main()

"""How good is label propagation, and how long does it take?

    gansfer run CONFIG --until prepare
    python tests/benchmarks/propagation.py runs/NAME/cohort [--atlases 1,6] [--subjects 2]
                                                            [--pool 2]

Reads a prepared cohort. Printed for each number of atlases: overall DSC and each structure's of
the oldest labelled subjects, from the other labelled ones nearest in age, and of the oldest of the
pool whose references are known; then CPU-seconds of an atlas and of a fusion, on one thread.
What must be beaten is the majority vote after affine alignment (tests/benchmarks/alignment.py).
"""

from __future__ import annotations

import argparse
import os
import time
from pathlib import Path

os.environ["ITK_GLOBAL_DEFAULT_NUMBER_OF_THREADS"] = "1"  # read when ants is loaded

import numpy as np

from gansfer.cohort.shards import Cohort
from gansfer.evaluation.overlap import dice_table
from gansfer.propagation.atlases import nearest_atlases
from gansfer.propagation.multi_atlas import Labels, fuse_labels, warp_atlas
from gansfer.subjects import Subject


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
    for count in counts:
        first = warped[:count]
        start_s = time.process_time()
        fused_zhw = (
            first[0][1]
            if count == 1
            else fuse_labels(
                target_zhw,
                np.stack([image for image, _ in first]),
                np.stack([label for _, label in first]),
                cohort.spacing_zhw_mm,
            )
        )
        if count == max(counts):
            fuse_s.append(time.process_time() - start_s)
        rows = dice_table(target.id, fused_zhw, truth_zhw, cohort.structures)
        found[count] = {row.structure: row.value for row in rows if row.value is not None}
    return found, warp_s, fuse_s


def oldest(subjects: list[Subject], n: int) -> list[Subject]:
    """The n oldest: those that the labelled young are least like."""
    return sorted(subjects, key=lambda one: (-(one.age_years or 0), one.id))[:n]


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("cohort", type=Path)
    parser.add_argument("--atlases", default="1,6")
    parser.add_argument("--subjects", type=int, default=2)
    parser.add_argument("--pool", type=int, default=2)
    chosen = parser.parse_args()
    counts = sorted(int(count) for count in chosen.atlases.split(","))
    cohort = Cohort(chosen.cohort)
    known = {row.subject.id for row in cohort.rows if row.reference_shard}
    labelled = [one for one in cohort.subjects if one.labelled]
    strangers = [
        one
        for one in cohort.subjects
        if one.id in known and not (one.labelled or one.labelled_as or one.repeat_of)
    ]
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
            print(
                f"{one.id}, {one.age_years:.0f} years, overall by atlases: {by_count}", flush=True
            )
        for count in counts if measured else ():
            print(f"{name}, n={len(measured)}, {count} atlases:", end="")
            for structure in measured[0][count]:
                mean = np.mean([found[count][structure] for found in measured])
                print(f" {structure} {mean:.3f}", end="")
            print()
    print(
        f"CPU-seconds at {cohort.spacing_zhw_mm[0]:g} mm: {np.median(warp_s):.1f} an atlas, "
        f"{np.median(fuse_s):.1f} a fusion of {max(counts)}"
    )


if __name__ == "__main__":
    main()

"""Where does the time of `prepare` go, and how fast do prepared shards come into memory?

    python -m tests.benchmarks.ingestion COHORT [--voxel-mm 1] [--subjects 6] [--workers 2]
                                               [--imported 436]
    python -m tests.benchmarks.ingestion COHORT --pool 25 50 100
    python -m tests.benchmarks.ingestion --import-only 436

COHORT is a folder with OASIS-1's discs and table and the challenge's folder. Printed: CPU-seconds a
subject of each stage (of --subjects labelled and as many unlabelled ones), then wall time and
peak memory of the whole cohort with --workers processes (left out with --workers 0), then the
time to read --imported subjects' shards of 80 x 80 x 60 voxels into memory, by one process and by
several at once, each of them all. With --pool the whole cohort only, with so many images beside
those of labelled people: time should grow by the same for each. Wanted: 130 subjects within 5
minutes on 2 cores and 4 GiB; the import within 10 seconds.
"""

from __future__ import annotations

import os
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from unittest.mock import patch

import numpy as np

from gansfer.cohort.shards import Cohort
from gansfer.cohort.writing import write_cohort
from gansfer.preprocessing.preprocess import PreparedSubject, prepare_subject
from gansfer.preprocessing.registration import mean_template, register_affine, template_members
from gansfer.progress import Silent
from gansfer.readers.combined import CombinedSource
from gansfer.settings import RoiSettings
from gansfer.structures import PAPER_STRUCTURES
from gansfer.subjects import Subject
from jobs.experiment.loading import parse_experiment
from jobs.experiment.model import Experiment
from jobs.inputs.sources import make_file_source, make_source
from jobs.stages.preparation import prepared_subjects
from tests.benchmarks.arguments import (
    CHALLENGE_NAME,
    TABLE_NAME,
    count,
    count_or_zero,
    parser_of,
    raw_cohort,
)

READERS = (1, 2, 4)
N_OASIS_IMAGES = 436


@contextmanager
def timed(cpu_s: dict[str, list[float]], stage: str) -> Iterator[None]:
    """Add the block's CPU-seconds to a stage."""
    start_s = time.process_time()
    yield
    cpu_s.setdefault(stage, []).append(time.process_time() - start_s)


def experiment_of(folder: Path, voxel_mm: float, storage: Path) -> Experiment:
    """The paper's cohort section for this folder."""
    cohort = {
        "images": {
            "kind": "oasis",
            "discs": str(folder),
            "table": str(folder / TABLE_NAME),
        },
        "labels": {
            "kind": "challenge",
            "folder": str(folder / CHALLENGE_NAME),
        },
        "roi": {"voxel_mm": voxel_mm},
    }
    return parse_experiment(
        {"name": "ingestion", "storage": str(storage), "cohort": cohort}, "benchmark"
    )


def stages(source: CombinedSource, roi: RoiSettings, n_subjects: int) -> dict[str, float]:
    """CPU-seconds of each stage."""
    subjects = source.subjects()
    cpu_s: dict[str, list[float]] = {}
    with timed(cpu_s, "template (once)"):
        template = mean_template(source.load(i).image for i in template_members(subjects))
    for labelled in (True, False):
        chosen = [one for one in subjects if one.labelled == labelled][:n_subjects]
        prepared: list[PreparedSubject] = []
        kind = "labelled" if labelled else "unlabelled"
        for subject in chosen:
            with timed(cpu_s, f"{kind}: read"):
                raw = source.load(subject.id)
            matrix, similarity = None, None
            if not raw.in_common_space:
                with timed(cpu_s, f"{kind}: register"):
                    found = register_affine(raw.image, raw.brain_mask, template)
                if raw.own_copy is not None:
                    with timed(cpu_s, f"{kind}: refine to the own copy"):
                        found = register_affine(
                            raw.image, raw.brain_mask, raw.own_copy, found.common_from_native
                        )
                matrix, similarity = found.common_from_native, found.similarity
            with timed(cpu_s, f"{kind}: normalise, white matter, resample"):
                prepared.append(prepare_subject(raw, roi, matrix, similarity))
        with tempfile.TemporaryDirectory() as name, timed(cpu_s, f"{kind}: write (all)"):
            write_cohort(
                Path(name), prepared, structures=PAPER_STRUCTURES, roi=roi, software="benchmark"
            )
    for stage, seconds in cpu_s.items():
        print(f"{stage}: {np.mean(seconds):.2f} CPU-seconds (n={len(seconds)})", flush=True)
    return {stage: float(np.mean(seconds)) for stage, seconds in cpu_s.items()}


@dataclass(frozen=True)
class Whole:
    """What the whole stage took."""

    n_images: int
    wall_s: float
    peak_gib: float


def whole(experiment: Experiment, folder: Path, n_workers: int) -> Whole:
    """Wall time and memory of the whole stage."""
    peak = PeakMemory()
    start_s = time.perf_counter()
    # What the stage takes its number of workers from.
    with patch.dict(os.environ, SLURM_CPUS_PER_TASK=str(n_workers)):
        source = make_source(experiment)
        rows = write_cohort(
            folder,
            prepared_subjects(experiment, source, folder, "benchmark" * 4, Silent()),
            structures=experiment.cohort.structures,
            roi=experiment.cohort.roi,
            software="benchmark",
        )
    took = Whole(len(rows), time.perf_counter() - start_s, peak.stop_gib())
    print(
        f"whole cohort: {took.n_images} images in {took.wall_s:.0f} s with {n_workers} workers, "
        f"peak {took.peak_gib:.2f} GiB in all processes",
        flush=True,
    )
    return took


def table_rows(folder: Path) -> tuple[str, list[str], list[str]]:
    """The table's head, and its rows of images on a disc: of the labelled people, of others."""
    head, *rows = (folder / TABLE_NAME).read_text().splitlines()
    rows = [row for row in rows if any(folder.glob(f"disc*/{row.split(',')[0]}"))]
    labelled = (folder / CHALLENGE_NAME / "demographics.csv").read_text()
    known = [row for row in rows if row.split("_MR")[0] in labelled]
    return head, known, [row for row in rows if row not in known]


def growth(folder: Path, voxel_mm: float, n_pools: list[int], n_workers: int) -> dict[int, Whole]:
    """The whole stage with more and more of the pool; the labelled people stay."""
    head, known, others = table_rows(folder)
    took = {}
    for n_pool in n_pools:
        with tempfile.TemporaryDirectory() as name:
            chosen = [*known, *others[:n_pool]]
            smaller = Path(name) / "smaller"
            (smaller / "disc1").mkdir(parents=True)
            (smaller / TABLE_NAME).write_text("\n".join([head, *chosen]) + "\n")
            (smaller / CHALLENGE_NAME).symlink_to(folder / CHALLENGE_NAME)
            for row in chosen:
                session = row.split(",")[0]
                (disc,) = folder.glob(f"disc*/{session}")
                (smaller / "disc1" / session).symlink_to(disc)
            print(f"{n_pool} more of the pool: ", end="")
            experiment = experiment_of(smaller, voxel_mm, Path(name))
            took[n_pool] = whole(experiment, Path(name), n_workers)
    return took


def import_shards(n_subjects: int) -> dict[int, float]:
    """Time to bring shards of full size into memory, alone and beside others who do."""
    roi = RoiSettings()
    rng = np.random.default_rng(0)
    base_zhw = rng.normal(0, 1, roi.shape_zhw).astype(np.float32)
    base_zhw[:, :20] = -2.5  # some background, as real slices have

    def made() -> Iterator[PreparedSubject]:
        for n in range(n_subjects):
            yield PreparedSubject(
                subject=Subject(f"s{n:03d}", in_pool=True),
                image_zhw=np.roll(base_zhw, n, axis=2),
                label_zhw=None,
                reference_zhw=None,
                white_matter=1.0,
                white_matter_source="mixture",
                intensity_mean=1.0,
                intensity_sd=1.0,
            )

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_cohort(folder, made(), structures=PAPER_STRUCTURES, roi=roi, software="benchmark")
        took_s: dict[int, float] = {}
        size_mb = sum(path.stat().st_size for path in folder.iterdir()) / 1e6
        for n_readers in READERS:
            with ProcessPoolExecutor(n_readers) as pool:
                start_s = time.perf_counter()
                cpu_s = list(pool.map(_read_all, [folder] * n_readers))
                took_s[n_readers] = time.perf_counter() - start_s
            print(
                f"import: {n_subjects} images, {size_mb:.0f} MB of shards, by {n_readers} at once: "
                f"{took_s[n_readers]:.1f} s ({np.mean(cpu_s):.1f} CPU-seconds each)",
                flush=True,
            )
    return took_s


def _read_all(folder: Path) -> float:
    """CPU-seconds to bring every image into memory."""
    start_s = time.process_time()
    cohort = Cohort(folder)
    cohort.images([one.id for one in cohort.subjects])
    return time.process_time() - start_s


class PeakMemory:
    """Largest resident memory of this process and its children, looked at twice a second."""

    def __init__(self) -> None:
        self._peak_kib = 0
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()

    def stop_gib(self) -> float:
        """Stop looking, and give the peak."""
        self._ended.set()
        self._thread.join()
        return self._peak_kib / 2**20

    def _watch(self) -> None:
        while True:
            self._peak_kib = max(self._peak_kib, sum(map(_proportional_kib, _family(os.getpid()))))
            if self._ended.wait(0.5):
                return


def _family(pid: int) -> list[int]:
    try:
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    except OSError:
        return []
    return [pid, *(one for child in children for one in _family(int(child)))]


def _proportional_kib(pid: int) -> int:
    """Memory of a process, pages that it shares divided by those who share them."""
    try:
        text = Path(f"/proc/{pid}/smaps_rollup").read_text()
    except OSError:
        return 0
    return int(text.split("\nPss:")[1].split()[0])


@dataclass(frozen=True)
class Measured:
    """What was asked for; empty or None what was not."""

    cpu_s_by_stage: dict[str, float] = field(default_factory=dict)
    whole: Whole | None = None
    whole_by_pool: dict[int, Whole] = field(default_factory=dict)
    import_s_by_readers: dict[int, float] = field(default_factory=dict)


def main(arguments: Sequence[str] | None = None) -> Measured:
    """Measure, print, and give what was printed."""
    parser = parser_of(__doc__)
    parser.add_argument("cohort", type=raw_cohort, nargs="?")
    parser.add_argument("--voxel-mm", type=float, default=1.0)
    parser.add_argument("--subjects", type=count, default=6, help="of each kind, for the stages")
    parser.add_argument("--workers", type=count_or_zero, default=2)
    parser.add_argument("--imported", type=count, default=N_OASIS_IMAGES, metavar="N")
    parser.add_argument("--import-only", type=count, metavar="N")
    parser.add_argument("--pool", type=count_or_zero, nargs="+", default=[], metavar="N")
    chosen = parser.parse_args(arguments)
    if chosen.pool:
        if chosen.cohort is None or not chosen.workers:
            parser.error("--pool needs COHORT and a worker")
        n_others = len(table_rows(chosen.cohort)[2])
        if max(chosen.pool) > n_others:
            parser.error(f"--pool {max(chosen.pool)}: COHORT holds {n_others} images of others")
        return Measured(
            whole_by_pool=growth(chosen.cohort, chosen.voxel_mm, chosen.pool, chosen.workers)
        )
    by_stage: dict[str, float] = {}
    of_all: Whole | None = None
    if chosen.cohort is not None and chosen.import_only is None:
        with tempfile.TemporaryDirectory() as name:
            experiment = experiment_of(chosen.cohort, chosen.voxel_mm, Path(name))
            source = make_file_source(experiment.cohort)
            assert isinstance(source, CombinedSource)
            by_stage = stages(source, experiment.cohort.roi, chosen.subjects)
            if chosen.workers:
                of_all = whole(experiment, Path(name), chosen.workers)
    return Measured(by_stage, of_all, {}, import_shards(chosen.import_only or chosen.imported))


if __name__ == "__main__":
    main()

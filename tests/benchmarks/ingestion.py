"""Where does the time of `prepare` go, and how fast do prepared shards come into memory?

    python tests/benchmarks/ingestion.py COHORT [--voxel-mm 1] [--subjects 6] [--workers 2]
    python tests/benchmarks/ingestion.py COHORT --pool 25 50 100
    python tests/benchmarks/ingestion.py --import-only 436

COHORT is a folder with OASIS-1's discs and table and the challenge's folder. Printed: CPU-seconds a
subject of each stage (of --subjects labelled and as many unlabelled ones), then wall time and
peak memory of the whole cohort with --workers processes (left out with --workers 0), then the
time to read 436 subjects' shards of 80 x 80 x 60 voxels into memory, by one process and by several
at once, each of them all. With --pool the whole cohort only, with so many images beside those of
labelled people: time should grow by the same for each. Wanted: 130 subjects within 5 minutes on
2 cores and 4 GiB; the import within 10 seconds.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import threading
import time
from collections import defaultdict
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from pathlib import Path

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

CHALLENGE_NAME = "MICCAI-2012-Multi-Atlas-Challenge-Data"
TABLE_NAME = "oasis_cross-sectional.csv"
READERS = (1, 2, 4)
CPU_S: dict[str, list[float]] = defaultdict(list)


@contextmanager
def timed(stage: str) -> Iterator[None]:
    """Add the block's CPU-seconds to a stage."""
    start_s = time.process_time()
    yield
    CPU_S[stage].append(time.process_time() - start_s)


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


def stages(source: CombinedSource, roi: RoiSettings, n_subjects: int) -> None:
    """CPU-seconds of each stage."""
    subjects = source.subjects()
    with timed("template (once)"):
        template = mean_template(source.load(i).image for i in template_members(subjects))
    for labelled in (True, False):
        chosen = [one for one in subjects if one.labelled == labelled][:n_subjects]
        prepared: list[PreparedSubject] = []
        kind = "labelled" if labelled else "unlabelled"
        for subject in chosen:
            with timed(f"{kind}: read"):
                raw = source.load(subject.id)
            matrix, similarity = None, None
            if not raw.in_common_space:
                with timed(f"{kind}: register"):
                    found = register_affine(raw.image, raw.brain_mask, template)
                if raw.own_copy is not None:
                    with timed(f"{kind}: refine to the own copy"):
                        found = register_affine(
                            raw.image, raw.brain_mask, raw.own_copy, found.common_from_native
                        )
                matrix, similarity = found.common_from_native, found.similarity
            with timed(f"{kind}: normalise, white matter, resample"):
                prepared.append(prepare_subject(raw, roi, matrix, similarity))
        with tempfile.TemporaryDirectory() as name, timed(f"{kind}: write (all)"):
            write_cohort(
                Path(name), prepared, structures=PAPER_STRUCTURES, roi=roi, software="benchmark"
            )
    for stage, seconds in CPU_S.items():
        print(f"{stage}: {np.mean(seconds):.2f} CPU-seconds (n={len(seconds)})", flush=True)


def whole(experiment: Experiment, folder: Path, n_workers: int) -> None:
    """Wall and CPU time and memory of the whole stage."""
    os.environ["SLURM_CPUS_PER_TASK"] = str(n_workers)  # what the stage takes its workers from
    peak = PeakMemory()
    start_s = time.perf_counter()
    rows = write_cohort(
        folder,
        prepared_subjects(experiment, make_source(experiment), folder, "benchmark" * 4, Silent()),
        structures=experiment.cohort.structures,
        roi=experiment.cohort.roi,
        software="benchmark",
    )
    wall_s = time.perf_counter() - start_s
    print(
        f"whole cohort: {len(rows)} images in {wall_s:.0f} s with {n_workers} workers, peak "
        f"{peak.stop_gb():.2f} GiB in all processes",
        flush=True,
    )


def growth(folder: Path, voxel_mm: float, n_pools: list[int], n_workers: int) -> None:
    """The whole stage with more and more of the pool; the labelled people stay."""
    head, *rows = (folder / TABLE_NAME).read_text().splitlines()
    labelled = (folder / CHALLENGE_NAME / "demographics.csv").read_text()
    known = [row for row in rows if row.split("_MR")[0] in labelled]
    others = [row for row in rows if row not in known]
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
            whole(experiment_of(smaller, voxel_mm, Path(name)), Path(name), n_workers)


def import_shards(n_subjects: int) -> None:
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
        size_mb = sum(path.stat().st_size for path in folder.iterdir()) / 1e6
        for n_readers in READERS:
            with ProcessPoolExecutor(n_readers) as pool:
                start_s = time.perf_counter()
                cpu_s = list(pool.map(_read_all, [folder] * n_readers))
                wall_s = time.perf_counter() - start_s
            print(
                f"import: {n_subjects} images, {size_mb:.0f} MB of shards, by {n_readers} at once: "
                f"{wall_s:.1f} s ({np.mean(cpu_s):.1f} CPU-seconds each)",
                flush=True,
            )


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

    def stop_gb(self) -> float:
        """Stop looking, and give the peak."""
        self._ended.set()
        self._thread.join()
        return self._peak_kib / 2**20

    def _watch(self) -> None:
        while not self._ended.wait(0.5):
            self._peak_kib = max(self._peak_kib, sum(map(_proportional_kib, _family(os.getpid()))))


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


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("cohort", type=Path, nargs="?")
    parser.add_argument("--voxel-mm", type=float, default=1.0)
    parser.add_argument("--subjects", type=int, default=6, help="of each kind, for the stages")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--import-only", type=int, default=0, metavar="N")
    parser.add_argument("--pool", type=int, nargs="+", default=[], metavar="N")
    chosen = parser.parse_args()
    if chosen.cohort is not None and chosen.pool:
        growth(chosen.cohort, chosen.voxel_mm, chosen.pool, chosen.workers)
        return
    if chosen.cohort is not None and not chosen.import_only:
        with tempfile.TemporaryDirectory() as name:
            experiment = experiment_of(chosen.cohort, chosen.voxel_mm, Path(name))
            source = make_file_source(experiment.cohort)
            assert isinstance(source, CombinedSource)
            stages(source, experiment.cohort.roi, chosen.subjects)
            if chosen.workers:
                whole(experiment, Path(name), chosen.workers)
    import_shards(chosen.import_only or 436)


if __name__ == "__main__":
    main()

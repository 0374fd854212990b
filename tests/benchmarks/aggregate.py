"""How long does `gansfer aggregate` take on the paper's whole grid, and where does it go?

    python -m tests.benchmarks.aggregate [FOLDER] [--seeds 1] [--holes 0] [--pictures 1]

Makes, in FOLDER (or a temporary one), every product that a report is made from: 5 folds, N = 1, 3,
6, 12, 24, every arm and the ablation, 30 labelled subjects and 416 of the cohort; made-up metrics
in the format of the stages, pictures and quality tables of every GAN, segmentations of the test
subjects. Then runs `gansfer aggregate` as a user would, and again inside this process with each
part timed. --holes N takes away the manifests of the first N segmenters; --pictures 0 leaves out
pictures and segmentations. --folds, --label-counts, --labelled, --unlabelled and --voxel-mm make
the grid smaller; --parts-only leaves the command out. Printed: seconds of each part, size of the
page, exit code. Wanted: under 60 s on 2 cores.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import pandas as pd

from gansfer.cohort.shards import Cohort
from gansfer.cohort.splits import Fold, folds
from gansfer.cohort.table import TableRow, write_table
from gansfer.cohort.writing import write_cohort
from gansfer.drawing import embedding, slices, synthesis_figures
from gansfer.drawing import loss_curves as losses
from gansfer.errors import UserError
from gansfer.evaluation.predictions import write_predictions
from gansfer.phantom.phantom_source import PhantomSource
from gansfer.preprocessing.preprocess import prepare_subject
from gansfer.report import build
from gansfer.report.tables import volume_analysis as volumes
from gansfer.structures import PAPER_STRUCTURES
from gansfer.subjects import Subject
from jobs.experiment.cohort_section import PhantomImages
from jobs.experiment.loading import parse_experiment, save_experiment
from jobs.experiment.plan import Plan, Task, make_plan
from jobs.reporting import collect
from jobs.store.manifest import build_manifest
from jobs.store.storage import Storage
from tests.benchmarks.arguments import count, count_or_zero, parser_of

BASE = {1: 0.79, 3: 0.83, 6: 0.86, 12: 0.88, 24: 0.89}
FULL_GAIN = {1: 0.045, 3: 0.03, 6: 0.02, 12: 0.008, 24: 0.001}
GAIN = {"baseline": 0.0, "ratio-100to1": 0.2, "ratio-10to1": 0.7, "ratio-2to1": 1.0}
GAIN |= {"ratio-1to1": 0.8, "synthetic": -0.5}
SIZE_MM3 = dict(zip(PAPER_STRUCTURES, (600, 1500, 4000, 4500, 1800, 6000, 8500), strict=True))
# What is timed: a function, where it is looked up, and what it is called here.
PARTS: tuple[tuple[Any, str, str], ...] = (
    (collect, "metric_rows", "read metrics"),
    (build, "compute", "tables (with Table II)"),
    (build, "write_tables", "CSVs"),
    (build, "draw_figures", "figures"),
    (build, "draw_quality_figures", "figures of quality"),
    (build, "segmentation_section", "segmentations"),
    (build, "draw_tables", "tables as pictures"),
    (build, "write_page", "page"),
    (volumes, "table_ii", "of the tables: Table II"),
)
ROOT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class Measured:
    """What was printed.

    Attributes:
        exit_code: of the command; None where it was left out.
        command_s: wall time of the command.
        report_s: wall time of the report alone, inside this process.
        part_s: of it, by part.
        page_mb: size of the page.
        state: its first lines.
    """

    exit_code: int | None
    command_s: float | None
    report_s: float
    part_s: dict[str, float]
    page_mb: float
    state: str


def experiment_values(
    storage: Path,
    seeds: int,
    n_folds: int,
    label_counts: Sequence[int],
    n_people: tuple[int, int],
    voxel_mm: float,
) -> dict[str, Any]:
    """The paper's grid, or a part of it, on the built-in cohort's people."""
    labelled, unlabelled = n_people
    return {
        "name": "made-up",
        "storage": str(storage),
        "cohort": {
            "images": {"kind": "phantom", "labelled": labelled, "unlabelled": unlabelled},
            "references": {"kind": "embedded"},
            "roi": {"voxel_mm": voxel_mm},
        },
        "grid": {
            "folds": n_folds,
            "label_counts": list(label_counts),
            "ratios": ["100:1", "10:1", "2:1", "1:1"],
            "seeds": list(range(seeds)),
            "analysis_fold": 0,
            "ablation": {"fold": 0, "label_count": min(label_counts)},
        },
    }


def write_products(plan: Plan, storage: Storage, holes: int, with_pictures: bool) -> None:
    """Every task's products and manifest, but the report's."""
    cohort, seed = plan.experiment.cohort, plan.experiment.seed
    images = cohort.images
    assert isinstance(images, PhantomImages)
    source = PhantomSource(images.labelled, images.unlabelled, seed=seed, roi=cohort.roi)
    people = source.subjects()
    print(f"{images.kind} cohort: {len(people)} people", flush=True)
    labelled = [one.id for one in people if one.labelled]
    split = folds(labelled, plan.experiment.grid.folds, seed)
    rows = [
        TableRow(one, "images-000.h5", k, None, None, 1.0, "labels", 1.0, 1.0, 0, None)
        for k, one in enumerate(people)
    ]
    pictures: dict[str, bytes] = {}
    segmented: list[Path] = []
    if with_pictures:
        pictures = draw_pictures(source, people, cohort.roi.voxel_mm)
        rows[: len(labelled)] = write_cohort(
            storage.cohort,
            (prepare_subject(source.load(one), cohort.roi) for one in labelled),
            structures=cohort.structures,
            roi=cohort.roi,
            software="benchmark",
        )
        segmented = segment_test_subjects(storage, split)
    write_table(storage.cohort / "subjects.csv", rows)
    digests: dict[str, str] = {}
    for task in plan.tasks:
        if task.stage == "aggregate":
            continue
        folder, files = storage.folder(task), storage.files(task)
        folder.mkdir(parents=True, exist_ok=True)
        products: tuple[str, ...] = ()
        if task.cell.arm is not None:
            metrics_of(task, people, split).to_csv(files.metrics, index=False)
            products = files.relative(files.metrics)
            if segmented and task.stage == "train_segmenter" and task.cell.fold is not None:
                shutil.copyfile(segmented[task.cell.fold], files.predictions)
                products = files.relative(files.metrics, files.predictions)
        elif task.stage == "train_gan":
            for phase in (1, 2, 3):
                _put(pictures, ("samples", "losses"), files.phase(phase).folder)
        elif task.stage == "synthesise":
            _put(
                pictures, ("latents", "embedding", "postprocessing", "rejected", "nearest"), folder
            )
            quality_of(task).to_csv(files.quality, index=False)
        inputs = {need: digests[need] for need in task.needs if need in digests}
        facts = {"fold": 0, "why": "made up"} if task.stage == "segment_cohort" else {}
        manifest = build_manifest(
            task,
            folder,
            products,
            inputs,
            attempts=1,
            wall_s=600.0,
            device="cpu",
            image=None,
            facts=facts,
        )
        digests[task.id] = manifest["digest"]
        storage.write_manifest(task, manifest)
    for task in plan.of_stage("train_segmenter")[:holes]:
        storage.files(task).manifest.unlink()


def segment_test_subjects(storage: Storage, split: Sequence[Fold]) -> list[Path]:
    """A file of segmentations for each fold's test subjects: their labels, a voxel off."""
    cohort = Cohort(storage.cohort)
    paths = []
    for fold in split:
        paths.append(storage.root / f"segmented-{fold.index}.h5")
        write_predictions(
            paths[-1],
            fold.test_ids,
            np.roll(cohort.labels(fold.test_ids), 1, axis=-1),
            cohort.structures,
            cohort.spacing_zhw_mm,
            cohort.ras_from_zhw,
        )
    return paths


def metrics_of(task: Task, people: list[Subject], split: Sequence[Fold]) -> pd.DataFrame:
    """A cell's `metrics.csv`: each subject's effect, the arm's gain, and noise of the cell."""
    cell = task.cell
    assert cell.arm is not None and cell.labels is not None and cell.seed is not None
    on_cohort = task.stage == "segment_cohort"
    tested = () if cell.fold is None else split[cell.fold].test_ids
    shown = [
        (k, one)
        for k, one in enumerate(people)
        if (not one.labelled if on_cohort else one.id in tested)
    ]
    rng = np.random.default_rng([cell.seed, cell.fold or 0, cell.labels, *cell.arm.name.encode()])
    seed_effect = np.random.default_rng([cell.seed, cell.labels]).normal(0, 0.004)
    frames = []
    for k, one in shown:
        own = np.random.default_rng(k)
        decline = 0.0006 * max(0.0, (one.age_years or 0) - 40) + 0.01 * (one.cdr or 0)
        effect = own.normal(0, 0.012) - decline + seed_effect + rng.normal(0, 0.006)
        gain = GAIN.get(cell.arm.name, 0.3) * FULL_GAIN[cell.labels]
        overall = BASE[cell.labels] + effect + gain * (1 + decline * 5)
        dsc = overall - 0.12 + 0.025 * np.arange(7) + rng.normal(0, 0.01, 7)
        shrink = 1 - 0.05 * (one.cdr or 0) - 0.0015 * ((one.age_years or 40) - 40)
        true = np.array(list(SIZE_MM3.values())) * shrink * np.exp(own.normal(0, 0.1, 7))
        volume = true * np.exp(rng.normal(0, 0.03 + 0.2 * (1 - overall), 7))
        values = {"dsc": dsc, "volume_mm3": volume, "reference_volume_mm3": true}
        if not on_cohort:
            values |= {"hd95_mm": 12 * (1 - dsc), "asd_mm": 3 * (1 - dsc), "missed": 0 * dsc}
        for metric, value_s in values.items():
            frames += [(one.id, *row) for row in zip(SIZE_MM3, [metric] * 7, value_s, strict=True)]
        frames += [(one.id, "overall", "dsc", overall), (one.id, "mean", "dsc", dsc.mean())]
    return pd.DataFrame(frames, columns=["subject", "structure", "metric", "value"])


def quality_of(task: Task) -> pd.DataFrame:
    """A GAN's `quality.csv`: every measure of every phase."""
    rng = np.random.default_rng([task.cell.labels or 0, task.cell.fold or 0])
    rows = []
    for phase in range(4):
        away = (0.0, 0.3, 0.2, 0.1)[phase]
        parts = ("mr", *PAPER_STRUCTURES)
        for name in ("sliced_wasserstein_80px", "sliced_wasserstein_40px"):
            rows += [(phase, name, part, 0.03 + away / 3) for part in parts]
        rows += [(phase, name, "mr", 0.9 - away) for name in ("precision", "density", "coverage")]
        rows += [(phase, "recall", "mr", 0.8 - 2 * away)]
        rows += [(phase, "nearest_distance_p50", "mr", 40.0 - 20 * away)]
        rows += [(phase, "nearest_distance_p01", "mr", 22.0 - 20 * away)]
        rows += [(phase, "fraction_nearer", "mr", 0.01 + away / 10)]
        for structure, size in SIZE_MM3.items():
            rows += [(phase, "volume_mm3", structure, size * (1 - away))]
            rows += [(phase, "centroid_shift_mm", structure, 5 * away)]
            rows += [(phase, "dice_with_nearest", structure, 0.9 - away)]
            rows += [
                (phase, f"area_mm2_p{p:02d}", structure, size / 20 * (0.3 + p / 70) * (1 - away))
                for p in (5, 25, 50, 75, 95)
            ]
    table = pd.DataFrame(rows, columns=["phase", "measure", "part", "value"])
    return table.assign(value=table["value"] * np.exp(rng.normal(0, 0.05, len(table))), n=500)


def draw_pictures(
    source: PhantomSource, people: list[Subject], voxel_mm: float
) -> dict[str, bytes]:
    """One picture of each kind that the stages make, as large and as dense as theirs."""
    some = [source.load(one.id) for one in people[:6]]
    image, label = (
        np.concatenate([_middle_slices_khw(np.asarray(volume), voxel_mm) for volume in volumes])
        for volumes in zip(*((one.image.array_xyz, one.reference) for one in some), strict=True)
    )
    image = image / image.std() + np.random.default_rng(0).normal(0, 0.08, image.shape)
    names = PAPER_STRUCTURES
    phases = {f"phase {k}": image[9 * k : 9 * k + 9] for k in (1, 2, 3)}
    labels = {f"phase {k}": label[9 * k : 9 * k + 9] for k in (1, 2, 3)}
    mask = np.stack([label[3] == k + 1 for k in range(7)])
    steps = {"A raw": mask, "C threshold": mask, "D largest part": mask, "E result": mask}
    cloud = np.random.default_rng(1).normal(size=(4, 500, 2))
    records = [
        {"images": 800 * k, "phase": 1, "level_px": 5 * 2 ** (k // 250)}
        | {name: float(np.sin(k / 40 + j) + cloud[0, k % 500, 0]) for j, name in enumerate("abcde")}
        for k in range(1000)
    ]
    with tempfile.TemporaryDirectory() as name:
        to = {kind: Path(name) / f"{kind}.png" for kind in ("samples", "latents", "embedding")}
        to |= {kind: Path(name) / f"{kind}.png" for kind in ("postprocessing", "rejected")}
        to |= {kind: Path(name) / f"{kind}.png" for kind in ("nearest", "losses")}
        slices.sample_grid(to["samples"], image, label, names, "Samples")
        region_rk = np.arange(9)[None].repeat(2, 0)
        embedding.same_latents_figure(to["latents"], phases, labels, region_rk, names, "Latents")
        by_phase = {f"phase {k}": cloud[k] for k in (1, 2, 3)}
        embedding.embedding_figure(to["embedding"], cloud[0], by_phase)
        contrast = mask * image[3]
        synthesis_figures.postprocessing_figure(
            to["postprocessing"], image[3], contrast, steps, names, names[:3], "Postprocessing"
        )
        synthesis_figures.rejected_figure(
            to["rejected"], image[:8], np.arange(8.0), "Rejected slices"
        )
        pairs = image[:16].reshape(2, 8, *image.shape[1:])
        slices.slice_table(to["nearest"], pairs, None, names, "Nearest", ("made", "real"))
        losses.loss_curves(to["losses"], records, "Losses")
        return {kind: path.read_bytes() for kind, path in to.items()}


def _middle_slices_khw(volume_xyz: np.ndarray, voxel_mm: float) -> np.ndarray:
    """Eight slices of 80 x 80 mm, every 3 mm around the middle."""
    x, y, z = (side // 2 for side in volume_xyz.shape)
    half, numbers = round(40 / voxel_mm), z + np.arange(-12, 12, 3) / voxel_mm
    box_xyz = volume_xyz[x - half : x + half, y - half : y + half, np.rint(numbers).astype(int)]
    return box_xyz[::-1, ::-1].transpose(2, 1, 0)


def _put(pictures: dict[str, bytes], kinds: tuple[str, ...], folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for kind in kinds:
        if kind in pictures:
            (folder / f"{kind}.png").write_bytes(pictures[kind])


@contextmanager
def timed() -> Iterator[dict[str, float]]:
    """Seconds spent in each of the parts meanwhile."""
    part_s: dict[str, float] = defaultdict(float)

    def timing(function: Callable[..., Any], part: str) -> Callable[..., Any]:
        def run(*args: Any, **kwargs: Any) -> Any:
            start_s = time.perf_counter()
            try:
                return function(*args, **kwargs)
            finally:
                part_s[part] += time.perf_counter() - start_s

        return run

    with ExitStack() as stack:
        for module, name, part in PARTS:
            stack.enter_context(patch.object(module, name, timing(getattr(module, name), part)))
        yield part_s


def run_command(storage: Storage) -> tuple[int, float]:
    """Make the report as a user does: exit code, and seconds."""
    load = os.getloadavg()[0]
    start_s = time.perf_counter()
    command = [sys.executable, "-m", "jobs.commands.cli", "aggregate", str(storage.experiment_file)]
    code = subprocess.run(command, stdout=subprocess.DEVNULL, cwd=ROOT, check=False).returncode
    command_s = time.perf_counter() - start_s
    print(f"gansfer aggregate: {command_s:.1f} s, exit code {code} (load before: {load:.1f})")
    return code, command_s


def measure(plan: Plan, storage: Storage, *, parts_only: bool) -> Measured:
    """Make the report by the command, then part by part, print and give what it took."""
    code, command_s = (None, None) if parts_only else run_command(storage)
    start_s = time.perf_counter()
    with timed() as part_s:
        summary = collect.write_report(plan, storage)
    report_s = time.perf_counter() - start_s
    print(f"write_report: {report_s:.1f} s, of which")
    for part, seconds in part_s.items():
        print(f"  {part:32s} {seconds:6.1f} s")
    page_mb = summary.index.stat().st_size / 1e6
    print(f"page: {page_mb:.1f} MB; {summary.state}")
    return Measured(code, command_s, report_s, dict(part_s), page_mb, summary.state)


def main(arguments: Sequence[str] | None = None) -> Measured:
    """Make the grid, then measure."""
    parser = parser_of(__doc__)
    parser.add_argument("folder", nargs="?", type=Path)
    parser.add_argument("--seeds", type=count, default=1)
    parser.add_argument("--holes", type=count_or_zero, default=0)
    parser.add_argument("--pictures", type=int, choices=(0, 1), default=1)
    parser.add_argument("--folds", type=count, default=5)
    parser.add_argument("--label-counts", type=int, nargs="+", choices=[*BASE], default=[*BASE])
    parser.add_argument("--labelled", type=count, default=30)
    parser.add_argument("--unlabelled", type=count, default=416)
    parser.add_argument("--voxel-mm", type=float, default=1.0)
    parser.add_argument("--parts-only", action="store_true")
    asked = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as temporary:
        values = experiment_values(
            asked.folder or Path(temporary),
            asked.seeds,
            asked.folds,
            sorted(set(asked.label_counts)),
            (asked.labelled, asked.unlabelled),
            asked.voxel_mm,
        )
        try:
            experiment = parse_experiment(values, "benchmark")
        except UserError as error:
            parser.error(str(error))
        plan, storage = make_plan(experiment), Storage(experiment)
        if not storage.experiment_file.exists():
            write_products(plan, storage, asked.holes, bool(asked.pictures))
            save_experiment(experiment, storage.experiment_file)
        return measure(plan, storage, parts_only=asked.parts_only)


if __name__ == "__main__":
    main()

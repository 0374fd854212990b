"""Label propagation as a stage: who is an atlas of whom, what it leaves, how it goes on."""

from __future__ import annotations

import csv
import json
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import jobs.stages.propagate
from gansfer.cohort.shards import Cohort
from gansfer.cohort.splits import Fold
from gansfer.evaluation.predictions import read_predictions
from gansfer.progress import Silent, StopRequested
from jobs.experiment.model import Experiment
from jobs.experiment.plan import Plan, make_plan
from jobs.stages.context import Context
from jobs.stages.inputs import folds_of
from jobs.stages.propagate import propagate_labels
from jobs.worker.run import DONE, MISTAKE
from tests.jobs.conftest import Asked, Finished
from tests.jobs.experiments import BASELINE, COHORT_BASELINE, RATIO, SYNTHETIC, Trial

PROPAGATED = {"references": {"kind": "propagation", "atlases": 2, "tasks": 3}}
PARTS = [f"propagate/part-00{part}" for part in range(3)]
RIVAL = "propagate/seed-0/fold-0/labels-01/propagation"


@dataclass
class Warps:
    """Stands in for SyN and fusion: the first atlas's labels, and a record of who was asked."""

    cohort: Cohort
    asked: list[tuple[str, tuple[str, ...]]] = field(default_factory=list)
    fail_at: int | None = None

    def __call__(
        self,
        target_zhw: Any,
        atlas_image_azhw: Any,
        atlas_label_azhw: Any,
        spacing_zhw_mm: Any,
        *,
        watch: Any,
    ) -> Any:
        if len(self.asked) == self.fail_at:
            raise StopRequested
        atlases = tuple(self._name(image_zhw) for image_zhw in atlas_image_azhw)
        self.asked.append((self._name(target_zhw), atlases))
        for one, label_zhw in zip(atlases, atlas_label_azhw, strict=True):
            assert np.array_equal(label_zhw, self.cohort.labels([one])[0])
        watch.report(len(atlases), len(atlases), "atlases")
        return atlas_label_azhw[0]

    def _name(self, image_zhw: Any) -> str:
        ids = [subject.id for subject in self.cohort.subjects]
        same = [np.array_equal(image_zhw, one_zhw) for one_zhw in self.cohort.images(ids)]
        return ids[same.index(True)]


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Trial:
    """The tiny experiment's cohort without references: never change it, copy it."""
    made = Trial.make(tmp_path_factory.mktemp("prepared"), cohort={"references": {"kind": "none"}})
    assert made.work("prepare") == DONE
    return made


@pytest.fixture
def trial(prepared: Trial, tmp_path: Path) -> Trial:
    """The tiny experiment with propagated references, prepared."""
    return prepared.copied(tmp_path, tasks=["prepare"], cohort=PROPAGATED)


@pytest.fixture
def warps(trial: Trial, monkeypatch: pytest.MonkeyPatch) -> Warps:
    made = Warps(Cohort(trial.storage.cohort))
    monkeypatch.setattr(jobs.stages.propagate, "propagate", made)
    return made


def plan_of(**references: Any) -> Plan:
    cohort = {"images": {"kind": "phantom", "labelled": 30}, "roi": {"voxel_mm": 2.0}}
    cohort["references"] = references or {"kind": "none"}
    return make_plan(Experiment.model_validate({"name": "x", "cohort": cohort}))


def changed(before: Plan, after: Plan) -> set[str]:
    return {
        task.stage
        for task in after.tasks
        if task.id not in before.by_id or before.by_id[task.id].fingerprint != task.fingerprint
    }


def facts(trial: Trial, task_id: str) -> dict[str, Any]:
    manifest = trial.storage.read_manifest(trial.task(task_id))
    assert manifest is not None
    return dict(manifest["facts"])


def test_propagated_references_make_nothing_stale_that_reads_none() -> None:
    none, given = plan_of(), plan_of(kind="propagation")
    assert changed(none, given) == {"propagate", "segment_cohort", "aggregate"}


@pytest.mark.parametrize("setting", [{"atlases": 5}, {"tasks": 7}])
def test_another_setting_changes_the_references_but_not_the_rival(setting: dict[str, int]) -> None:
    before, after = plan_of(kind="propagation"), plan_of(kind="propagation", **setting)
    assert changed(before, after) == {"propagate", "segment_cohort", "aggregate"}
    for task in after.of_stage("propagate"):
        same = before.by_id[task.id].fingerprint == task.fingerprint
        assert same == (task.cell.part is None)


def test_the_references_are_needed_by_the_cohorts_segmentations_alone() -> None:
    plan = plan_of(kind="propagation", tasks=4)
    parts = {f"propagate/part-{part:03d}" for part in range(4)}
    needing = {task.stage for task in plan.tasks if parts & set(task.needs)}
    assert needing == {"segment_cohort", "aggregate"}
    for task in plan.of_stage("segment_cohort"):
        assert parts <= set(task.needs)
    assert {task.needs for task in plan.of_stage("propagate")} == {("prepare",)}


def test_the_built_in_cohort_has_no_surplus_tasks_and_the_array_is_one() -> None:
    plan = plan_of(kind="propagation", tasks=1000)
    sizes = {labels: len(tasks) for stage, labels, tasks in plan.arrays() if stage == "propagate"}
    assert sizes == {None: 150, 1: 1, 6: 1, 24: 1}


@pytest.mark.parametrize(
    ("references", "grid", "cells"),
    [
        ("none", {}, set()),
        ("propagation", {"rival": None}, set()),
        ("propagation", {}, {(0, 1), (0, 6), (0, 24)}),
        ("propagation", {"label_counts": [3], "ablation": None}, set()),
        ("propagation", {"use_folds": [2], "ablation": None}, {(2, 1), (2, 6), (2, 24)}),
        ("embedded", {"rival": {"fold": 3, "label_counts": [3]}}, {(3, 3)}),
    ],
)
def test_the_rival_stands_at_the_papers_label_counts_of_one_fold(
    references: str, grid: dict[str, Any], cells: set[tuple[int, int]]
) -> None:
    cohort = {
        "images": {"kind": "phantom", "labelled": 30},
        "roi": {"voxel_mm": 2.0},
        "references": {"kind": references},
    }
    plan = make_plan(Experiment.model_validate({"name": "x", "cohort": cohort, "grid": grid}))
    rivals = [task.cell for task in plan.of_stage("propagate") if task.cell.part is None]
    assert {(cell.fold, cell.labels) for cell in rivals} == cells


@pytest.mark.parametrize(
    ("rival", "said"),
    [
        ({"fold": 7}, "rival.fold asks for fold 7"),
        ({"label_counts": [2]}, "rival.label_counts asks for 2, which is not in label_counts"),
    ],
)
def test_a_rival_outside_the_grid_is_refused(rival: dict[str, Any], said: str) -> None:
    cohort = {"images": {"kind": "phantom"}, "roi": {"voxel_mm": 2.0}}
    with pytest.raises(ValueError, match=said):
        Experiment.model_validate({"name": "x", "cohort": cohort, "grid": {"rival": rival}})


def test_every_image_of_the_pool_gets_one_reference_from_others(trial: Trial, warps: Warps) -> None:
    assert [trial.work(part) for part in PARTS] == [DONE] * 3
    found = [read_predictions(trial.folder(part) / "references.h5") for part in PARTS]
    pool = [subject.id for subject in warps.cohort.subjects if subject.in_pool]
    assert sorted(one for part in found for one in part) == sorted(pool)
    for target, atlases in warps.asked:
        assert len(atlases) == 2 and target not in atlases
    by_target = {target: list(atlases) for target, atlases in warps.asked}
    on_record = [facts(trial, part) for part in PARTS]
    assert {k: v for one in on_record for k, v in one["atlases"].items()} == by_target
    assert [one["subjects"] for one in on_record] == [3, 3, 2]
    assert not list(trial.folder(PARTS[0]).glob(".parts"))


def test_labels_do_not_depend_on_how_many_tasks_share_the_pool(trial: Trial, warps: Warps) -> None:
    for part in PARTS:
        trial.work(part)
    shared = sorted(warps.asked)
    warps.asked.clear()
    alone = trial.changed(cohort={"references": {**PROPAGATED["references"], "tasks": 1}})
    assert alone.work("propagate/part-000") == DONE
    assert sorted(warps.asked) == shared


def test_a_part_without_a_subject_is_an_empty_product(trial: Trial, warps: Warps) -> None:
    task = trial.task(PARTS[0])
    beyond = type(task)(task.stage, type(task.cell)(part=99), {}, task.needs, "f")
    context = Context(trial.plan, trial.storage, beyond, Silent())
    assert propagate_labels(context).facts["subjects"] == 0
    assert read_predictions(context.files.folder / "references.h5") == {}


def test_the_rival_never_sees_a_test_subjects_labels(trial: Trial, warps: Warps) -> None:
    assert trial.work(RIVAL) == DONE
    fold: Fold = folds_of(trial.plan.experiment, warps.cohort)[0]
    assert [target for target, _ in warps.asked] == list(fold.test_ids)
    for _, atlases in warps.asked:
        assert atlases == fold.training_set(1)
    assert facts(trial, RIVAL)["training_subjects"] == list(fold.training_set(1))


def test_the_rivals_metrics_have_the_segmenters_format(
    finished: Finished, trial: Trial, warps: Warps
) -> None:
    trial.work(RIVAL)
    mine, theirs = (
        [(row["subject"], row["structure"], row["metric"]) for row in rows(folder / "metrics.csv")]
        for folder in (trial.folder(RIVAL), finished.folder(BASELINE))
    )
    assert mine == theirs


def test_a_stopped_task_goes_on_with_the_subject_that_it_was_at(
    trial: Trial, warps: Warps, monkeypatch: pytest.MonkeyPatch
) -> None:
    warps.fail_at = 2
    assert trial.work(PARTS[0]) == 75
    assert not (trial.folder(PARTS[0]) / "references.h5").exists()
    first = [target for target, _ in warps.asked]
    warps.fail_at = None
    assert trial.work(PARTS[0]) == DONE
    every = [target for target, _ in warps.asked]
    assert every[:2] == first and len(every) == len(set(every)) == 3
    found = read_predictions(trial.folder(PARTS[0]) / "references.h5")
    for target, atlases in warps.asked:  # as if it had not been stopped
        assert np.array_equal(found[target], warps.cohort.labels(atlases[:1])[0])


def test_what_is_left_of_other_settings_is_not_taken(trial: Trial, warps: Warps) -> None:
    warps.fail_at = 2
    assert trial.work(PARTS[0]) == 75
    warps.asked.clear()
    warps.fail_at = None
    other = trial.changed(cohort={"references": {**PROPAGATED["references"], "atlases": 1}})
    assert other.work(PARTS[0]) == DONE
    assert [len(atlases) for _, atlases in warps.asked] == [1, 1, 1]


def test_progress_counts_the_atlases_of_all_subjects(trial: Trial, warps: Warps) -> None:
    told: list[tuple[int, int, str]] = []

    class Listening(Silent):
        def report(self, done: int, total: int, unit: str, note: str = "") -> None:
            told.append((done, total, unit))

    context = Context(trial.plan, trial.storage, trial.task(PARTS[0]), Listening())
    propagate_labels(context)
    assert sorted(set(told)) == [(2, 6, "atlases"), (4, 6, "atlases"), (6, 6, "atlases")]


def test_the_cohort_is_measured_against_what_was_propagated(
    finished: Finished, trial: Trial, warps: Warps
) -> None:
    for part in [*PARTS, RIVAL]:
        trial.work(part)
    borrow_segmenters(finished, trial)
    assert trial.work(COHORT_BASELINE) == DONE
    assert facts(trial, COHORT_BASELINE)["references"] == 8
    volumes = {
        row["subject"]: float(row["value"])
        for row in rows(trial.folder(COHORT_BASELINE) / "metrics.csv")
        if (row["structure"], row["metric"]) == ("thalamus", "reference_volume_mm3")
    }
    thalamus = 1 + warps.cohort.structures.index("thalamus")
    for target, atlases in warps.asked[: len(volumes)]:
        voxels = (warps.cohort.labels(atlases[:1])[0] == thalamus).sum()
        assert volumes[target] == 80.0 * voxels


def test_the_report_shows_the_rival_and_says_what_the_references_are(
    finished: Finished, trial: Trial, warps: Warps
) -> None:
    for part in [*PARTS, RIVAL]:
        trial.work(part)
    borrow_segmenters(finished, trial)
    trial.work(COHORT_BASELINE)
    assert trial.work("aggregate") == DONE
    page = trial.storage.report.page.read_text()
    assert "Propagation minus baseline" in page
    assert "the result of multi-atlas label propagation" in page
    assert "at most 2 labelled" in page
    missing = json.dumps(facts(trial, "aggregate")["missing"])
    assert "Propagation" not in missing and "on the cohort" in missing
    (row,) = (
        row for row in rows(trial.storage.report.table("rival")) if row["structure"] == "overall"
    )
    own = [
        float(row["value"])
        for row in rows(trial.folder(RIVAL) / "metrics.csv")
        if (row["structure"], row["metric"]) == ("overall", "dsc")
    ]
    assert float(row["propagation"]) == pytest.approx(np.mean(own), rel=1e-5)
    by_arm = {row["arm"]: row for row in rows(trial.storage.report.table("dsc_by_ratio"))}
    assert by_arm["propagation"]["n_subjects"] == "2"


def test_a_missing_rival_is_counted_as_missing(trial: Trial) -> None:
    trial.work("aggregate")
    assert any("Propagation" in one for one in facts(trial, "aggregate")["missing"])


@pytest.mark.parametrize("command", ["run", "validate"])
def test_without_antspyx_nothing_starts(
    command: str,
    tmp_path: Path,
    gansfer: Callable[..., Asked],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "ants", None)
    trial = Trial.make(tmp_path, cohort=PROPAGATED)
    asked = gansfer(command, trial.config)
    assert asked.code == MISTAKE
    (line,) = asked.err.strip().splitlines()
    assert line.startswith("error: cohort.references: label propagation needs antspyx")
    assert not trial.storage.root.exists()


def test_where_tasks_run_in_an_image_its_packages_count(
    tmp_path: Path, gansfer: Callable[..., Asked], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "ants", None)
    image = {"container": {"image": "/images/gansfer.sif"}}
    trial = Trial.make(tmp_path, cohort=PROPAGATED, cluster=image)
    asked = gansfer("validate", trial.config)
    assert asked.code == 0 and "note: cohort.references: label propagation needs" in asked.out


def test_a_description_counts_the_hours_of_every_warp(
    tmp_path: Path, gansfer: Callable[..., Asked]
) -> None:
    def core_hours(**references: Any) -> float:
        trial = Trial.make(tmp_path, cohort={"references": references})
        found = json.loads(gansfer("describe", trial.config, "--json").out)
        return float(found["stages"]["propagate"]["core_hours"])

    assert core_hours(kind="embedded") == 0
    few, many = (core_hours(kind="propagation", atlases=n * 10**6) for n in (1, 3))
    assert many == pytest.approx(3 * few, rel=1e-3) and few > 0


@pytest.mark.slow
def test_real_propagation_beats_a_guess(trial: Trial) -> None:
    pytest.importorskip("ants")
    assert trial.work(RIVAL) == DONE
    overall = [
        float(row["value"])
        for row in rows(trial.folder(RIVAL) / "metrics.csv")
        if (row["structure"], row["metric"]) == ("overall", "dsc")
    ]
    assert min(overall) > 0.7


def borrow_segmenters(finished: Finished, trial: Trial) -> None:
    """The finished experiment's models; this one's cohort has the same images."""
    for task_id in (BASELINE, RATIO, SYNTHETIC):
        folder = trial.folder(task_id)
        folder.mkdir(parents=True)
        for path in finished.folder(task_id).glob("*.*"):
            (folder / path.name).write_bytes(path.read_bytes())
        manifest = json.loads((folder / "manifest.json").read_text())
        task = trial.task(task_id)
        manifest |= {
            "fingerprint": task.fingerprint,
            "inputs": trial.ledger().input_digests(task),
        }
        trial.storage.write_manifest(task, manifest)


def rows(path: Path) -> Iterator[dict[str, str]]:
    with path.open(newline="") as file:
        yield from csv.DictReader(file)

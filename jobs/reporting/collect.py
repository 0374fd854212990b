"""Metric files in, report out: complete or not, without torch, by hand at any time."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import pandas as pd

from gansfer.cohort.shards import TABLE_NAME
from gansfer.cohort.splits import folds
from gansfer.cohort.table import read_table
from gansfer.errors import UserError
from gansfer.report.build import ReportSummary, build_report
from gansfer.report.tables.dice import COLUMNS
from gansfer.report.tables.paper import LABELLED_PEOPLE, POOL_IMAGES
from gansfer.report.tables.results import Meta
from gansfer.subjects import Subject
from jobs.experiment.model import Experiment
from jobs.experiment.plan import Plan, Task
from jobs.experiment.resources import STAGES
from jobs.reporting.files import pictures_of, planned_files, quality_of
from jobs.reporting.stored_segmentations import StoredSegmentations
from jobs.reporting.training_facts import failed_quality, skipped_updates
from jobs.reporting.words import dataset_words, pool_rule, reference_rule
from jobs.store.integrity import products_read, withdraw_damaged
from jobs.store.ledger import Ledger
from jobs.store.storage import Storage

_SETS = {"train_segmenter": "test", "propagate": "test", "segment_cohort": "cohort"}


def write_report(plan: Plan, storage: Storage) -> ReportSummary:
    """Write the report from the products of the tasks that are done."""
    ledger = Ledger(plan, storage)
    _look_for_damage(plan, storage, ledger)
    subjects = _subjects(storage)
    files = planned_files(plan, storage, ledger)
    return build_report(
        storage.report.folder,
        _metrics(plan, storage, ledger, subjects),
        _expected(plan, ledger, _subjects_by_fold(plan, subjects.values())),
        _meta(plan, ledger, subjects.values()),
        _labelled(subjects.values()),
        pictures_of(files),
        quality_of(files),
        files,
        StoredSegmentations(plan, storage).read,
    )


def watch_report(plan: Plan, storage: Storage, every_s: float) -> Iterator[ReportSummary]:
    """Write the report now, and again whenever a task has ended; yield each until it is complete.

    Args:
        plan: the experiment's tasks.
        storage: where their products are.
        every_s: seconds between looks.
    """
    seen: tuple[str | None, ...] | None = None
    while True:
        ledger = Ledger(plan, storage)
        now = tuple(
            (ledger.manifest(task) or {}).get("finished")
            for task in plan.tasks
            if task.stage != "aggregate"
        )
        if now != seen:
            seen = now
            summary = write_report(plan, storage)
            yield summary
            if summary.complete:
                return
        time.sleep(every_s)


def _look_for_damage(plan: Plan, storage: Storage, ledger: Ledger) -> None:
    """Take no number from a file that is not as it was written: its task is not done any more.

    Raises:
        UserError: it is the table of subjects, without which no number can be placed.
    """
    for task in plan.tasks:
        if task.stage == "aggregate" or not ledger.done(task):
            continue
        said = withdraw_damaged(
            storage, task, products_read(storage.files(task), task, "aggregate")
        )
        if said is not None and task.stage == "prepare":
            raise UserError(said)
        if said is not None:
            ledger.set_damaged(task)


def _subjects(storage: Storage) -> dict[str, Subject]:
    path = storage.cohort / TABLE_NAME
    if not path.exists():
        return {}
    return {row.subject.id: row.subject for row in read_table(path)}


def _labelled(subjects: Iterable[Subject]) -> pd.DataFrame:
    """Every subject with manual labels, whether or not a fold that ran tests them (Fig. 11, 13)."""
    rows = [(one.id, one.age_years, one.cdr) for one in subjects if one.labelled]
    table = pd.DataFrame(rows, columns=["subject", "age_years", "cdr"])
    return table.astype({"age_years": float, "cdr": float})


def _metrics(
    plan: Plan, storage: Storage, ledger: Ledger, subjects: dict[str, Subject]
) -> pd.DataFrame:
    """All metric files as one table, a row a number, with the cell and the subject's facts."""
    tables = []
    analysis_fold = _analysis_fold(plan, ledger)
    for task in plan.tasks:
        if not _is_measured(task) or not ledger.done(task):
            continue
        table = pd.read_csv(storage.files(task).metrics, dtype={"subject": str, "structure": str})
        if task.stage == "segment_cohort":
            table = table[[_in_analysis_set(subjects[one]) for one in table["subject"]]].copy()
        table["seed"] = task.cell.seed
        table["fold"] = analysis_fold if task.cell.fold is None else task.cell.fold
        table["labels"] = task.cell.labels
        assert task.cell.arm is not None
        table["arm"] = task.cell.arm.name
        table["set"] = _SETS[task.stage]
        table["age_years"] = [subjects[one].age_years for one in table["subject"]]
        table["cdr"] = [subjects[one].cdr for one in table["subject"]]
        tables.append(table)
    columns = list(COLUMNS)
    return pd.concat(tables)[columns] if tables else pd.DataFrame(columns=columns)


def _is_measured(task: Task) -> bool:
    """The task leaves a metrics.csv of an arm; references are what others are measured by."""
    return task.stage in _SETS and task.cell.arm is not None


def _in_analysis_set(subject: Subject) -> bool:
    """Neither a labelled person's image nor a repeat (III.G)."""
    return not subject.labelled and subject.labelled_as is None and subject.repeat_of is None


def _analysis_fold(plan: Plan, ledger: Ledger) -> int:
    """The fold of all that the cohort is segmented with (III.G); -1 while it is not chosen.

    It is chosen from the cohort, not by a model, so any model's manifest knows it.
    """
    chosen = plan.experiment.grid.analysis_fold
    if chosen != "auto":
        return chosen
    facts = _analysis_facts(plan, ledger)
    return int(facts["fold"]) if facts else -1


def _analysis_facts(plan: Plan, ledger: Ledger) -> dict[str, Any]:
    """Fold and reason, as the first of the cohort's segmentations that is done has them."""
    for task in plan.of_stage("segment_cohort"):
        manifest = ledger.manifest(task)
        if manifest is not None and ledger.done(task):
            return dict(manifest["facts"])
    return {}


def _subjects_by_fold(plan: Plan, subjects: Iterable[Subject]) -> dict[int, int]:
    """How many labelled subjects each fold tests; empty while the cohort is not prepared."""
    labelled = [one.id for one in subjects if one.labelled]
    if not labelled:
        return {}
    experiment = plan.experiment
    return {
        fold.index: len(fold.test_ids)
        for fold in folds(labelled, experiment.grid.folds, experiment.seed)
    }


def _expected(plan: Plan, ledger: Ledger, subjects_by_fold: Mapping[int, int]) -> pd.DataFrame:
    """The planned cells, as `completeness.missing_cells` wants them."""
    analysis_fold = _analysis_fold(plan, ledger)
    rows = [
        {
            "seed": task.cell.seed,
            "fold": analysis_fold if task.cell.fold is None else task.cell.fold,
            "labels": task.cell.labels,
            "arm": task.cell.arm.name,
            "set": _SETS[task.stage],
            "planned": 0 if task.cell.fold is None else subjects_by_fold.get(task.cell.fold, 0),
            "stale": _why_stale(task, ledger),
        }
        for task in plan.tasks
        if _is_measured(task) and task.cell.arm is not None
    ]
    return pd.DataFrame(rows)


def _why_stale(task: Task, ledger: Ledger) -> str:
    """The first cause of a task's being stale; empty where it is not."""
    finding = ledger.finding(task)
    if finding.state != "stale":
        return ""
    causes = (_why_stale(ledger.plan.by_id[need], ledger) for need in task.needs)
    return next((cause for cause in causes if cause), finding.why)


def _is_paper_data(experiment: Experiment, subjects: Iterable[Subject]) -> bool:
    """OASIS-1 on the paper's grid with the paper's numbers of images, whatever the name (III.A).

    While the cohort is not prepared, its numbers are taken to be as planned.
    """
    cohort = experiment.cohort
    if cohort.images.kind != "oasis" or cohort.roi.voxel_mm != 1.0:
        return False
    everyone = list(subjects)
    numbers = sum(one.labelled for one in everyone), sum(one.in_pool for one in everyone)
    return not everyone or numbers == (LABELLED_PEOPLE, POOL_IMAGES)


def _meta(plan: Plan, ledger: Ledger, subjects: Iterable[Subject]) -> Meta:
    experiment = plan.experiment
    manifests = [found for task in plan.tasks if (found := ledger.manifest(task)) is not None]
    wall_s: dict[str, float] = dict.fromkeys(STAGES, 0.0)
    versions: dict[str, str] = {}
    for manifest in manifests:
        wall_s[manifest["task"].split("/")[0]] += manifest["wall_s"]
        versions = {
            "gansfer": manifest["version"],
            "revision": manifest["git_revision"] or "unknown",
            "image": manifest["image_digest"] or "none (no container)",
            **manifest["packages"],
        }
    analysis = _analysis_facts(plan, ledger)
    ablation = experiment.grid.ablation
    settings = experiment.analysis
    return Meta(
        name=experiment.name,
        dataset=dataset_words(experiment),
        is_paper_data=_is_paper_data(experiment, subjects),
        structures=experiment.cohort.structures,
        analysis_fold=analysis["fold"] if analysis else None,
        analysis_reason=f"Chosen by rule: {analysis['why']}." if analysis else "",
        pool_rule=pool_rule(experiment),
        reference=reference_rule(experiment.cohort.references),
        failed_quality=failed_quality(plan, ledger),
        skipped_updates=skipped_updates(plan, ledger),
        versions=versions,
        wall_s={stage: round(seconds, 1) for stage, seconds in wall_s.items() if seconds},
        ablation=None
        if ablation is None
        else {"fold": ablation.fold, "labels": ablation.label_count, "ratio": ablation.ratio},
        best_ratio=settings.best_ratio,
        ratio_from_labels=settings.ratio_from_labels,
        significance=settings.significance,
        stratification_folds=settings.stratification_folds,
        stratification_repeats=settings.stratification_repeats,
        kernel_bandwidth_years=settings.kernel_bandwidth_years,
    )

"""Metric files in, report out: complete or not, without torch, by hand at any time."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping

import pandas as pd

from gansfer.cohort.splits import folds
from gansfer.report.build import ReportSummary, build_report
from gansfer.report.tables.paper import LABELLED_PEOPLE, POOL_IMAGES
from gansfer.report.tables.results import Meta
from gansfer.subjects import Subject
from jobs.experiment.model import Experiment
from jobs.experiment.plan import Plan, Task
from jobs.experiment.resources import STAGES
from jobs.reporting.files import pictures_of, planned_files, quality_of
from jobs.reporting.metric_files import (
    SETS,
    analysis_facts,
    is_measured,
    known_analysis_fold,
    look_for_damage,
    metric_rows,
    subjects_by_id,
)
from jobs.reporting.stored_segmentations import StoredSegmentations
from jobs.reporting.training_facts import failed_quality, skipped_updates
from jobs.reporting.words import beyond_paper, dataset_words, pool_rule, reference_rule
from jobs.store.ledger import Ledger
from jobs.store.storage import Storage


def write_report(plan: Plan, storage: Storage) -> ReportSummary:
    """Write the report from the products of the tasks that are done."""
    ledger = Ledger(plan, storage)
    look_for_damage(plan, storage, ledger)
    subjects = subjects_by_id(storage)
    files = planned_files(plan, storage, ledger)
    return build_report(
        storage.report.folder,
        metric_rows(plan, storage, ledger, subjects),
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


def _labelled(subjects: Iterable[Subject]) -> pd.DataFrame:
    """Every subject with manual labels, whether or not a fold that ran tests them (Fig. 11, 13)."""
    rows = [(one.id, one.age_years, one.cdr) for one in subjects if one.labelled]
    table = pd.DataFrame(rows, columns=["subject", "age_years", "cdr"])
    return table.astype({"age_years": float, "cdr": float})


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
    analysis_fold = known_analysis_fold(plan, ledger)
    rows = [
        {
            "seed": task.cell.seed,
            "fold": analysis_fold if task.cell.fold is None else task.cell.fold,
            "labels": task.cell.labels,
            "arm": task.cell.arm.name,
            "set": SETS[task.stage],
            "planned": 0 if task.cell.fold is None else subjects_by_fold.get(task.cell.fold, 0),
            "stale": _why_stale(task, ledger),
        }
        for task in plan.tasks
        if is_measured(task) and task.cell.arm is not None
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
    if cohort.images.kind != "oasis" or cohort.roi.spacing_zhw_mm != (1.0, 1.0, 1.0):
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
    analysis = analysis_facts(plan, ledger)
    ablation = experiment.grid.table_i
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
        beyond_paper=beyond_paper(experiment.gan),
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

"""The metric files of an experiment as one table, with the cell and the subject of every number."""

from __future__ import annotations

from typing import Any

import pandas as pd

from gansfer.cohort.shards import TABLE_NAME
from gansfer.cohort.table import read_table
from gansfer.errors import UserError
from gansfer.report.tables.dice import COLUMNS, checked
from gansfer.subjects import Subject
from jobs.experiment.plan import Plan, Task
from jobs.store.integrity import products_read, withdraw_damaged
from jobs.store.ledger import Ledger
from jobs.store.storage import Storage

SETS = {"train_segmenter": "test", "propagate": "test", "segment_cohort": "cohort"}


def read_metrics(plan: Plan, storage: Storage) -> tuple[pd.DataFrame, list[Task]]:
    """Every number that is measured so far, and the tasks whose numbers are missing.

    Args:
        plan: the experiment's tasks.
        storage: where their products are.

    Returns:
        A row a number, with the columns and types of the report's tables (`COLUMNS`); it may be
        empty.

    Raises:
        UserError: the table of subjects is damaged.
    """
    ledger = Ledger(plan, storage)
    look_for_damage(plan, storage, ledger)
    rows = checked(metric_rows(plan, storage, ledger, subjects_by_id(storage)))
    missing = [task for task in plan.tasks if is_measured(task) and not ledger.done(task)]
    return rows.reset_index(drop=True), missing


def look_for_damage(plan: Plan, storage: Storage, ledger: Ledger) -> None:
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


def subjects_by_id(storage: Storage) -> dict[str, Subject]:
    """Everybody in the cohort; empty while it is not prepared."""
    path = storage.cohort / TABLE_NAME
    if not path.exists():
        return {}
    return {row.subject.id: row.subject for row in read_table(path)}


def metric_rows(
    plan: Plan, storage: Storage, ledger: Ledger, subjects: dict[str, Subject]
) -> pd.DataFrame:
    """All metric files as one table, a row a number, with the cell and the subject's facts."""
    tables = []
    analysis_fold = known_analysis_fold(plan, ledger)
    for task in plan.tasks:
        if not is_measured(task) or not ledger.done(task):
            continue
        table = pd.read_csv(storage.files(task).metrics, dtype={"subject": str, "structure": str})
        if task.stage == "segment_cohort":
            table = table[[_in_analysis_set(subjects[one]) for one in table["subject"]]].copy()
        table["seed"] = task.cell.seed
        table["fold"] = analysis_fold if task.cell.fold is None else task.cell.fold
        table["labels"] = task.cell.labels
        assert task.cell.arm is not None
        table["arm"] = task.cell.arm.name
        table["set"] = SETS[task.stage]
        table["age_years"] = [subjects[one].age_years for one in table["subject"]]
        table["cdr"] = [subjects[one].cdr for one in table["subject"]]
        tables.append(table)
    columns = list(COLUMNS)
    return pd.concat(tables)[columns] if tables else pd.DataFrame(columns=columns)


def is_measured(task: Task) -> bool:
    """The task leaves a metrics.csv of an arm; references are what others are measured by."""
    return task.stage in SETS and task.cell.arm is not None


def known_analysis_fold(plan: Plan, ledger: Ledger) -> int:
    """The fold of all that the cohort is segmented with (III.G); -1 while it is not chosen.

    It is chosen from the cohort, not by a model, so any model's manifest knows it.
    """
    chosen = plan.experiment.grid.analysis_fold
    if chosen != "auto":
        return chosen
    facts = analysis_facts(plan, ledger)
    return int(facts["fold"]) if facts else -1


def analysis_facts(plan: Plan, ledger: Ledger) -> dict[str, Any]:
    """Fold and reason, as the first of the cohort's segmentations that is done has them."""
    for task in plan.of_stage("segment_cohort"):
        manifest = ledger.manifest(task)
        if manifest is not None and ledger.done(task):
            return dict(manifest["facts"])
    return {}


def _in_analysis_set(subject: Subject) -> bool:
    """Neither a labelled person's image nor a repeat (III.G)."""
    return not subject.labelled and subject.labelled_as is None and subject.repeat_of is None

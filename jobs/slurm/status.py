"""How an experiment stands: its plan, its products, the record of job ids, and SLURM's word."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import asdict, dataclass, replace
from typing import Any

from jobs.experiment.plan import Plan
from jobs.reporting.training_facts import training_note
from jobs.slurm import scheduler
from jobs.slurm.job_record import JobRecord
from jobs.slurm.submitted_jobs import SubmittedJobs
from jobs.slurm.verdict import STATES, State, TaskStatus, Verdict
from jobs.store.ledger import Ledger
from jobs.store.storage import Storage


@dataclass(frozen=True)
class ExperimentStatus:
    """All tasks of an experiment, in the plan's order, and who was asked about them."""

    experiment: str
    source: scheduler.Source
    tasks: tuple[TaskStatus, ...]

    def count(self, state: State) -> int:
        """How many tasks are in `state`."""
        return sum(task.state == state for task in self.tasks)

    def of(self, task_ids: Collection[str]) -> ExperimentStatus:
        """The same of some tasks only."""
        return replace(self, tasks=tuple(one for one in self.tasks if one.task in task_ids))

    def as_json(self) -> dict[str, Any]:
        """Plain values, for scripts."""
        return {
            "experiment": self.experiment,
            "scheduler": self.source,
            "counts": {state: self.count(state) for state in STATES},
            "tasks": [asdict(task) for task in self.tasks],
        }


def experiment_status(plan: Plan, storage: Storage, submitted: SubmittedJobs) -> ExperimentStatus:
    """How every task stands."""
    record = JobRecord(storage.submissions)
    ledger = Ledger(plan, storage, sources=True)
    patience_s = 4 * plan.experiment.run.heartbeat_every_s + 30
    statuses = []
    for task in plan.tasks:
        element = submitted.element(task.id)
        job_log = record.log(element) if element else None
        log = job_log if job_log and job_log.exists() else storage.files(task).task_log
        worker = storage.read_state(task) or {}
        if worker.get("fingerprint") != task.fingerprint:
            worker = {}
        finding = ledger.finding(task)
        verdict = Verdict(
            task,
            worker,
            submitted.job(task.id),
            element,
            submitted.is_current(task),
            submitted.answer.source,
            log,
            patience_s,
            "" if finding.state == "done" else submitted.unaccounted(task.id),
        )
        status = verdict.judge(finding)
        if status.state == "done":
            status = replace(status, reason=training_note(ledger.manifest(task)))
        statuses.append(status)
    return ExperimentStatus(plan.experiment.name, submitted.answer.source, tuple(statuses))

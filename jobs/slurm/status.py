"""How an experiment stands: its plan, its products, the record of job ids, and SLURM's word."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import Any

from jobs.experiment.plan import Plan, Task
from jobs.experiment.resources import STAGES
from jobs.slurm import scheduler
from jobs.slurm.job_record import JobRecord, Submission
from jobs.slurm.scheduler import Answer, Job
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

    def as_json(self) -> dict[str, Any]:
        """Plain values, for scripts."""
        return {
            "experiment": self.experiment,
            "scheduler": self.source,
            "counts": {state: self.count(state) for state in STATES},
            "tasks": [asdict(task) for task in self.tasks],
        }


@dataclass(frozen=True)
class SubmittedJobs:
    """The record of jobs joined with what SLURM says.

    Attributes:
        answer: SLURM's.
        last: for each task the last that was submitted of it, and its element's index.
    """

    answer: Answer
    last: dict[str, tuple[Submission, int]]

    def element(self, task_id: str) -> str | None:
        """SLURM's id of the task's last job."""
        if task_id not in self.last:
            return None
        submission, index = self.last[task_id]
        return submission.element(index)

    def job(self, task_id: str) -> Job | None:
        """What SLURM says of the task's last job; None: nothing, or of somebody else's."""
        if task_id not in self.last:
            return None
        submission, index = self.last[task_id]
        # An array cancelled before any of its elements started is one record, without elements.
        ids = (submission.element(index), submission.job)
        found = next((self.answer.jobs[i] for i in ids if i in self.answer.jobs), None)
        return found if found is not None and found.name == submission.name else None

    def is_current(self, task: Task) -> bool:
        """The task was last submitted with the current settings."""
        if task.id not in self.last:
            return False
        submission, index = self.last[task.id]
        return submission.fingerprints[index] == task.fingerprint

    def hours_and_gb(self, plan: Plan) -> dict[str, tuple[float, float]]:
        """Time limit and memory of each task's last submission with the current settings."""
        return {
            task.id: (self.last[task.id][0].time_h, self.last[task.id][0].memory_gb)
            for task in plan.tasks
            if self.is_current(task)
        }

    @property
    def queued(self) -> dict[str, str]:
        """For each task that waits or runs, the id of the array it is in."""
        found = {}
        for task_id, (submission, _) in self.last.items():
            job = self.job(task_id)
            if job is not None and job.live and submission.job is not None:
                found[task_id] = submission.job
        return found

    def outdated(self, plan: Plan) -> list[str]:
        """Tasks that wait or run with other settings than the plan's, or are not in it any more."""
        return [
            task_id
            for task_id in self.queued
            if task_id not in plan.by_id or not self.is_current(plan.by_id[task_id])
        ]

    def elements_to_cancel(self, stage: str | None) -> list[str]:
        """SLURM's ids of what waits or runs, of every stage or of one, whatever the plan.

        The last stage first: what waits for the end of others would start when they are cancelled.
        """
        queued = self.queued
        live = [
            (STAGES.index(submission.stage), submission.element(index))
            for task_id, (submission, index) in self.last.items()
            if task_id in queued and stage in (None, submission.stage)
        ]
        in_order = sorted(live, key=lambda one: one[0])
        return [element for _, element in reversed(in_order) if element is not None]

    @property
    def waiting(self) -> set[str]:
        """Tasks that have not started yet: they will read what is made until then."""
        jobs = {task_id: self.job(task_id) for task_id in self.last}
        return {task_id for task_id, job in jobs.items() if job is not None and job.pending}


def look_up(record: JobRecord) -> SubmittedJobs:
    """Join the record of jobs with what SLURM says. Where there is none, SLURM is not asked."""
    submissions = record.load()
    jobs = {submission.job for submission in submissions if submission.job is not None}
    answer = scheduler.ask(jobs) if submissions else Answer("nothing", {})
    id_of = {job.name: job.id.split("_")[0] for job in answer.jobs.values()}
    last: dict[str, tuple[Submission, int]] = {}
    for submission in submissions:
        if submission.job is None:
            # Cut off between sbatch and the record: the job, if there is one, has our name.
            if submission.name not in id_of:
                continue
            submission = replace(submission, job=id_of[submission.name])
        last |= {task_id: (submission, index) for index, task_id in enumerate(submission.tasks)}
    return SubmittedJobs(answer, last)


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
        verdict = Verdict(
            task,
            worker,
            submitted.job(task.id),
            element,
            submitted.is_current(task),
            submitted.answer.source,
            log,
            patience_s,
        )
        statuses.append(verdict.judge(ledger.finding(task)))
    return ExperimentStatus(plan.experiment.name, submitted.answer.source, tuple(statuses))

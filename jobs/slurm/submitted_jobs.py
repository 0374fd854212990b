"""The record of jobs joined with what SLURM says: what waits, what runs, what may still do so."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass, field, replace

from jobs.experiment.plan import Plan, Task
from jobs.experiment.resources import STAGES
from jobs.slurm import scheduler
from jobs.slurm.job_record import JobRecord, Submission
from jobs.slurm.scheduler import Answer, Asked, Job
from jobs.slurm.slurm_commands import me


@dataclass(frozen=True)
class SubmittedJobs:
    """The record of jobs joined with what SLURM says.

    Attributes:
        answer: SLURM's.
        last: for each task the last that was submitted of it, and its element's index.
    """

    answer: Answer
    last: dict[str, tuple[Submission, int]]
    _gone: dict[str, bool] = field(default_factory=dict)

    def element(self, task_id: str) -> str | None:
        """SLURM's id of the task's last job."""
        if task_id not in self.last:
            return None
        submission, index = self.last[task_id]
        return submission.element(index)

    def job(self, task_id: str) -> Job | None:
        """What SLURM says of the task's last job; None: nothing."""
        if task_id not in self.last:
            return None
        submission, index = self.last[task_id]
        # An array cancelled before any of its elements started is one record, without elements.
        ids = (submission.element(index), submission.job)
        keys = ((submission.name, job_id) for job_id in ids if job_id is not None)
        return next((self.answer.jobs[key] for key in keys if key in self.answer.jobs), None)

    def unaccounted(self, task_id: str) -> str:
        """Why it is not known that the task's last job has ended; empty where it is known.

        A job that an answer does not list may be where we did not look. It counts as queued until
        SLURM says that there is none of its id, or its user gives it up.
        """
        if task_id not in self.last or self.answer.source == "nothing":
            return ""
        submission, _ = self.last[task_id]
        if submission.given_up or self.job(task_id) is not None:
            return ""
        if submission.job is None:
            return f"sbatch took it as {submission.name}, which SLURM does not list"
        if submission.name not in self._gone:
            self._gone[submission.name] = scheduler.is_gone(
                submission.job, submission.clusters, submission.user
            )
        if self._gone[submission.name]:
            return ""
        whose = f", which {submission.user} submitted," if self.is_others(task_id) else ""
        return f"SLURM does not list {submission.shown}{whose} nor say that it has ended"

    def is_others(self, task_id: str) -> bool:
        """Somebody else submitted the task's last job."""
        return task_id in self.last and self.last[task_id][0].user not in ("", me())

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

    def lost_sight_of(self, done: Iterable[str]) -> dict[str, str]:
        """Tasks that are not done, whose last job may still wait or run, and why that is so."""
        open_tasks = self.last.keys() - set(done)
        reasons = {task_id: self.unaccounted(task_id) for task_id in sorted(open_tasks)}
        return {task_id: reason for task_id, reason in reasons.items() if reason}

    def outdated(self, plan: Plan) -> list[str]:
        """Tasks that wait or run with other settings than the plan's, or are not in it any more."""
        return [
            task_id
            for task_id in self.queued
            if task_id not in plan.by_id or not self.is_current(plan.by_id[task_id])
        ]

    def to_cancel(self, unlisted: Collection[str]) -> list[str]:
        """Tasks that wait or run, or may, whatever the plan.

        The last stage first: what waits for the end of others would start when they are cancelled.
        """
        queued = self.queued
        live = [
            (STAGES.index(submission.stage), task_id)
            for task_id, (submission, _) in self.last.items()
            if task_id in queued or task_id in unlisted
        ]
        in_order = sorted(live, key=lambda one: one[0])
        return [task_id for _, task_id in reversed(in_order)]

    def lists(self, submission: Submission) -> bool:
        """SLURM has said something of this submission's jobs."""
        return bool(self.answer.named(submission.name))

    @property
    def waiting(self) -> set[str]:
        """Tasks that have not started yet: they will read what is made until then."""
        jobs = {task_id: self.job(task_id) for task_id in self.last}
        return {task_id for task_id, job in jobs.items() if job is not None and job.pending}


def look_up(record: JobRecord) -> SubmittedJobs:
    """Join the record of jobs with what SLURM says. Where there is none, SLURM is not asked."""
    submissions = record.load()
    answer = scheduler.ask(_asked(submissions)) if submissions else Answer("nothing", {})
    id_of = {job.name: job.id.split("_")[0] for job in answer.jobs.values()}
    last: dict[str, tuple[Submission, int]] = {}
    for submission in submissions:
        if submission.job is None and submission.name in id_of:
            # Cut off between sbatch and the record: the job, if there is one, has our name.
            submission = replace(submission, job=id_of[submission.name])
        if submission.job is None and not submission.answer:
            continue  # sbatch refused it, or never had it
        last |= {task_id: (submission, index) for index, task_id in enumerate(submission.tasks)}
    return SubmittedJobs(answer, last)


def _asked(submissions: Iterable[Submission]) -> list[Asked]:
    """By the clusters that they went to: ids where they are known, names where not."""
    by_clusters: dict[str, list[Submission]] = {}
    for submission in submissions:
        by_clusters.setdefault(submission.clusters, []).append(submission)
    return [
        Asked(
            clusters,
            frozenset(one.job for one in some if one.job is not None),
            frozenset(one.name for one in some if one.job is None and not one.given_up),
        )
        for clusters, some in by_clusters.items()
    ]

"""How one task stands: its products first, then what SLURM says, then its last heartbeat.

The products decide what is done. What SLURM says decides what is queued or running, and tells
the ways of dying apart. Without SLURM's word the worker's last heartbeat has to do.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

from jobs.experiment.plan import Task
from jobs.slurm import scheduler
from jobs.slurm.scheduler import Job
from jobs.slurm.slurm_commands import me, user_name
from jobs.store.ledger import Finding
from jobs.worker.run import BLOCKED, MISTAKE, STOPPED

State = Literal["done", "running", "queued", "blocked", "failed", "stale", "todo"]
STATES: tuple[State, ...] = ("done", "running", "queued", "blocked", "failed", "stale", "todo")
Kind = Literal[
    "mistake",  # of the user: settings or data; running it again does not help
    "error",  # an exception
    "memory",
    "time",
    "node",
    "preempted",
    "cancelled",
    "stopped",  # it saved its progress and nobody runs it again
    "lost",  # its process is gone and nobody knows why
]

_REASONS: dict[str, tuple[Kind, str]] = {
    "TIMEOUT": ("time", "ran into its time limit; gansfer retry --time x2"),
    "DEADLINE": ("time", "ran into its deadline"),
    "OUT_OF_MEMORY": ("memory", "ran out of memory; gansfer retry --mem x2"),
    "NODE_FAIL": ("node", "its node failed; gansfer retry"),
    "BOOT_FAIL": ("node", "its node did not start; gansfer retry"),
    "PREEMPTED": ("preempted", "was preempted and not requeued; gansfer retry"),
}
# in_job.sh's words where it may not requeue what has met its time limit.
_MET_TIME_LIMIT = "met its time limit after"
_TIME_WITHOUT_REQUEUE = (
    "met its time limit, its progress is saved, and cluster.max_requeues allows no further "
    "requeue; gansfer retry goes on from there, with --time x2 for longer"
)
_STOPPED_FOR_GOOD = "stopped with its progress saved; run or submit again to go on"
_SIGKILL = 9
_REQUEUED_TOO_OFTEN = 6  # in_job.sh's exit code: it was not run again
# slurmstepd's last words, where the job's state is a plain FAILED.
_OUT_OF_MEMORY = re.compile(r"oom.kill|out of memory|memory limit", re.IGNORECASE)
# And where SLURM has forgotten the job: no accounting, and it ended longer ago than MinJobAge.
_LAST_WORDS: tuple[tuple[re.Pattern[str], tuple[Kind, str]], ...] = (
    (re.compile("DUE TO TIME LIMIT"), _REASONS["TIMEOUT"]),
    (re.compile("DUE TO NODE FAILURE"), _REASONS["NODE_FAIL"]),
    (re.compile("DUE TO PREEMPTION"), _REASONS["PREEMPTED"]),
    (_OUT_OF_MEMORY, _REASONS["OUT_OF_MEMORY"]),
    (re.compile("CANCELLED AT"), ("cancelled", "was cancelled")),
)


@dataclass(frozen=True)
class TaskStatus:
    """One task.

    Attributes:
        task: its id.
        stage: its stage.
        labels: its label count, or None.
        state: one of `STATES`.
        kind: of a failure; None otherwise.
        reason: first line of why it failed, waits or is stale; of one that is done, what went
            wrong without an error.
        progress: done, total, unit, note, per_s, left_s of the running attempt.
        job: SLURM's id of its last job.
        log: file to read first.
        attempts: how often it was started with these settings.
        host: where it runs or ran last.
        user: login name of whose job it is, where it is not ours.
    """

    task: str
    stage: str
    labels: int | None
    state: State
    kind: Kind | None = None
    reason: str = ""
    progress: dict[str, Any] | None = None
    job: str | None = None
    log: str | None = None
    attempts: int = 0
    host: str | None = None
    user: str | None = None


@dataclass(frozen=True)
class Verdict:
    """Everything known of one task.

    `worker` is what its last attempt with the current settings wrote; `element` is its last job
    (`is_current`: submitted with the current settings), and `job` what SLURM says of that.
    `unaccounted` is why it is not known whether that job has ended.
    """

    task: Task
    worker: dict[str, Any]
    job: Job | None
    element: str | None
    is_current: bool
    source: scheduler.Source
    log: Path
    patience_s: float
    unaccounted: str = ""

    def judge(self, finding: Finding) -> TaskStatus:
        """Weigh it."""
        if finding.state == "done":
            return self._status("done")
        if self.job is not None and self.job.pending:
            return self._pending(self.job)
        mine = self.worker if self.worker.get("slurm_job") == self.element else {}
        if self.job is not None and self.job.running:
            if mine.get("state") in ("failed", "blocked"):
                return self._by_worker(mine)  # it has just ended; SLURM does not know yet
            return self._running(mine)
        if self.job is not None and self.is_current:
            return self._ended(self.job, mine, finding)
        return self._without_job(finding)

    def _without_job(self, finding: Finding) -> TaskStatus:
        mine = self.worker if self.worker.get("slurm_job") == self.element else {}
        if self.unaccounted and mine.get("state") not in ("failed", "blocked", "stopped"):
            recent = mine.get("state") == "running" and _age_s(mine) <= self.patience_s
            progress = mine.get("progress") if recent else None
            return self._status("running" if recent else "queued", None, self.unaccounted, progress)
        if self.worker.get("state") not in (None, "done"):
            return self._by_worker(self.worker)
        if finding.state == "stale":
            return self._status("stale", reason=finding.why)
        if self.is_current and not self.worker:
            if self.source == "nothing":
                return self._status("queued", reason="was submitted; SLURM was not asked")
            if self.log.exists():
                return self._forgotten(f"ended unseen: {_last_line(self.log)}")
        return self._status("todo")

    def _pending(self, job: Job) -> TaskStatus:
        reason = job.reason
        if self.worker.get("state") in ("stopped", "running") and self.worker.get("attempts"):
            reason = f"requeued after attempt {self.worker['attempts']}"
        return self._status("queued", reason=reason)

    def _running(self, mine: dict[str, Any]) -> TaskStatus:
        if mine.get("state") != "running":
            return self._status("running", reason="starting")
        silent_s = _age_s(mine)
        silent = f"no heartbeat for {silent_s / 60:.0f} min" if silent_s > self.patience_s else ""
        return self._status("running", reason=silent, progress=mine.get("progress"))

    def _ended(self, job: Job, mine: dict[str, Any], finding: Finding) -> TaskStatus:
        if job.state in _REASONS:
            kind, reason = _REASONS[job.state]
            return self._status("failed", kind, reason)
        if job.state == "CANCELLED":
            return self._status("failed", "cancelled", f"was cancelled{_by_whom(job.reason)}")
        if mine.get("state") in ("failed", "blocked"):
            return self._by_worker(mine)
        if job.exit_code == BLOCKED:
            return self._status("blocked", reason="waits for a task that is not done")
        if job.exit_code == _REQUEUED_TOO_OFTEN:
            return self._status("failed", "stopped", f"{_last_line(self.log)}; gansfer retry")
        if job.exit_code == STOPPED or mine.get("state") == "stopped":
            if any(_MET_TIME_LIMIT in line for line in _last_lines(self.log)):
                return self._status("failed", "time", _TIME_WITHOUT_REQUEUE)
            return self._status("failed", "stopped", _STOPPED_FOR_GOOD)
        if job.state == "COMPLETED" and finding.state == "stale":
            return self._status("stale", reason=finding.why)
        said = _last_line(self.log)
        if _SIGKILL in (job.killed_by, (job.exit_code or 0) - 128) or _OUT_OF_MEMORY.search(said):
            return self._status("failed", "memory", "was killed, probably for its memory")
        kind = "mistake" if job.exit_code == MISTAKE else "error"
        code = "" if job.exit_code is None else f" with exit code {job.exit_code}"
        return self._status("failed", kind, f"ended{code}{': ' if said else ''}{said}")

    def _by_worker(self, worker: dict[str, Any]) -> TaskStatus:
        state = worker.get("state")
        if state == "failed":
            return self._status("failed", worker["kind"], str(worker["reason"]).splitlines()[0])
        if state == "blocked":
            return self._status("blocked", reason=worker["reason"])
        if state == "stopped":
            return self._status("failed", "stopped", _STOPPED_FOR_GOOD)
        gone = self.source != "nothing" and worker.get("slurm_job") is not None
        if not gone and _age_s(worker) <= self.patience_s:
            return self._status("running", progress=worker.get("progress"))
        since = worker.get("heartbeat", "?")
        return self._forgotten(f"its process is gone; last heard of at {since}")

    def _forgotten(self, otherwise: str) -> TaskStatus:
        """SLURM knows the job no more: its log's last words, where they say how it was ended."""
        for line in reversed(_last_lines(self.log)):
            for pattern, (kind, reason) in _LAST_WORDS:
                if "slurmstepd" in line and pattern.search(line):
                    return self._status("failed", kind, reason)
        return self._status("failed", "lost", otherwise)

    def _status(
        self,
        state: State,
        kind: Kind | None = None,
        reason: str = "",
        progress: dict[str, Any] | None = None,
    ) -> TaskStatus:
        return TaskStatus(
            task=self.task.id,
            stage=self.task.stage,
            labels=self.task.cell.labels,
            state=state,
            kind=kind,
            reason=reason,
            progress=progress,
            job=self.element,
            log=str(self.log) if self.log.exists() else None,
            attempts=self.worker.get("attempts", 0),
            host=self.worker.get("host"),
            user=self.job.user if self.job and self.job.user not in ("", me()) else None,
        )


def _age_s(worker: dict[str, Any]) -> float:
    beat = datetime.fromisoformat(worker["heartbeat"])
    return (datetime.now(UTC) - beat).total_seconds()


def _by_whom(reason: str) -> str:
    """`by 1000` as ` by anna`."""
    uid = reason.removeprefix("by ")
    return f" by {user_name(int(uid))}" if uid.isdigit() else ""


def _last_line(log: Path) -> str:
    """The last line of a log that says something; how a task that never began explains itself."""
    return next(reversed(_last_lines(log)), "")


def _last_lines(log: Path) -> list[str]:
    """The last three: a log goes on after a requeue, and what is further up is of a run before."""
    try:
        with log.open("rb") as text:
            text.seek(max(0, log.stat().st_size - 8192))
            lines = text.read().decode(errors="replace").splitlines()
    except OSError:
        return []
    return [line.strip() for line in lines if line.strip()][-3:]

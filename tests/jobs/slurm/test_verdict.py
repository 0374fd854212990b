"""Every way a task can stand, from what its products, its worker and SLURM say."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from jobs.experiment.plan import Cell, Task
from jobs.slurm.scheduler import Job, Source
from jobs.slurm.verdict import TaskStatus, Verdict
from jobs.store.ledger import Finding, ProductState

TASK = Task("train_gan", Cell(0, 0, 6, 0), {}, ("prepare",), "f")
PROGRESS = {"done": 3, "total": 9, "unit": "images", "note": "", "per_s": 1.0, "left_s": 6.0}


def worker(state: str, ago_s: float = 1, **more: object) -> dict[str, Any]:
    """What the worker wrote `ago_s` seconds before it is looked at, in the job submitted last."""
    values = {"state": state, "fingerprint": "f", "attempts": 1, "slurm_job": "7_1", "host": "n1"}
    return {**values, "ago_s": ago_s, **more}


def judged(
    tmp_path: Path,
    *,
    wrote: dict[str, Any] | None = None,
    job: tuple[Any, ...] | None = None,
    found: ProductState = "missing",
    source: Source = "sacct",
    log: str = "",
    current: bool = True,
    unaccounted: str = "",
) -> TaskStatus:
    file = tmp_path / "log"
    if log:
        file.write_text(log)
    if wrote is not None:
        beat = datetime.now(UTC) - timedelta(seconds=wrote["ago_s"])
        wrote = {**wrote, "heartbeat": beat.isoformat()}
    slurm = None if job is None else Job("7_1", "n", *job)
    verdict = Verdict(
        *(TASK, wrote or {}, slurm, "7_1" if current else None, current, source, file, 60),
        unaccounted,
    )
    return verdict.judge(Finding(found, "because"))


@pytest.mark.parametrize(
    ("wrote", "job", "state", "kind", "reason"),
    [
        (None, ("PENDING", "Dependency"), "queued", None, "Dependency"),
        (worker("stopped"), ("PENDING", "BeginTime"), "queued", None, "after attempt 1"),
        (None, ("RUNNING",), "running", None, "starting"),
        (worker("stopped"), ("RUNNING",), "running", None, "starting"),
        (worker("running", progress=PROGRESS), ("RUNNING",), "running", None, ""),
        (worker("running", 600), ("RUNNING",), "running", None, "no heartbeat for 10 min"),
        (worker("blocked", reason="waits for prepare"), ("RUNNING",), "blocked", None, "waits for"),
        (worker("running"), ("TIMEOUT",), "failed", "time", "time limit"),
        (worker("running"), ("OUT_OF_MEMORY",), "failed", "memory", "out of memory"),
        (worker("running"), ("NODE_FAIL",), "failed", "node", "node failed"),
        (worker("running"), ("PREEMPTED",), "failed", "preempted", "not requeued"),
        (worker("stopped"), ("CANCELLED", "by 0"), "failed", "cancelled", "cancelled by root"),
        (worker("running"), ("FAILED", "", 137), "failed", "memory", "killed, probably"),
        (worker("running"), ("FAILED", "", 0, 9), "failed", "memory", "killed, probably"),
        (worker("stopped"), ("FAILED", "", 75), "failed", "stopped", "submit again"),
        (worker("running"), ("FAILED", "", 6), "failed", "stopped", "no image; gansfer retry"),
        (None, ("FAILED", "", 4), "blocked", None, "not done"),
        (
            worker("failed", kind="mistake", reason="found 3\nline 2"),
            ("FAILED", "", 2),
            "failed",
            "mistake",
            "found 3",
        ),
        (worker("failed", kind="memory", reason="CUDA"), ("FAILED",), "failed", "memory", "CUDA"),
        # Of an attempt before: what this one wrote is nothing.
        (
            worker("failed", kind="error", reason="old", slurm_job="3"),
            ("FAILED", "", 127),
            "failed",
            "error",
            "ended with exit code 127: no image",
        ),
    ],
)
def test_with_slurms_word(
    tmp_path: Path,
    wrote: dict[str, Any] | None,
    job: tuple[Any, ...],
    state: str,
    kind: str | None,
    reason: str,
) -> None:
    found = judged(tmp_path, wrote=wrote, job=job, log="a line\nno image\n\n")
    assert (found.state, found.kind) == (state, kind)
    assert reason in found.reason and "\n" not in found.reason
    assert found.job == "7_1" and found.log == str(tmp_path / "log")


@pytest.mark.parametrize(
    ("wrote", "source", "state", "kind"),
    [
        (worker("running"), "nothing", "running", None),
        (worker("running", 600), "nothing", "failed", "lost"),
        (worker("running"), "squeue", "failed", "lost"),  # squeue answers and does not know it
        (worker("running", slurm_job=None), "squeue", "running", None),  # gansfer run, here
        (worker("stopped"), "squeue", "failed", "stopped"),
        (worker("failed", kind="error", reason="x"), "nothing", "failed", "error"),
        (worker("done"), "squeue", "todo", None),  # and its products were removed
        (None, "nothing", "queued", None),
    ],
)
def test_without_slurms_word(
    tmp_path: Path, wrote: dict[str, Any] | None, source: Source, state: str, kind: str | None
) -> None:
    found = judged(tmp_path, wrote=wrote, source=source)
    assert (found.state, found.kind) == (state, kind)


def test_slurms_last_words_tell_of_memory_where_there_is_no_accounting(tmp_path: Path) -> None:
    last = "slurmstepd-n1: error: Exceeded job memory limit\n"
    found = judged(tmp_path, wrote=worker("running"), job=("FAILED",), source="squeue", log=last)
    assert (found.state, found.kind) == ("failed", "memory")


def test_a_job_that_ended_unseen_shows_its_last_line(tmp_path: Path) -> None:
    found = judged(tmp_path, source="squeue", log="bash: no such python\n")
    assert (found.state, found.kind) == ("failed", "lost")
    assert "bash: no such python" in found.reason


@pytest.mark.parametrize("wrote", [worker("running", 600), None])
@pytest.mark.parametrize(
    ("words", "kind"),
    [
        ("error: *** JOB 7 ON n1 CANCELLED AT 2026-11-01T10:00:00 DUE TO TIME LIMIT ***", "time"),
        (
            "error: *** JOB 7 ON n1 CANCELLED AT 2026-11-01T10:00:00 DUE TO PREEMPTION ***",
            "preempted",
        ),
        (
            "error: *** JOB 7 ON n1 CANCELLED AT 2026-11-01T10:00:00 DUE TO NODE FAILURE, SEE",
            "node",
        ),
        ("error: *** JOB 7 ON n1 CANCELLED AT 2026-11-01T10:00:00 ***", "cancelled"),
        ("error: Detected 1 oom_kill event in StepId=7.batch. Some of the step tasks", "memory"),
    ],
)
def test_the_last_words_tell_where_slurm_has_forgotten_the_job(
    tmp_path: Path, wrote: dict[str, Any] | None, words: str, kind: str | None
) -> None:
    log = f"step 1\nslurmstepd-n1: {words}\nin_job.sh: line 60: 12 Killed\n"
    found = judged(tmp_path, wrote=wrote, source="squeue", log=log)
    assert (found.state, found.kind) == ("failed", kind)
    of_a_run_before = log + "submitit INFO starting\nstep 1\nstep 2\n"
    assert judged(tmp_path, wrote=wrote, source="squeue", log=of_a_run_before).kind == "lost"
    said_by_python = f"RuntimeError: {words}\n"
    assert judged(tmp_path, wrote=wrote, source="squeue", log=said_by_python).kind == "lost"


def test_products_count_before_everything(tmp_path: Path) -> None:
    failed = worker("failed", kind="error", reason="x")
    assert judged(tmp_path, wrote=failed, job=("FAILED",), found="done").state == "done"
    stale = judged(tmp_path, wrote=worker("done"), found="stale", source="nothing")
    assert (stale.state, stale.reason) == ("stale", "because")
    assert judged(tmp_path, current=False).state == "todo"


def test_progress_is_that_of_the_running_attempt(tmp_path: Path) -> None:
    running = worker("running", progress=PROGRESS)
    assert judged(tmp_path, wrote=running, job=("RUNNING",)).progress == PROGRESS
    assert judged(tmp_path, wrote=running, job=("PENDING",)).progress is None


def test_a_time_limit_without_a_requeue_is_no_stop(tmp_path: Path) -> None:
    log = "step 1\ngansfer: 7_1 met its time limit after 0 requeues, the most that is allowed"
    found = judged(tmp_path, wrote=worker("stopped"), job=("FAILED", "", 75), log=log)
    assert (found.state, found.kind) == ("failed", "time")
    assert "cluster.max_requeues allows no further requeue; gansfer retry" in found.reason


@pytest.mark.parametrize(
    ("wrote", "state", "kind"),
    [
        (None, "queued", None),
        (worker("running", progress=PROGRESS), "running", None),
        (worker("running", 600), "queued", None),
        (worker("running", slurm_job="3"), "queued", None),  # of an attempt before
        (worker("failed", kind="error", reason="x"), "failed", "error"),
        (worker("stopped"), "failed", "stopped"),
    ],
)
def test_a_job_that_slurm_does_not_list_is_not_taken_for_ended(
    tmp_path: Path, wrote: Any, state: str, kind: str | None
) -> None:
    found = judged(tmp_path, wrote=wrote, unaccounted="SLURM does not list it")
    assert (found.state, found.kind) == (state, kind)
    if kind is None:
        assert found.reason == "SLURM does not list it"

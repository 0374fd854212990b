from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from gansfer.errors import UserError
from jobs.slurm import scheduler


@pytest.fixture
def commands(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Make a command that prints this and ends with this code, or with 1 if asked otherwise."""
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")

    def make(name: str, prints: str = "", code: int = 0, only_with: str = "") -> None:
        (tmp_path / f"{name}.txt").write_text(prints)
        script = tmp_path / name
        script.write_text(
            f'#!/bin/sh\ncat {tmp_path}/{name}.txt\ncase " $* no limit:$SLURM_BITSTR_LEN" in\n'
            f'*"{only_with}"*) exit {code};;\nesac\nexit 1\n'
        )
        script.chmod(0o755)

    return make


def test_squeue_counts_for_live_jobs_and_sacct_for_ended_ones(
    commands: Callable[..., None],
) -> None:
    commands("squeue", "7_0|RUNNING|None|n\n7_1|PENDING|Dependency|n\n7_2|COMPLETING|None|n\n")
    commands(
        "sacct",
        "7_0|PENDING|0:0|n\n7_2|FAILED|1:0|n\n6_[0-4:2,7%2]|CANCELLED by 1000|0:0|n\n"
        "5|CANCELLED by 1000|0:15|n\n4|OUT_OF_MEMORY|0:125|n\n",
    )
    answer = scheduler.ask({"4", "5", "6", "7"})
    assert answer.source == "sacct"
    assert answer.jobs["7_0"].running and answer.jobs["7_2"].running
    assert answer.jobs["7_1"].pending and answer.jobs["7_1"].reason == "Dependency"
    assert [i for i in answer.jobs if i.startswith("6_")] == ["6_0", "6_2", "6_4", "6_7"]
    cancelled = answer.jobs["5"]
    assert (cancelled.state, cancelled.reason, cancelled.killed_by) == ("CANCELLED", "by 1000", 15)
    assert answer.jobs["4"].state == "OUT_OF_MEMORY" and not answer.jobs["4"].live


def test_sacct_is_late_and_still_calls_a_job_queued_that_has_ended(
    commands: Callable[..., None],
) -> None:
    # Seen on a real SLURM: a task that failed at once, and `retry` found it queued.
    commands("squeue", "7_0|FAILED|NonZeroExitCode|n\n7_1|COMPLETED|None|n\n")
    commands("sacct", "7_[0-1%1]|PENDING|0:0|n\n")
    answer = scheduler.ask({"7"})
    assert answer.jobs["7_0"].state == "FAILED" and answer.jobs["7_1"].state == "COMPLETED"


def test_what_squeue_does_not_know_is_not_live_whatever_sacct_says(
    commands: Callable[..., None],
) -> None:
    commands("squeue", "8|RUNNING|None|n\n")
    commands("sacct", "7|RUNNING|0:0|n\n6_[0-1]|PENDING|0:0|n\n8|PENDING|0:0|n\n")
    answer = scheduler.ask({"6", "7", "8"})
    assert {job.id: job.state for job in answer.jobs.values()} == {"8": "RUNNING"}


def test_squeue_is_asked_for_this_user_whatever_the_environment_calls_it(
    commands: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    commands("squeue", only_with=f" -u {os.getuid()} ")
    commands("sacct", "")
    monkeypatch.setenv("LOGNAME", "somebody-else")
    assert scheduler.ask({"7"}).source == "sacct"


def test_sacct_is_asked_for_whole_lists_of_elements(
    commands: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    commands("squeue")
    commands("sacct", "7|COMPLETED|0:0|n\n", only_with="no limit:0")
    monkeypatch.setenv("SLURM_BITSTR_LEN", "64")
    assert scheduler.ask({"7"}).source == "sacct"


def test_without_accounting_squeue_is_asked_alone(commands: Callable[..., None]) -> None:
    commands("squeue", "7|FAILED|NonZeroExitCode|n\n")
    commands("sacct", "Slurm accounting storage is disabled\n", code=1)
    answer = scheduler.ask({"7"})
    assert answer.source == "squeue" and answer.jobs["7"].state == "FAILED"
    assert answer.jobs["7"].exit_code is None


def test_without_squeue_nobody_is_asked(commands: Callable[..., None]) -> None:
    commands("squeue", code=1)
    commands("sacct", "7|COMPLETED|0:0|n\n")
    assert scheduler.ask({"7"}) == scheduler.Answer("nothing", {})


def test_cancel_says_what_scancel_says(commands: Callable[..., None]) -> None:
    commands("scancel", code=1)
    with pytest.raises(UserError, match="scancel: exit code 1"):
        scheduler.cancel(["7"])


@pytest.mark.parametrize(
    ("shown", "size"), [("MaxArraySize            = 1001\n", 1001), ("", None)]
)
def test_max_array_size(commands: Callable[..., None], shown: str, size: int | None) -> None:
    commands("scontrol", f"MaxJobCount = 10000\n{shown}")
    assert scheduler.max_array_size() == size

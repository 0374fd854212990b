from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from gansfer.errors import UserError
from jobs.slurm import scheduler


def asked(*arrays: str) -> scheduler.Asked:
    return scheduler.Asked(arrays=frozenset(arrays))


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
    answer = scheduler.ask([asked("4", "5", "6", "7")])
    assert answer.source == "sacct"
    assert answer.jobs["n", "7_0"].running and answer.jobs["n", "7_2"].running
    assert answer.jobs["n", "7_1"].pending and answer.jobs["n", "7_1"].reason == "Dependency"
    assert [i for _, i in answer.jobs if i.startswith("6_")] == ["6_0", "6_2", "6_4", "6_7"]
    cancelled = answer.jobs["n", "5"]
    assert (cancelled.state, cancelled.reason, cancelled.killed_by) == ("CANCELLED", "by 1000", 15)
    assert answer.jobs["n", "4"].state == "OUT_OF_MEMORY" and not answer.jobs["n", "4"].live


def test_sacct_is_late_and_still_calls_a_job_queued_that_has_ended(
    commands: Callable[..., None],
) -> None:
    # Seen on a real SLURM: a task that failed at once, and `retry` found it queued.
    commands("squeue", "7_0|FAILED|NonZeroExitCode|n\n7_1|COMPLETED|None|n\n")
    commands("sacct", "7_[0-1%1]|PENDING|0:0|n\n")
    answer = scheduler.ask([asked("7")])
    assert (
        answer.jobs["n", "7_0"].state == "FAILED" and answer.jobs["n", "7_1"].state == "COMPLETED"
    )


def test_what_squeue_does_not_know_is_not_live_whatever_sacct_says(
    commands: Callable[..., None],
) -> None:
    commands("squeue", "8|RUNNING|None|n\n")
    commands("sacct", "7|RUNNING|0:0|n\n6_[0-1]|PENDING|0:0|n\n8|PENDING|0:0|n\n")
    answer = scheduler.ask([asked("6", "7", "8")])
    assert {job.id: job.state for job in answer.jobs.values()} == {"8": "RUNNING"}


def test_sacct_is_asked_for_whole_lists_of_elements(
    commands: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    commands("squeue")
    commands("sacct", "7|COMPLETED|0:0|n\n", only_with="no limit:0")
    monkeypatch.setenv("SLURM_BITSTR_LEN", "64")
    assert scheduler.ask([asked("7")]).source == "sacct"


def test_without_accounting_squeue_is_asked_alone(commands: Callable[..., None]) -> None:
    commands("squeue", "7|FAILED|NonZeroExitCode|n\n")
    commands("sacct", "Slurm accounting storage is disabled\n", code=1)
    answer = scheduler.ask([asked("7")])
    assert answer.source == "squeue" and answer.jobs["n", "7"].state == "FAILED"
    assert answer.jobs["n", "7"].exit_code is None


def test_without_squeue_nobody_is_asked(commands: Callable[..., None]) -> None:
    commands("squeue", code=1)
    commands("sacct", "7|COMPLETED|0:0|n\n")
    assert scheduler.ask([asked("7")]) == scheduler.Answer("nothing", {})


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


def test_a_users_own_filters_hide_no_job(
    commands: Callable[..., None], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "squeue").write_text(
        '#!/bin/sh\n[ -z "$SQUEUE_PARTITION" ] && echo "7|RUNNING|x|n"\n'
    )
    (tmp_path / "squeue").chmod(0o755)
    commands("sacct", code=1)
    monkeypatch.setenv("SQUEUE_PARTITION", "mine")
    assert scheduler.ask([asked("7")]).jobs["n", "7"].running


def test_a_single_id_that_squeue_does_not_know_is_an_answer(
    commands: Callable[..., None], tmp_path: Path
) -> None:
    commands("sacct", code=1)
    (tmp_path / "squeue").write_text(
        "#!/bin/sh\necho 'slurm_load_jobs error: Invalid job id specified' >&2\nexit 1\n"
    )
    (tmp_path / "squeue").chmod(0o755)
    assert scheduler.ask([asked("7")]) == scheduler.Answer("squeue", {})


def test_clusters_are_asked_by_name_and_their_jobs_kept_apart(
    commands: Callable[..., None], tmp_path: Path
) -> None:
    commands("sacct", code=1)
    (tmp_path / "squeue").write_text(
        '#!/bin/sh\ncase "$*" in\n"-M gpu "*) echo "CLUSTER: gpu"; echo "7|RUNNING|x|far";;\n'
        '*) echo "7|PENDING|x|near";;\nesac\n'
    )
    (tmp_path / "squeue").chmod(0o755)
    found = scheduler.ask([asked("7"), scheduler.Asked("gpu", frozenset({"7"}))]).jobs
    assert {key: job.state for key, job in found.items()} == {
        ("near", "7"): "PENDING",
        ("far", "7"): "RUNNING",
    }

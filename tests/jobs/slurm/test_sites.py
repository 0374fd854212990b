"""Sites whose SLURM answers in its own way, hides jobs, or has no arrays; with a stand-in."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from jobs.slurm import scheduler
from jobs.slurm.job_record import JobRecord
from jobs.slurm.slurm_commands import me
from tests.jobs.stand_in import StandIn

GAN = "train_gan/seed-0/fold-0/labels-01/group-0"


def n_taken(slurm: StandIn) -> int:
    """How many jobs sbatch was given."""
    return len((slurm.folder / "sent").read_text().splitlines())


def tasks_of(slurm: StandIn) -> dict[str, dict[str, str]]:
    return {one["task"]: one for one in json.loads(slurm("status", "--json", fails=3))["tasks"]}


@pytest.mark.parametrize(
    ("answer", "cluster"),
    [
        ("$n", ""),
        ("$n;gpu", "gpu"),
        ("Submitted batch job $n on cluster gpu", "gpu"),
        ("Welcome to site 7.\nSubmitted batch job $n\nYour balance: 42 hours", ""),
        ("*** 12 nodes are down ***\n$n", ""),
    ],
)
def test_whatever_way_sbatch_tells_the_id(slurm: StandIn, answer: str, cluster: str) -> None:
    sent = slurm.folder / "sent"
    slurm.program("sbatch", f'echo "$1" >>{sent}; n=$(wc -l <{sent}); echo "{answer}"')
    slurm("submit", "--yes")
    record = JobRecord(slurm.root / "slurm").load()
    assert [(one.job, one.clusters) for one in record] == [
        (str(n), cluster) for n in range(1, len(record) + 1)
    ]
    pickles = slurm.root / "slurm" / "1"
    assert [path.name for path in pickles.iterdir()] == ["1_submitted.pkl"]
    slurm.queue_all()
    assert "nothing to submit" in slurm("submit", "--yes")
    assert n_taken(slurm) == len(record)


def test_a_job_that_was_taken_without_an_id_is_found_by_its_name_and_not_sent_twice(
    slurm: StandIn,
) -> None:
    sent, name = slurm.folder / "sent", "sed -n 's/^#SBATCH --job-name=//p' \"$1\""
    slurm.program(
        "sbatch",
        f'echo "$1" >>{sent}; n=$(wc -l <{sent}); echo thanks\n'
        f'[ -e {slurm.folder}/slow ] || echo "$n|PENDING|None|$({name})" >>{slurm.queue}',
    )
    slurm("submit", "--yes")
    assert [one.job for one in JobRecord(slurm.root / "slurm").load()][:3] == ["1", "2", "3"]


def test_a_job_that_was_taken_and_is_not_to_be_found_is_not_sent_twice(slurm: StandIn) -> None:
    sent = slurm.folder / "sent"
    slurm.program("sbatch", f'echo "$1" >>{sent}; echo thanks')
    told = slurm("submit", "--yes", fails=2)
    assert "error: prepare: sbatch took a job and said 'thanks', in which there is no" in told
    again = slurm("submit", "--yes", "--dry-run")
    assert "note: sbatch took it as one.prepare." in again and "# job 1: train_gan" in again
    assert "prepare, " not in again and tasks_of(slurm)["prepare"]["state"] == "queued"
    # SLURM lists it at last ...
    record = JobRecord(slurm.root / "slurm")
    slurm.queue.write_text(f"77|PENDING|None|{record.load()[0].name}\n")
    accepting = f'echo "$1" >>{sent}; echo "Submitted batch job $((77 + $(wc -l <{sent})))"'
    slurm.program("sbatch", accepting)
    slurm("submit", "--yes")
    assert record.load()[0].job == "77" and n_taken(slurm) == 14
    assert (slurm.root / "slurm" / "77" / "77_submitted.pkl").exists()


def test_a_job_that_was_taken_although_sbatch_failed_is_no_refusal(slurm: StandIn) -> None:
    sent, name = slurm.folder / "sent", "sed -n 's/^#SBATCH --job-name=//p' \"$1\""
    slurm.program(
        "sbatch",
        f'echo "$1" >>{sent}; echo "$(wc -l <{sent})|PENDING|None|$({name})" >>{slurm.queue}\n'
        'echo "sbatch: error: Socket timed out on send/recv operation" >&2; exit 1',
    )
    slurm("submit", "--yes")
    assert n_taken(slurm) == 14
    assert all(one.job for one in JobRecord(slurm.root / "slurm").load())


def test_what_slurm_lists_nowhere_is_not_submitted_again_until_it_is_gone(slurm: StandIn) -> None:
    slurm.configure(cluster={"sbatch": {"clusters": "gpu"}})
    slurm("submit", "--yes")  # squeue lists nothing of it
    slurm.program("scontrol", "exit 0")  # nor says scontrol that there is no such job
    told = slurm("submit", "--yes")
    assert "note: SLURM does not list job 1 on cluster gpu nor say that it has ended: its 1" in told
    assert "nothing to submit: 0 of 34 tasks are done, 34 queued or running" in told
    assert n_taken(slurm) == 14
    assert tasks_of(slurm)[GAN]["state"] == "queued"
    asked = (slurm.folder / "squeue").read_text().splitlines()
    assert {line.split(" -h")[0] for line in asked} == {"-M gpu"}
    slurm("cancel", "train_gan", "--yes")
    assert tasks_of(slurm)[GAN]["state"] == "todo"
    slurm("submit", "--yes")
    assert n_taken(slurm) == 14 + 2  # the GANs: the report may be waiting yet


def test_a_cancelled_job_is_ended_where_it_is(slurm: StandIn) -> None:
    slurm.configure(cluster={"sbatch": {"clusters": "gpu"}})
    slurm("submit", "--yes")
    slurm.queue_all()
    slurm("cancel", "prepare", "--yes")
    assert slurm.cancelled.read_text() == "-M gpu 1\n"


def test_jobs_of_somebody_else_are_shown_as_theirs_and_not_cancelled(slurm: StandIn) -> None:
    slurm("submit", "--yes")
    slurm.queue_all("RUNNING")
    record = slurm.root / "slurm" / "jobs.jsonl"
    assert f'"user": "{me()}"' in record.read_text()
    lines = [json.loads(line) for line in record.read_text().splitlines()]
    for line in lines:
        del line["digest"]
        line |= {"user": "anna"} if "user" in line else {}
    record.write_text("".join(json.dumps(line) + "\n" for line in lines))
    slurm.queue.write_text(slurm.queue.read_text().replace("\n", "|anna\n"))
    assert tasks_of(slurm)[GAN]["user"] == "anna"
    assert f"running {GAN} of anna: starting" in slurm("status", fails=3)
    told = slurm("cancel", "train_gan", "--yes", fails=2)
    assert "error: 4 jobs are those of anna, who alone may cancel them: job 2; job 3" in told
    assert not slurm.cancelled.exists()
    assert "nothing to submit" in slurm("submit", "--yes")


def test_without_job_arrays_each_task_is_a_job(slurm: StandIn) -> None:
    slurm.program("scontrol", 'echo "MaxArraySize            = 0"')
    printed = slurm("submit", "--yes")
    assert printed.count("\njob ") == n_taken(slurm) == 34
    scripts = list((slurm.root / "slurm").glob("*/*_submission.sh"))
    assert not any("--array" in script.read_text() for script in scripts)


@pytest.mark.parametrize(
    ("said", "code", "private", "owner", "gone"),
    [
        ("slurm_load_jobs error: Invalid job id specified", 1, "none", "", True),
        ("slurm_load_jobs error: Invalid job id specified", 1, "none", "anna", True),
        ("slurm_load_jobs error: Invalid job id specified", 1, "cloud,jobs", "anna", False),
        ("slurm_load_jobs error: Invalid job id specified", 1, "cloud,jobs", me(), True),
        ("slurm_load_jobs error: Unable to contact slurm controller", 1, "none", "", False),
        ("", 0, "none", "", False),
        ("JobId=7 JobState=COMPLETED\nJobId=8 JobState=FAILED", 0, "none", "", True),
        ("JobId=7 JobState=COMPLETED\nJobId=8 JobState=PENDING", 0, "none", "", False),
    ],
)
def test_what_counts_as_proof_that_a_job_has_ended(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    said: str,
    code: int,
    private: str,
    owner: str,
    gone: bool,
) -> None:
    script = tmp_path / "scontrol"
    script.write_text(
        f'#!/bin/sh\n[ "$1 $2" != "show config" ] || {{ echo "PrivateData = {private}"; exit; }}\n'
        f"echo '{said}'\nexit {code}\n"
    )
    script.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    assert scheduler.is_gone("7", "", owner) is gone

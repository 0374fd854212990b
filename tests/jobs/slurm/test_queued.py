"""Submitting, retrying and cancelling over what is queued already, with a stand-in for SLURM."""

from __future__ import annotations

import json
from typing import Any

import pytest

from jobs.slurm.job_record import JobRecord
from tests.jobs.stand_in import StandIn

GAN = "train_gan/seed-0/fold-0/labels-01/group-0"


@pytest.mark.parametrize(
    ("change", "told", "state"),
    [
        (
            {"gan": {"latent_size": 16}},
            f"{GAN} and 24 more are queued or running with other",
            "RUNNING",
        ),
        (  # of the arms that are planned no more, too
            {"grid": {"ratios": ["1:1"]}},
            "train_segmenter/seed-0/fold-0/labels-01/ratio-2to1 and 8 more are queued or running",
            "PENDING",
        ),
    ],
)
def test_nothing_is_sent_under_jobs_of_other_settings(
    slurm: StandIn, change: dict[str, Any], told: str, state: str
) -> None:
    slurm("submit", "--yes")
    slurm.queue_all(state)
    before = (slurm.root / "experiment.yaml").read_text()
    slurm.configure(**change)
    for command in ("submit", "retry"):
        said = slurm(command, "--yes", fails=2)
        assert said.startswith(f"error: {told}") and len(said.splitlines()) == 1
        assert said.endswith(
            f"first end what was submitted with them: gansfer cancel {slurm.root}\n"
        )
    assert (slurm.root / "experiment.yaml").read_text() == before
    assert len(JobRecord(slurm.root / "slurm").load()) == 14
    assert "cancelled 34 jobs" in slurm("cancel", "--yes")  # by the record, not by the current plan
    slurm.queue.write_text("")
    slurm("submit", "--yes")
    assert (slurm.root / "experiment.yaml").read_text() != before


def test_nothing_is_run_or_written_here_under_jobs_of_other_settings(slurm: StandIn) -> None:
    slurm("submit", "--yes")
    slurm.queue_all()
    before = (slurm.root / "experiment.yaml").read_text()
    slurm.configure(gan={"latent_size": 16})
    said = slurm("run", "--until", "prepare", fails=2)
    assert said.startswith(f"error: {GAN} and 24 more are queued or running")
    slurm("aggregate", fails=3)
    assert (slurm.root / "experiment.yaml").read_text() == before


def test_jobs_of_other_settings_in_one_stage_are_ended_alone(slurm: StandIn) -> None:
    slurm("submit", "--yes")
    slurm.queue_all()
    slurm.configure(analysis={"significance": 0.01})
    said = slurm("submit", "--yes", fails=2)
    assert said.startswith("error: aggregate is queued or running with other settings")
    assert said.endswith(f"gansfer cancel {slurm.root} aggregate\n")


def test_cancel_says_so_when_the_queue_is_not_known(slurm: StandIn) -> None:
    assert "nothing to cancel" in slurm("cancel", "--yes")
    slurm("submit", "--yes")
    slurm.program("squeue", "exit 1")
    assert slurm("cancel", "--yes", fails=2).startswith("error: squeue does not answer")


def test_cancel_is_refused_while_a_submission_is_under_way(slurm: StandIn) -> None:
    slurm("submit", "--yes")
    slurm.queue_all()
    with JobRecord(slurm.root / "slurm").locked():
        assert "another gansfer is submitting" in slurm("cancel", "--yes", fails=2)
    assert not slurm.cancelled.exists()


def test_what_is_queued_waits_for_a_retry_of_which_a_part_was_refused(slurm: StandIn) -> None:
    """Jobs 2 and 3 are the GANs of 1 and 3 labels; 4 and 5 synthesise from them."""
    slurm("submit", "--yes")
    slurm.queue_all()
    slurm.end("2", "3", state="FAILED")
    accepting = slurm.sbatch.read_text()
    slurm.program("sbatch", f"grep -q labels-03 $1 && echo full >&2 && exit 1\n{accepting}")
    assert "sbatch refused" in slurm("retry", "--yes", fails=2)
    assert slurm.updates()[0] == "JobId=4 Dependency=afterany:1:15"
    assert {update.split()[0] for update in slurm.updates()} == {"JobId=4", "JobId=14"}


def test_what_is_queued_waits_for_a_retry_that_was_killed(slurm: StandIn) -> None:
    slurm("submit", "--yes")
    slurm.queue_all()
    slurm.end("2", "3", state="FAILED")
    telling = (slurm.folder / "bin" / "scontrol").read_text()
    slurm.program("scontrol", "exit 1")  # as if it had never come to this
    slurm("retry", "--yes")
    slurm.queue_all()
    slurm.end("2", "3")
    slurm.program("scontrol", telling)
    assert "nothing to submit" in slurm("submit", "--yes")
    assert slurm.updates()[:2] == [
        "JobId=4 Dependency=afterany:1:15",
        "JobId=5 Dependency=afterany:1:16",
    ]
    assert [update.split()[0] for update in slurm.updates()[2:]] == ["JobId=14"]


@pytest.mark.parametrize(
    ("says", "told"),
    [
        (
            "sbatch: error: QOSMaxSubmitJobPerUserLimit\nsbatch: error: Batch job submission "
            "failed: Job violates accounting/QOS policy",
            "QOSMaxSubmitJobPerUserLimit; submit again when some of your jobs have ended: what was",
        ),
        ("sbatch: error: invalid account", "invalid account; mend it and submit again: what was"),
        ("", "it gave no reason; mend it and submit again: what was submitted stays submitted"),
    ],
)
def test_a_refusal_says_what_to_do_and_leaves_no_litter(
    slurm: StandIn, says: str, told: str
) -> None:
    slurm.program("sbatch", f"printf '{says}' >&2; exit 1")
    assert told in slurm("submit", "--yes", fails=2).splitlines()[-1]
    left = {path.name for path in (slurm.root / "slurm").iterdir()}
    assert left == {".lock-1", "jobs.jsonl", "jobs-lines.json", "in_job.sh"}


def test_a_retry_asks_for_times_what_the_last_attempt_had(slurm: StandIn) -> None:
    def asked(*options: str) -> set[str]:
        lines = slurm("retry", *options, "--dry-run").splitlines()
        found = {line.removeprefix("#SBATCH --") for line in lines}
        return {line for line in found if line.startswith(("time=", "mem="))}

    slurm("submit", "--yes")
    slurm.queue_all()
    slurm.end("2", state="FAILED")
    slurm("retry", "--time", "x2", "--mem", "x3", "--yes")
    slurm.queue_all()
    slurm.end("15", state="FAILED")
    assert asked() == {"time=960", "mem=98304M"}
    assert asked("--time", "x2") == {"time=1920", "mem=98304M"}
    slurm.configure(resources={"train_gan": {"time_h": 20}})
    assert asked() == {"time=1200", "mem=98304M"}


def test_a_dry_run_prints_what_would_be_sent_and_no_more(slurm: StandIn) -> None:
    assert slurm("submit", "--dry-run").count("#!/bin/bash") == 14
    assert not slurm.root.exists()
    slurm("submit", "--yes")
    slurm.queue_all()
    assert "nothing to submit: 0 of 34 tasks are done, 34 queued" in slurm("submit", "--dry-run")
    slurm.end("2")
    printed = slurm("submit", "--dry-run")
    assert printed.count("#!/bin/bash") == 1
    assert "# job 15: train_gan" in printed and "dependency=afterany:1\n" in printed
    slurm.configure(gan={"latent_size": 16})
    assert "with other settings than the current ones" in slurm("submit", "--dry-run", fails=2)


def test_only_some_tasks_and_what_they_need_are_submitted_and_no_report(slurm: StandIn) -> None:
    only = ("--only", "seed-1/fold-0/labels-03/baseline", "--only", "train_gan/seed-0/labels-01")
    said = slurm("submit", "--yes", *only)
    record = JobRecord(slurm.root / "slurm").load()
    assert [one.tasks for one in record] == [
        ("prepare",),
        ("train_gan/seed-0/fold-0/labels-01/group-0",),
        ("train_segmenter/seed-1/fold-0/labels-03/baseline",),
    ]
    assert "job 1: 1 of one.prepare" in said
    slurm.queue_all()
    assert "tasks are done, 3 queued or running" in slurm("submit", *only)
    script = slurm("submit", "--dry-run", "--only", "synthesise/seed-0/labels-01")
    assert script.count("#!/bin/bash") == 1
    assert "--dependency=afterany:1:2\n" in script, "it waits for what is queued already"


def test_a_retry_of_some_tasks_brings_what_blocks_them(slurm: StandIn) -> None:
    slurm("submit", "--yes")
    slurm.queue_all()
    slurm.end("2", "3", "4", "5", "6", "7", state="FAILED")
    scripts = slurm("retry", "--dry-run", "--only", "seed-0/fold-0/labels-01/ratio-2to1")
    jobs = [line.partition(": ")[2] for line in scripts.splitlines() if line.startswith("# job")]
    cell = "seed-0/fold-0/labels-01"
    assert jobs == [
        f"train_gan/{cell}/group-0",
        f"synthesise/{cell}/group-0",
        f"train_segmenter/{cell}/ratio-2to1",
    ]
    told = slurm("retry", "--only", "prepare", "--task", "prepare", fails=2)
    assert told == "error: --only and --task: give one of them\n"


def test_status_and_cancel_of_some_tasks(slurm: StandIn) -> None:
    slurm("submit", "--yes")
    slurm.queue_all()
    found = json.loads(slurm("status", "--json", "--only", "seed-1/fold-0/labels-01", fails=3))
    assert (found["counts"]["queued"], len(found["tasks"])) == (5, 5)
    assert "cancelled 6 jobs" in slurm(
        "cancel", "--yes", "seed-1/fold-0/labels-01", "--only", "train_gan/seed-0/labels-03"
    )
    slurm.configure(grid={"label_counts": [3]})  # the jobs of one label are in no plan any more
    assert "cancelled 2 jobs" in slurm("cancel", "--yes", "train_gan/labels-01")
    told = slurm("cancel", "--yes", "labels-06", fails=2)
    assert "has labels-06 in its name; there are labels-01, labels-03" in told

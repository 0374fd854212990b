"""Submitting, retrying and cancelling over what is queued already, with a stand-in for SLURM."""

from __future__ import annotations

import pytest

from jobs.submissions import Submissions
from tests.jobs.stand_in import StandIn

GAN = "train_gan/seed-0/fold-0/labels-01/group-0"


@pytest.mark.parametrize(
    ("change", "told", "state"),
    [
        (
            {"gan": {"latent_size": 16}},
            f"{GAN} and 20 more are queued or running with other",
            "RUNNING",
        ),
        (  # of the arms that are planned no more, too
            {"grid": {"ratios": ["1:1"]}},
            "train_segmenter/seed-0/fold-0/labels-01/ratio-2to1 and 6 more are queued or running",
            "PENDING",
        ),
    ],
)
def test_nothing_is_sent_under_jobs_of_other_settings(slurm: StandIn, change, told, state) -> None:
    slurm("submit", "--yes")
    slurm.queue_all(state)
    before = (slurm.root / "experiment.yaml").read_text()
    slurm.configure(**change)
    for command in ("submit", "retry"):
        said = slurm(command, "--yes", fails=2)
        assert said.startswith(f"error: {told}") and len(said.splitlines()) == 1
        assert said.endswith(f"first end what was sent with them: gansfer cancel {slurm.root}\n")
    assert (slurm.root / "experiment.yaml").read_text() == before
    assert len(Submissions(slurm.root / "slurm").load()) == 12
    assert "cancelled 28 jobs" in slurm("cancel", "--yes")  # by the ledger, not by today's plan
    slurm.queue.write_text("")
    slurm("submit", "--yes")
    assert (slurm.root / "experiment.yaml").read_text() != before


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
    with Submissions(slurm.root / "slurm").locked():
        assert "another gansfer is submitting" in slurm("cancel", "--yes", fails=2)
    assert not slurm.cancelled.exists()

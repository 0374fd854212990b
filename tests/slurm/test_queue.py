"""What waits for what, and how much runs at once: folds apart, a cap on GPUs, partitions."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest

from tests.slurm.trials import Trial

pytestmark = pytest.mark.slurm

GAN = "train_gan/seed-0/fold-{}/labels-01/group-0"
SMALL = {"label_counts": [1], "ratios": []}  # 2 folds, 12 tasks


def test_a_folds_segmenters_wait_for_that_folds_gans_only(trial: Callable[..., Trial]) -> None:
    one = trial("folds", grid=SMALL)
    one.plant({GAN.format(1): "held"})
    one.gansfer("submit", "--yes")

    def segmenters(status: dict[str, dict[str, dict[str, str]]], fold: int) -> set[str]:
        return {
            task["state"]
            for name, task in status["tasks"].items()
            if name.startswith(f"train_segmenter/seed-0/fold-{fold}/")
        }

    then = one.wait(lambda s: segmenters(s, 0) == {"done"}, 120)
    assert then["tasks"][GAN.format(1)]["state"] == "running"
    assert segmenters(then, 1) == {"queued"} or segmenters(then, 1) == {"queued", "done"}
    assert then["tasks"]["train_segmenter/seed-0/fold-1/labels-01/synthetic"]["state"] == "queued"
    one.plant()
    assert one.wait_for_end()["counts"]["done"] == 12


def test_no_more_gpus_at_once_than_the_cap(trial: Callable[..., Trial]) -> None:
    one = trial("cap", grid=SMALL, cluster={"max_gpus": 1})
    one.plant(step_s=0.3)
    one.gansfer("submit", "--yes")
    most, together = 0, 0
    while one.elements():
        shown = one.cluster.run("squeue", "-h", "-r", "-t", "running", "-o", "%b %j")
        running = [line for line in shown.splitlines() if f" {one.name}." in line]
        most = max(most, sum("gpu" in line.split()[0] for line in running))
        together = max(together, len(running))
        time.sleep(0.2)
    assert most == 1 and together >= 1
    assert one.status()["counts"]["done"] == 12


def test_a_partition_that_is_not_there_is_told_with_those_that_are(
    trial: Callable[..., Trial],
) -> None:
    one = trial("nowhere", grid=SMALL, cluster={"partition": "mian"})
    for command in (("submit", "--yes"), ("validate",)):
        said = one.gansfer(*command, fails=2)
        assert "partition mian" in said and "main" in said.replace("mian", "") and "low" in said
    assert not one.elements()


def test_a_jobs_comment_says_its_tasks(trial: Callable[..., Trial]) -> None:
    one = trial("comments", grid=SMALL)
    one.plant({"prepare": "held"})
    one.gansfer("submit", "--yes")
    shown = one.cluster.run("squeue", "-h", "-o", "%j|%k")
    comments = dict(line.split("|") for line in shown.splitlines() if line.startswith(one.name))
    said = {name: comment for name, comment in comments.items() if "train_gan" in name}
    assert sorted(said.values()) == [f"seed-0/fold-{n}/labels-01/group-0" for n in (0, 1)]
    one.gansfer("cancel", "--yes")

"""Proofs 1 to 3: the real stages on a real SLURM, to the report, undisturbed and disturbed."""

from __future__ import annotations

import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.slurm.throwaway import wait_until
from tests.slurm.trials import REAL, Trial, one_cpu

pytestmark = [pytest.mark.slurm, pytest.mark.slow]

GAN = "train_gan/seed-0/fold-{}/labels-{:02d}/group-0"
ARM = "train_segmenter/seed-0/fold-{}/labels-{:02d}/{}"


def _report(one: Trial) -> dict[str, str]:
    """Every table of the report."""
    tables = {path.name: path.read_text() for path in (one.root / "report").rglob("*.csv")}
    assert tables
    return tables


def test_whole_grid_equals_a_local_run(trial: Callable[..., Trial], undisturbed: Trial) -> None:
    one = trial("grid")
    one.plant(**REAL)
    one.gansfer("submit", "--yes")
    assert one.wait_for_end(600)["counts"]["done"] == 28
    assert one.digests() == undisturbed.digests()
    assert _report(one) == _report(undisturbed)


def test_whole_grid_without_accounting(
    plain_trial: Callable[..., Trial], undisturbed: Trial
) -> None:
    one = plain_trial("grid")
    failing = ARM.format(0, 3, "baseline")
    one.plant({failing: "error"}, **REAL)
    one.gansfer("submit", "--yes")
    ended = one.wait_for_end(600)
    assert ended["scheduler"] == "squeue"
    assert ended["tasks"][failing]["kind"] == "error"
    one.plant(**REAL)
    one.gansfer("retry", "--yes")
    assert one.wait_for_end(120)["counts"]["done"] == 28
    assert one.digests() == undisturbed.digests()
    assert _report(one) == _report(undisturbed)


def test_propagated_references_equal_a_local_run(
    trial: Callable[..., Trial], tmp_path: Path
) -> None:
    pytest.importorskip("ants")
    changes = {
        "cohort": {"references": {"kind": "propagation", "atlases": 2, "tasks": 3}},
        "grid": {"label_counts": [1], "ratios": []},
    }
    local, one = trial("local", **changes), trial("grid", **changes)
    for each in (local, one):
        each.plant(**REAL)
    local.gansfer("run", "--workers", "2")
    part = "propagate/part-001"
    one.plant({part: "held"}, **REAL)
    one.gansfer("submit", "--yes")
    held = one.wait(lambda s: s["tasks"][part]["progress"], 300)["tasks"][part]
    one.cluster.run("scontrol", "requeue", held["job"])
    one.plant(**REAL)
    ended = one.wait_for_end(600)
    assert ended["counts"]["done"] == len(ended["tasks"]) == 16
    assert ended["tasks"][part]["attempts"] == 2
    assert one.digests() == local.digests()
    assert _report(one) == _report(local)


def test_every_way_of_dying(
    trial: Callable[..., Trial], undisturbed: Trial, tmp_path: Path
) -> None:
    one = trial(
        "grid",
        resources={
            "train_gan": {**one_cpu(1, minutes=30), "partition": "low"},
            "synthesise": one_cpu(1, minutes=1),
        },
        cluster={"signal_before_end_s": 30},
    )
    requeued, preempted, orphaned = GAN.format(1, 1), GAN.format(0, 3), GAN.format(1, 3)
    timed_out = GAN.format(0, 1).replace("train_gan", "synthesise")
    out_of_memory, planted = ARM.format(1, 1, "baseline"), ARM.format(0, 3, "baseline")
    cancelled = ARM.format(1, 3, "baseline")
    faults = {timed_out: "deaf", out_of_memory: "memory", planted: "error", cancelled: "held"}
    held = (requeued, preempted, orphaned)
    one.plant({**faults, **dict.fromkeys(held, "held")}, **REAL)
    one.gansfer("submit", "--yes")

    now = one.wait(lambda s: all(s["tasks"][task]["progress"] for task in held), 300)["tasks"]
    one.cluster.run("scontrol", "requeue", now[requeued]["job"])
    one.wait(lambda s: s["tasks"][requeued]["attempts"] > now[requeued]["attempts"], 120)

    now = one.wait(lambda s: s["tasks"][preempted]["progress"], 60)["tasks"]
    urgent = tmp_path / "urgent.sh"
    urgent.write_text("#!/bin/sh\nsleep 5\n")
    node = _node(one, now[preempted]["job"])
    one.cluster.run(
        *("sbatch", "-p", "main", "-w", node, "-c", "3", "-t", "1", "--gpus-per-node=2"),
        *("-o", "/dev/null", str(urgent)),
    )
    one.wait(lambda s: s["tasks"][preempted]["attempts"] > now[preempted]["attempts"], 120)
    print(one.gansfer("status"))

    now = one.wait(lambda s: s["tasks"][orphaned]["progress"], 60)["tasks"]
    lost = _node(one, now[orphaned]["job"])
    one.cluster.kill_node(lost)
    wait_until(lambda: "down" in _node_state(one, lost), 90, "the node's end")
    one.cluster.start_node(lost)
    one.plant(faults, **REAL)

    now = one.wait(lambda s: s["tasks"][cancelled]["progress"], 600)["tasks"]
    print(one.gansfer("status"))
    one.cluster.run("scancel", now[cancelled]["job"])
    ended = one.wait_for_end(600)
    print(one.gansfer("status"))
    kinds = {task: found["kind"] for task, found in ended["tasks"].items() if found["kind"]}
    assert kinds == {
        timed_out: "time",
        out_of_memory: "memory",
        planted: "error",
        cancelled: "cancelled",
    }
    assert all(ended["tasks"][task]["state"] == "done" for task in held)
    assert ended["counts"]["blocked"] > 0 and ended["tasks"]["aggregate"]["state"] == "done"

    one.plant(**REAL)
    one.gansfer("retry", "--time", "x2", "--mem", "x2", "--yes")
    assert one.wait_for_end(300)["counts"]["done"] == 28
    assert one.digests() == undisturbed.digests()
    assert _report(one) == _report(undisturbed)


def test_requeues_are_bounded_and_what_was_saved_is_gone_on_with(
    trial: Callable[..., Trial],
) -> None:
    one = trial("bounded", grid={"label_counts": [1]}, cluster={"max_requeues": 1})
    one.plant(steps=1000, step_s=0.2)
    one.gansfer("submit", "--yes")
    for attempt in (1, 2):
        running = one.wait(lambda s: (s["tasks"]["prepare"]["progress"] or {}).get("done"), 60)
        assert running["tasks"]["prepare"]["attempts"] == attempt
        one.cluster.run("scancel", "--batch", "--signal=USR2", running["tasks"]["prepare"]["job"])
        one.wait(lambda s: s["tasks"]["prepare"]["state"] != "running", 60)
    ended = one.wait(lambda s: s["tasks"]["prepare"]["state"] == "failed", 60)
    assert ended["tasks"]["prepare"]["kind"] == "time"
    log = Path(ended["tasks"]["prepare"]["log"]).read_text()
    assert "requeued, 1 of at most 1 times" in log
    steps = [line for line in log.splitlines() if line.startswith("step ")]
    assert len(steps) == len(set(steps)) > 2  # none is counted twice
    assert f"exit code {signal.SIGUSR2}" not in log


def _node(one: Trial, job: str) -> str:
    return one.cluster.run("squeue", "-h", "-o", "%N", "-j", job).strip()


def _node_state(one: Trial, node: str) -> str:
    return one.cluster.run("sinfo", "-h", "-n", node, "-p", "main", "-o", "%T")

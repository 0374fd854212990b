"""Proof 4: arrays of every size, submission repeated, cut off and side by side. Fast fake tasks."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.slurm.trials import Trial

pytestmark = pytest.mark.slurm

SEGMENTER = "train_segmenter/seed-0/fold-0/labels-01"
GAN = "train_gan/seed-0/fold-0/labels-01/group-0"
SMALL = {"label_counts": [1], "ratios": []}  # 12 tasks


def test_arrays_of_one_of_more_than_max_array_size_and_throttled(
    trial: Callable[..., Trial],
) -> None:
    # 11 arms of one label count and fold, in chunks of 9 and 2, two at a time.
    ratios = [f"{real}:1" for real in range(9, 0, -1)]
    one = trial(
        "chunks",
        grid={"use_folds": [0], "label_counts": [1], "ratios": ratios},
        cluster={"array_parallelism": 2},
    )
    one.plant(step_s=0.3)
    printed = one.gansfer("submit", "--yes")
    sizes = [int(line.split()[2]) for line in printed.splitlines() if line.startswith("job ")]
    assert sizes == [1, 1, 1, 9, 2, 9, 2, 1]
    most = 0
    while one.elements():
        running = one.cluster.run("squeue", "-h", "-r", "-t", "running", "-o", "%F").split()
        most = max([most, *(running.count(array) for array in set(running))])
        time.sleep(0.3)
    assert most == 2
    assert one.status()["counts"]["done"] == 26
    logs = one.gansfer("logs", "prepare") + one.gansfer("logs", f"{SEGMENTER}/baseline")
    assert logs.count("step 2") == 2  # a plain job's log and an array element's are both found


def test_submitting_twice_sends_nothing_more(trial: Callable[..., Trial]) -> None:
    one = trial("twice", grid=SMALL)
    one.plant({"prepare": "held"})  # nothing ends while we look
    one.gansfer("submit", "--yes")
    queued = one.elements()
    assert len(queued) == 12
    assert "nothing to submit: 0 of 12 tasks are done, 12 queued or running" in one.gansfer(
        "submit", "--yes"
    )
    assert one.elements() == queued
    one.plant()
    one.wait_for_end()
    assert "12 of 12 tasks are done" in one.gansfer("submit", "--yes")


def test_dry_run_prints_every_script_and_sends_nothing(trial: Callable[..., Trial]) -> None:
    one = trial("dry", cluster={"mail": "a@b.org", "sbatch": {"nice": 10}, "account": "physics"})
    printed = one.gansfer("submit", "--dry-run")
    assert printed.count("#!/bin/bash") == 16
    assert "#SBATCH --dependency=afterany:1:2\n" in printed
    for line in ("--account=physics", "--nice=10", "--mail-user=a@b.org", "--mail-type=END,FAIL"):
        assert f"#SBATCH {line}\n" in printed
    assert not one.elements() and not (one.root / "slurm" / "jobs.jsonl").exists()


@pytest.mark.parametrize("how", ["kill -9 $PPID", "kill -INT -- -$PGID"])
def test_submission_cut_off_is_completed_by_another_and_never_doubled(
    trial: Callable[..., Trial], tmp_path: Path, how: str
) -> None:
    one = trial("cut-off", grid=SMALL)
    one.plant({"prepare": "held"})
    # An sbatch in front of the real one: at the third array, the job is submitted, and then ...
    real = shutil.which("sbatch", path=one.environment["PATH"])
    folder = tmp_path / "bin"
    folder.mkdir()
    count = tmp_path / "count"
    script = folder / "sbatch"
    script.write_text(
        f"#!/bin/bash\n{real} \"$@\"\nPGID=$(ps -o pgid= $PPID | tr -d ' ')\n"
        f'echo >>{count}; [ "$(wc -l <{count})" != 3 ] || {how}\n'
    )
    script.chmod(0o755)
    cut = subprocess.Popen(
        [sys.executable, "-m", "jobs.commands.cli", "submit", str(one.config), "--yes"],
        env={**one.environment, "PATH": f"{folder}:{one.environment['PATH']}"},
        start_new_session=True,
        # As on a terminal: a shell that runs us in the background has Ctrl-C ignored.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    assert cut.wait(60) == (-9 if "-9" in how else 130)
    assert len(one.elements()) == 3  # prepare and the GANs of two folds
    one.gansfer("submit", "--yes")
    assert len(one.elements()) == 12
    one.plant()
    one.wait_for_end()
    assert one.status()["counts"]["done"] == 12


def test_two_experiments_side_by_side_and_cancel_only_ones_own(trial: Callable[..., Trial]) -> None:
    one, other = trial("left", grid=SMALL), trial("right", grid=SMALL)
    one.plant(steps=300)
    one.gansfer("submit", "--yes")
    other.gansfer("submit", "--yes")
    assert len(one.elements()) == 12
    one.gansfer("cancel", "synthesise", "--yes")
    assert len(one.elements()) == 10
    one.gansfer("cancel", "--yes")
    other.wait_for_end()
    assert other.status()["counts"]["done"] == 12
    ended = one.wait_for_end()
    assert ended["tasks"][GAN]["kind"] == "cancelled"
    assert "by root" in ended["tasks"][GAN]["reason"]
    assert "no job of this experiment" in one.gansfer("cancel", "--yes")


def test_a_task_whose_input_never_came_ends_as_blocked_and_names_it(
    trial: Callable[..., Trial],
) -> None:
    one = trial("blocked", grid=SMALL)
    one.plant({"prepare": "error"})
    one.gansfer("submit", "--yes")
    ended = one.wait_for_end()
    assert ended["tasks"]["prepare"]["kind"] == "error"
    assert ended["tasks"]["prepare"]["reason"] == "ValueError: planted error"
    assert ended["tasks"][GAN]["state"] == "blocked"
    assert "waits for prepare" in ended["tasks"][GAN]["reason"]
    assert ended["counts"] == {
        **dict.fromkeys(("done", "running", "queued", "stale", "todo"), 0),
        **{"failed": 1, "blocked": 11},  # the report too: there is no cohort
    }
    one.plant()
    one.gansfer("retry", "--failed", "--yes")
    assert one.wait_for_end()["counts"]["done"] == 12


def test_record_of_jobs_that_slurm_has_forgotten(trial: Callable[..., Trial]) -> None:
    one = trial("purged", grid=SMALL)
    one.gansfer("submit", "--yes")
    one.wait_for_end()
    record = one.root / "slurm" / "jobs.jsonl"
    lines = [json.loads(line) for line in record.read_text().splitlines()]
    for line in lines:
        if "job" in line:
            line["job"] = str(int(line["job"]) + 500_000)
            del line["digest"]
    record.write_text("\n".join(json.dumps(line) for line in lines) + "\n")
    shutil.rmtree(one.root / "gan" / "seed-0" / "fold-0" / "labels-01")
    before = one.status()
    assert before["tasks"][GAN]["state"] == "todo"
    assert before["counts"]["stale"] > 0
    one.gansfer("submit", "--yes")
    assert one.wait_for_end()["counts"]["done"] == 12


def test_what_is_queued_waits_for_what_is_sent_again(trial: Callable[..., Trial]) -> None:
    # The array of GANs holds two seeds, one after the other: the first fails, what waits is queued.
    two = {**SMALL, "use_folds": [0], "seeds": [0, 1]}
    one = trial("again", grid=two, cluster={"array_parallelism": 1})
    one.plant({GAN: "error"}, steps=60, step_s=0.2)
    one.gansfer("submit", "--yes")
    one.wait(lambda s: s["tasks"][GAN]["state"] == "failed", 60)
    one.plant()
    one.gansfer("retry", "--task", GAN, "--yes")
    assert one.wait_for_end()["counts"]["done"] == 14


def test_status_from_products_alone(trial: Callable[..., Trial], tmp_path: Path) -> None:
    one = trial("products", grid=SMALL)
    one.plant({GAN: "mistake"})
    one.gansfer("submit", "--yes")
    one.wait_for_end()
    silent = tmp_path / "squeue"
    silent.write_text("#!/bin/sh\nexit 1\n")
    silent.chmod(0o755)
    found = one.status(PATH=f"{tmp_path}:{one.environment['PATH']}")
    assert found["scheduler"] == "nothing"
    assert found["tasks"][GAN]["kind"] == "mistake"
    assert found["tasks"][GAN]["reason"] == "planted: found 3, expected 4; mend it"
    assert found["tasks"]["prepare"]["state"] == "done"
    assert found["counts"]["blocked"] == one.status()["counts"]["blocked"] > 0

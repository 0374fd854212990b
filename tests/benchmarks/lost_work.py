"""How much work does a kill without warning cost?

    python tests/benchmarks/lost_work.py CONFIG [--kills 10] [--checkpoint-every-s 5]

Runs CONFIG's stages up to its first GAN and its first segmenter, and kills those two with SIGKILL
at random moments, again and again, until they are done or --kills are used up. Printed for each:
at what image or iteration it was killed, where the next attempt began, and how many seconds of
work were done twice. Wanted: at most checkpoint_every_s, and a step.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from jobs.experiment.loading import load_experiment, save_experiment
from jobs.experiment.plan import Task, make_plan
from jobs.store.storage import Storage

_WORK = """
import sys
from jobs.worker.run import run_task
sys.exit(run_task(sys.argv[1], sys.argv[2], heartbeat_every_s=0.1))
"""


def started(storage: Storage, task: Task) -> subprocess.Popen[bytes]:
    """A worker of its own, which writes down every tenth of a second how far it is."""
    command = [sys.executable, "-c", _WORK, str(storage.experiment_file), task.id]
    quiet = subprocess.DEVNULL
    return subprocess.Popen(command, stdout=quiet, stderr=quiet)


def progress(storage: Storage, task: Task, pid: int) -> tuple[str, int] | None:
    """What the worker `pid` has last written: phase or unit, and how far it is."""
    state = storage.read_state(task) or {}
    found = state.get("progress")
    if state.get("pid") != pid or found is None:
        return None
    return str(found["note"]).split(",")[0] or str(found["unit"]), int(found["done"])


def killed(storage: Storage, task: Task, after_s: float) -> list[tuple[float, tuple[str, int]]]:
    """Let the task work for some seconds after its first step, kill it: (time, progress) seen."""
    worker = started(storage, task)
    seen: list[tuple[float, tuple[str, int]]] = []
    while worker.poll() is None and (not seen or time.monotonic() - seen[0][0] < after_s):
        now = progress(storage, task, worker.pid)
        if now is not None and (not seen or now != seen[-1][1]):
            seen.append((time.monotonic(), now))
        time.sleep(0.05)
    worker.kill()
    worker.wait()
    return seen


def measure(storage: Storage, task: Task, n_kills: int, random_s: random.Random) -> None:
    """Kill and go on; print what each kill has cost."""
    lost_s: list[float] = []
    before: list[tuple[float, tuple[str, int]]] = []
    for _ in range(n_kills + 1):
        seen = killed(storage, task, random_s.uniform(2, 20))
        if before and seen:
            (where, reached), (place, began) = before[-1][1], seen[0][1]
            again = [at for at, (note, done) in before if note == place and done >= began]
            lost_s.append(before[-1][0] - again[0] if again else 0.0)
            print(
                f"{task.stage}: killed at {where} {reached}, went on from {place} {began}: "
                f"{lost_s[-1]:.1f} s done twice",
                flush=True,
            )
        before = seen
        if (storage.read_state(task) or {}).get("state") == "done":
            break
    print(f"{task.stage}: {len(lost_s)} kills, at most {max(lost_s, default=0.0):.1f} s lost")


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("config", type=Path)
    parser.add_argument("--kills", type=int, default=10)
    parser.add_argument("--checkpoint-every-s", type=float, default=5.0)
    parser.add_argument("--seed", type=int, default=0)
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        os.environ["GANSFER_STORAGE"] = name
        experiment = load_experiment(chosen.config)
        run = experiment.run.model_copy(update={"checkpoint_every_s": chosen.checkpoint_every_s})
        experiment = experiment.model_copy(update={"run": run, "storage": name})
        plan, storage = make_plan(experiment), Storage(experiment)
        save_experiment(experiment, storage.experiment_file)
        print(json.dumps({"checkpoint_every_s": run.checkpoint_every_s, "seed": chosen.seed}))
        (prepare,) = plan.of_stage("prepare")
        started(storage, prepare).wait()
        for stage in ("train_gan", "train_segmenter"):
            task = next(
                t for t in plan.of_stage(stage) if t.cell.arm is None or not t.cell.arm.phases
            )
            measure(storage, task, chosen.kills, random.Random(chosen.seed))


if __name__ == "__main__":
    main()

"""How much work does a kill without warning cost?

    python -m tests.benchmarks.lost_work CONFIG [--kills 10] [--checkpoint-every-s 5]
                                                [--after-s 2 20]

Runs CONFIG's stages up to its first GAN and its first segmenter, and kills each with SIGKILL
at random moments, --after-s seconds after its first step, again and again, until it is done or
--kills are used up. Printed for each: at what image or iteration it was killed, where the next
attempt began, and how many seconds of work were done twice. Wanted: at most checkpoint_every_s, and
a step.
"""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from unittest.mock import patch

from jobs.experiment.loading import load_experiment, save_experiment
from jobs.experiment.plan import Task, make_plan
from jobs.store.storage import Storage
from jobs.worker.run import run_task
from tests.benchmarks.arguments import count, existing, parser_of

_WORK = """
import sys
from jobs.worker.run import run_task
sys.exit(run_task(sys.argv[1], sys.argv[2], heartbeat_every_s=0.1))
"""


@dataclass(frozen=True)
class Kill:
    """A kill and what it cost: both ends are a phase or unit and how far it was."""

    killed_at: tuple[str, int]
    went_on_from: tuple[str, int]
    lost_s: float


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
    phase = str(found["note"]).split(",")[0]
    return phase if phase.startswith("phase") else str(found["unit"]), int(found["done"])


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
    check(storage, task, worker.wait())
    return seen


def check(storage: Storage, task: Task, code: int) -> None:
    """Give up where a worker ended by itself and the task is not done: nothing was measured."""
    if code not in (0, -signal.SIGKILL):
        reason = (storage.read_state(task) or {}).get("reason", "it left no reason")
        raise SystemExit(f"{task.id}: exit code {code}: {reason}")


def measure(
    storage: Storage, task: Task, n_kills: int, after_s: tuple[float, float], seed: int
) -> list[Kill]:
    """Kill and go on; print and give what each kill has cost."""
    random_s = random.Random(seed)
    kills: list[Kill] = []
    before: list[tuple[float, tuple[str, int]]] = []
    known: set[str] = set()
    for n in range(n_kills + 1):
        # Of the last attempt only its beginning counts.
        seen = killed(storage, task, random_s.uniform(*after_s) if n < n_kills else 0.0)
        if before and seen:
            kills.append(Kill(before[-1][1], seen[0][1], lost_s(before, seen[0][1], known)))
            (where, reached), (place, began) = kills[-1].killed_at, kills[-1].went_on_from
            print(
                f"{task.stage}: killed at {where} {reached}, went on from {place} {began}: "
                f"{kills[-1].lost_s:.1f} s done twice",
                flush=True,
            )
        known |= {note for _, (note, _) in seen}
        before = seen
        if (storage.read_state(task) or {}).get("state") == "done":
            break
    most_s = max((one.lost_s for one in kills), default=0.0)
    print(f"{task.stage}: {len(kills)} kills, at most {most_s:.1f} s lost")
    return kills


def lost_s(
    before: list[tuple[float, tuple[str, int]]], went_on_from: tuple[str, int], known: set[str]
) -> float:
    """Seconds of the killed attempt after it was where the next one went on from.

    Args:
        before: what was seen of the killed attempt.
        went_on_from: where the next one was first seen.
        known: the phases or units seen in any attempt so far.
    """
    place, began = went_on_from
    end_s = before[-1][0]
    again = [at_s for at_s, (note, done) in before if note == place and done >= began]
    if again:
        return end_s - again[0]
    is_earlier = place in known - {note for _, (note, _) in before}
    return end_s - before[0][0] if is_earlier else 0.0


def main(arguments: Sequence[str] | None = None) -> dict[str, list[Kill]]:
    """Measure, print, and give the kills of each stage."""
    parser = parser_of(__doc__)
    parser.add_argument("config", type=existing)
    parser.add_argument("--kills", type=count, default=10)
    parser.add_argument("--checkpoint-every-s", type=float, default=5.0)
    parser.add_argument("--after-s", type=float, nargs=2, default=[2.0, 20.0])
    parser.add_argument("--seed", type=int, default=0)
    chosen = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as name:
        with patch.dict(os.environ, GANSFER_STORAGE=name):
            experiment = load_experiment(chosen.config)
        run = experiment.run.model_copy(update={"checkpoint_every_s": chosen.checkpoint_every_s})
        experiment = experiment.model_copy(update={"run": run, "storage": name})
        plan, storage = make_plan(experiment), Storage(experiment)
        save_experiment(experiment, storage.experiment_file)
        print(json.dumps({"checkpoint_every_s": run.checkpoint_every_s, "seed": chosen.seed}))
        (prepare,) = plan.of_stage("prepare")
        check(storage, prepare, run_task(str(storage.experiment_file), prepare.id))
        kills = {}
        for stage in ("train_gan", "train_segmenter"):
            task = next(
                t for t in plan.of_stage(stage) if t.cell.arm is None or not t.cell.arm.phases
            )
            kills[stage] = measure(storage, task, chosen.kills, tuple(chosen.after_s), chosen.seed)
    return kills


if __name__ == "__main__":
    main()

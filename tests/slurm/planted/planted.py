"""Stands in for jobs/stages/dispatch.py on a real SLURM: fast counting, and faults on request.

`GANSFER_PLANTED` names a JSON file, read when a task runs:
    fake        true: count instead of computing; false: the real stages
    steps       how far to count
    step_s      seconds a step takes
    faults      task id -> one of error, mistake, memory, deaf, held, slow

A held task does one step an attempt and waits there until it is asked to stop, or until the file
says so no more. A slow one takes half a second more for each step.
"""

from __future__ import annotations

import hashlib
import importlib.util
import json
import os
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from gansfer.atomic import write_text
from gansfer.errors import UserError
from gansfer.progress import StopRequested


def _read() -> dict[str, Any]:
    return json.loads(Path(os.environ["GANSFER_PLANTED"]).read_text())


def _load_real() -> Any:
    import jobs

    path = Path(jobs.__file__).with_name("stages") / "dispatch.py"
    spec = importlib.util.spec_from_file_location("jobs.real_stages", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["jobs.real_stages"] = module
    spec.loader.exec_module(module)
    return module


@dataclass(frozen=True)
class _FakeOutcome:
    products: tuple[str, ...]
    facts: dict[str, Any] = field(default_factory=dict)
    shown: tuple[str, ...] = ()


@dataclass(frozen=True)
class _FakeContext:
    plan: Any
    storage: Any
    task: Any
    watch: Any
    device: str = "fake"


class _Paced:
    """A watch at which every step takes `step_s`, and at which a held task is held."""

    def __init__(self, watch: Any, task_id: str, step_s: float) -> None:
        self.watch, self.task_id, self.step_s = watch, task_id, step_s

    def report(self, *args: Any, **kwargs: Any) -> None:
        self.watch.report(*args, **kwargs)
        time.sleep(self.step_s)
        while _read()["faults"].get(self.task_id) == "held" and not self.stopping():
            time.sleep(0.2)

    def stopping(self) -> bool:
        return self.watch.stopping()

    def record(self, *args: Any, **kwargs: Any) -> None:
        self.watch.record(*args, **kwargs)


_planted = _read()
Context: type[Any]
if _planted["fake"]:
    Context = _FakeContext
else:
    _real = _load_real()
    Context = _real.Context


def run_stage(context: Any) -> Any:
    """Misbehave if so planted, then count or run the real stage."""
    fault = _planted["faults"].get(context.task.id)
    print(f"attempt {os.environ.get('SLURM_RESTART_COUNT', '0')} of {context.task.id}", flush=True)
    if fault == "error":
        raise ValueError("planted error\nwith a second line")
    if fault == "mistake":
        raise UserError("planted: found 3, expected 4; mend it")
    if fault == "memory":
        hog = bytearray(1536 * 2**20)
        while True:
            time.sleep(1)
            hog[::4096] = b"x" * len(hog[::4096])
    if fault == "deaf":
        while True:
            time.sleep(1)
    step_s = _planted["step_s"] + (0.5 if fault == "slow" else 0.0)
    watch = _Paced(context.watch, context.task.id, step_s)
    if not _planted["fake"]:
        return _real.run_stage(Context(context.plan, context.storage, context.task, watch))
    return _count(context, watch, _planted["steps"])


def _count(context: Any, watch: Any, steps: int) -> _FakeOutcome:
    folder = context.storage.folder(context.task)
    saved = folder / "counted.txt"
    start = int(saved.read_text()) if saved.exists() else 0
    for step in range(start, steps):
        print(f"step {step}", flush=True)
        watch.report(step + 1, steps, "steps", "phase 1")
        if watch.stopping():
            write_text(saved, str(step + 1))
            raise StopRequested
    inputs = [context.storage.read_manifest(context.plan.by_id[i]) for i in context.task.needs]
    known = [context.task.id, *(kept["digest"] for kept in inputs if kept is not None)]
    write_text(folder / "result.txt", hashlib.sha256("\n".join(known).encode()).hexdigest())
    return _FakeOutcome(("result.txt",))

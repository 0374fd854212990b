"""Run one task: skip if done, check its inputs, lock it, run it, and say how it ended.

The same function runs a task on a laptop and in a SLURM array. Exit codes: 0 done (now or
before), 1 failed, 2 a user's mistake, 4 blocked by a missing input, 5 already running elsewhere
(or taken over there), 75 stopped after saving its state: run it again to go on.
"""

from __future__ import annotations

import logging
import os
import platform
import signal
import sys
import threading
import time
import traceback
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from types import FrameType

from gansfer.atomic import remove_leftovers
from gansfer.errors import ProcessKilled, UserError, not_permitted, storage_failure
from gansfer.progress import StopRequested, Watch
from jobs.experiment.loading import load_experiment
from jobs.experiment.plan import Plan, Task, make_plan
from jobs.store import lock
from jobs.store.image_digest import running_image_digest
from jobs.store.integrity import products_read, withdraw_damaged
from jobs.store.ledger import Ledger
from jobs.store.manifest import build_manifest, slurm_job_id
from jobs.store.storage import Storage
from jobs.worker.heartbeat import Heartbeat
from jobs.worker.live_events import LiveEvents

DONE, FAILED, MISTAKE, BLOCKED, BUSY, STOPPED = 0, 1, 2, 4, lock.BUSY, 75

_SEEN_WITHIN_S = 60.0
_LOOK_EVERY_S = 5.0

_log = logging.getLogger("gansfer")


def run_task(experiment_file: str, task_id: str, *, heartbeat_every_s: float | None = None) -> int:
    """Run one task of the resolved experiment file; returns an exit code (see above).

    Args:
        experiment_file: `experiment.yaml` in the experiment's folder.
        task_id: such as `train_gan/seed-0/fold-0/labels-06/group-0`.
        heartbeat_every_s: overrides the experiment's setting (a laptop shows more often).
    """
    try:
        return _run_task(experiment_file, task_id, heartbeat_every_s)
    except (UserError, OSError) as error:  # before there is a state to write it into, or no more
        said = _one_line(error, Path(experiment_file).parent)
        if said is None:
            raise
        _log.error("%s: %s", task_id, said)
        return MISTAKE


def _run_task(experiment_file: str, task_id: str, heartbeat_every_s: float | None) -> int:
    experiment = load_experiment(Path(experiment_file))
    plan = make_plan(experiment)
    storage = Storage(experiment)
    task = plan.by_id[task_id]
    storage.folder(task).mkdir(parents=True, exist_ok=True)
    with _logging_to(storage.files(task).task_log):
        try:
            every_s = heartbeat_every_s or experiment.run.heartbeat_every_s
            return _run_unless_done(plan, storage, task, every_s)
        except (UserError, OSError) as error:  # its log would have no word of it
            _log.error("%s: %s", task.id, _one_line(error, storage.root) or error)
            raise


def _run_unless_done(plan: Plan, storage: Storage, task: Task, heartbeat_every_s: float) -> int:
    # What needs no other task reads source files, which may have changed since.
    if Ledger(plan, storage, sources=not task.needs).done(task):
        _log.info("%s: done before", task.id)
        return DONE
    with lock.locked(storage.files(task).lock) as other:
        if other is not None:
            _log.info("%s: another works on it: %s", task.id, other)
            return BUSY
        remove_leftovers(storage.folder(task))
        return _run_locked(plan, storage, task, heartbeat_every_s)


def _run_locked(plan: Plan, storage: Storage, task: Task, heartbeat_every_s: float) -> int:
    before = storage.read_state(task) or {}
    same = before.get("fingerprint") == task.fingerprint
    heartbeat = Heartbeat(
        storage.files(task).state,
        heartbeat_every_s,
        {
            "task": task.id,
            "state": "running",
            "fingerprint": task.fingerprint,
            "attempts": 1 + (before.get("attempts", 0) if same else 0),
            "host": platform.node(),
            "pid": os.getpid(),
            "slurm_job": slurm_job_id(),
            "started": datetime.now(UTC).isoformat(timespec="seconds"),
        },
    )
    ledger = _inputs_seen(plan, storage, task)
    absent = ledger.missing_needs(task)
    # A report says what is missing; without a cohort it would have nothing else to say.
    if absent and (task.stage != "aggregate" or "prepare" in absent):
        more = f" and {len(absent) - 1} more, which are" if len(absent) > 1 else ", which is"
        reason = f"waits for {absent[0]}{more} not done"
        heartbeat.end(state="blocked", reason=reason)
        _log.warning("%s: blocked: %s", task.id, reason)
        return BLOCKED
    heartbeat.beat()
    heartbeat.start()
    with _signals_set(heartbeat.stop):
        return _run_watched(plan, storage, task, ledger, heartbeat)


def _inputs_seen(plan: Plan, storage: Storage, task: Task) -> Ledger:
    """Look at the inputs, in a SLURM job for up to a minute until all are there.

    A node may have looked into a folder before another one has written there, and NFS lets it
    believe that for a minute. A needed task that says itself that it has failed, or was blocked, is
    not waited for.
    """
    deadline_s = time.monotonic() + _SEEN_WITHIN_S
    while True:
        ledger = Ledger(plan, storage)
        absent = [plan.by_id[need] for need in ledger.missing_needs(task)]
        states = {(storage.read_state(need) or {}).get("state") for need in absent}
        prepared = all(need.stage != "prepare" for need in absent)
        enough = task.stage == "aggregate" and prepared
        settled = not absent or states & {"failed", "blocked"} or enough
        if settled or "SLURM_JOB_ID" not in os.environ or time.monotonic() >= deadline_s:
            return ledger
        time.sleep(_LOOK_EVERY_S)


def _run_watched(
    plan: Plan, storage: Storage, task: Task, ledger: Ledger, heartbeat: Heartbeat
) -> int:
    started_s = time.monotonic()
    damaged = _damaged_input(plan, storage, task, ledger)
    if damaged is not None:
        heartbeat.end(state="blocked", reason=damaged)
        _log.warning("%s: blocked: %s", task.id, damaged)
        return BLOCKED
    storage.files(task).manifest.unlink(missing_ok=True)
    try:
        # The one lazy import: everything before it runs without torch, on a login node too.
        from jobs.stages.dispatch import Context, run_stage

        image = running_image_digest(storage)
        with _watching(plan, storage, task, heartbeat) as watch:
            context = Context(plan, storage, task, watch)
            outcome = run_stage(context)
        manifest = build_manifest(
            task,
            storage.folder(task),
            outcome.products,
            ledger.input_digests(task),
            attempts=heartbeat.state["attempts"],
            wall_s=time.monotonic() - started_s,
            device=context.device,
            image=image,
            facts=outcome.facts,
            shown=outcome.shown,
        )
        storage.write_manifest(task, manifest)
    except StopRequested:
        heartbeat.end(state="stopped", reason="asked to stop; its state is saved")
        _log.warning("%s: stopped, state saved; run it again to go on", task.id)
        return STOPPED
    except Exception as error:
        said = _one_line(error, storage.root)
        if said is not None:
            is_killed = isinstance(error, ProcessKilled)
            heartbeat.end(state="failed", kind="memory" if is_killed else "mistake", reason=said)
            _log.error("%s: %s", task.id, said)
            return FAILED if is_killed else MISTAKE
        memory = isinstance(error, MemoryError) or "out of memory" in str(error).lower()
        reason = f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}"
        heartbeat.end(state="failed", kind="memory" if memory else "error", reason=reason)
        _log.error("%s: failed\n%s", task.id, traceback.format_exc())
        return FAILED
    heartbeat.end(state="done")
    _log.info("%s: done in %.1f s", task.id, time.monotonic() - started_s)
    return DONE


@contextmanager
def _watching(plan: Plan, storage: Storage, task: Task, heartbeat: Heartbeat) -> Iterator[Watch]:
    """Who is told of the task's progress: the heartbeat, and TensorBoard where it is wanted."""
    if not plan.experiment.run.tensorboard:
        yield heartbeat
        return
    with LiveEvents(heartbeat, storage.events(task)) as watch:
        yield watch


def _one_line(error: Exception, root: Path) -> str | None:
    """What a user is told of an error that is not the program's; None: it is."""
    if isinstance(error, UserError):
        return str(error)
    if isinstance(error, PermissionError):
        return not_permitted(error)
    return storage_failure(error, root) if isinstance(error, OSError) else None


def _damaged_input(plan: Plan, storage: Storage, task: Task, ledger: Ledger) -> str | None:
    """Read all that the task will read, and say what is not as it was written.

    What was not done at the first look is nothing that the task counts on: the report alone does
    without some of its inputs.
    """
    found = []
    for need in (plan.by_id[need] for need in task.needs):
        if ledger.done(need):
            read = products_read(storage.files(need), need, task.stage)
            found.append(withdraw_damaged(storage, need, read))
    return next((said for said in found if said is not None), None)


@contextmanager
def _signals_set(stop: threading.Event) -> Iterator[None]:
    """SIGUSR2 (time limit near) and SIGTERM (preemption, scancel) ask the work to stop."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def ask(number: int, frame: FrameType | None) -> None:
        stop.set()

    before = {number: signal.signal(number, ask) for number in (signal.SIGUSR2, signal.SIGTERM)}
    # A local run starts its workers with SIGTERM blocked, so that none is lost before this line.
    mask = signal.pthread_sigmask(signal.SIG_UNBLOCK, before)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        for number, handler in before.items():
            signal.signal(number, handler)


class _TaskLog(logging.FileHandler):
    """A log on a disk that may be full: what cannot be written is lost, and nothing else is."""

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 - logging's name
        """Say so, without logging's traceback."""
        print(f"{self.baseFilename}: cannot be written; lost: {record.getMessage()}", flush=True)

    def close(self) -> None:
        """Close the file, whatever becomes of its last lines."""
        with suppress(OSError):
            super().close()


@contextmanager
def _logging_to(path: Path) -> Iterator[None]:
    """Append this process's messages to the task's log, for as long as the task runs."""
    handler = _TaskLog(path, encoding="utf-8")
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
    root = logging.getLogger()
    root.addHandler(handler)
    _log.setLevel(logging.INFO)  # ours; of the libraries only warnings
    try:
        yield
    finally:
        root.removeHandler(handler)
        handler.close()


if __name__ == "__main__":
    sys.exit(run_task(sys.argv[1], sys.argv[2]))

"""The same tasks on this machine: a process a task, as many as there are cores, in order.

Each task runs in a process of its own, forked from a server that has torch loaded, so that a
crash or an out-of-memory kill costs one task. A task's process ends when this one does.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from multiprocessing import forkserver, resource_tracker
from multiprocessing.connection import wait
from multiprocessing.process import BaseProcess

from gansfer.errors import UserError
from jobs.experiment.plan import Plan, Task
from jobs.store.ledger import Ledger
from jobs.store.processes import end_with_parent, usable_cores
from jobs.store.storage import Storage
from jobs.worker.run import BLOCKED, DONE, run_task

_HEARTBEAT_EVERY_S = 2.0  # the disk is local
_STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM)
_THREAD_VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")


@dataclass
class LocalRun:
    """What became of each task of this run; read by the progress display.

    Attributes:
        plan: the tasks.
        storage: where their products are.
        already_done: ids of tasks that were done before.
        running: when each running task started (monotonic seconds).
        ended: exit code of each task that ended.
        asked_to_stop: a signal ended the run before its time.
        only: ids of the tasks to run; None: all of the plan.
    """

    plan: Plan
    storage: Storage
    already_done: set[str] = field(default_factory=set)
    running: dict[str, float] = field(default_factory=dict)
    ended: dict[str, int] = field(default_factory=dict)
    asked_to_stop: bool = False
    only: Collection[str] | None = None

    @property
    def tasks(self) -> tuple[Task, ...]:
        """The tasks to run, in the plan's order."""
        return tuple(t for t in self.plan.tasks if self.only is None or t.id in self.only)

    def is_finished(self, task: Task) -> bool:
        """The task's products are complete, from before or from now."""
        return task.id in self.already_done or self.ended.get(task.id) == DONE


def run_locally(
    plan: Plan,
    storage: Storage,
    *,
    only: Collection[str] | None = None,
    workers: int | None = None,
    on_change: Callable[[LocalRun], None] = lambda run: None,
    poll_s: float = 0.5,
) -> LocalRun:
    """Run every task that is not done, each once its needed tasks are done.

    A failed task blocks its dependents only; `aggregate` runs wherever the cohort is prepared, and
    says what is missing. SIGINT and SIGTERM let the running tasks save their state first.

    Args:
        plan: the tasks.
        storage: where their products are.
        only: ids of those to run, with what they need that is not done; None: all.
        workers: tasks at a time; None: one a core that this process may use.
        on_change: called at every poll, to show progress.
        poll_s: seconds between two looks at the running tasks.

    Raises:
        UserError: the server that tasks are forked from was killed.
    """
    ledger = Ledger(plan, storage, sources=True)
    run = LocalRun(plan, storage, only=only)
    run.already_done |= {task.id for task in plan.tasks if ledger.done(task)}
    # A report of what there was is done, until there is more.
    run.already_done -= {
        report.id
        for report in plan.of_stage("aggregate")
        if any(task.id in report.needs for task in run.tasks if not ledger.done(task))
    }
    waiting = [task for task in run.tasks if task.id not in run.already_done]
    if not waiting:
        return run
    slots = workers or usable_cores()
    processes: dict[str, BaseProcess] = {}
    repeated: set[str] = set()
    with _stop_on_signals(processes) as stopping:
        context = _fork_server(plan.experiment.run.threads)
        while waiting or processes:
            if stopping.is_set():
                waiting, run.asked_to_stop = [], True
                _ask_to_save(processes)
            for task in _ready(waiting, run)[: slots - len(processes)]:
                waiting.remove(task)
                process = context.Process(
                    target=_child, args=(str(storage.experiment_file), task.id), name=task.id
                )
                _start(process)
                processes[task.id] = process
                run.running[task.id] = time.monotonic()
            if waiting and not processes:
                break  # what is left needs tasks that failed
            wait([process.sentinel for process in processes.values()], timeout=poll_s)
            for task_id in _collect(processes, run):
                waiting += _to_repeat(plan.by_id[task_id], run, ledger, repeated)
            on_change(run)
    return run


def _ready(waiting: list[Task], run: LocalRun) -> list[Task]:
    """Tasks that can start, those of the longest way to the report first."""
    pending = {task.id for task in waiting} | set(run.running)
    ready = []
    for task in waiting:
        if task.stage == "aggregate":
            prepared = all(run.is_finished(one) for one in run.plan.of_stage("prepare"))
            if prepared and not any(_may_still_run(run, need, pending) for need in task.needs):
                ready.append(task)
        elif all(run.is_finished(run.plan.by_id[need]) for need in task.needs):
            ready.append(task)
    first = {"prepare": 0, "train_gan": 1, "synthesise": 2}
    return sorted(ready, key=lambda task: first.get(task.stage, 3))


def _may_still_run(run: LocalRun, task_id: str, pending: set[str]) -> bool:
    if task_id in run.running:
        return True
    if task_id not in pending:
        return False
    return all(
        run.is_finished(run.plan.by_id[need]) or _may_still_run(run, need, pending)
        for need in run.plan.by_id[task_id].needs
    )


def _fork_server(threads: int) -> multiprocessing.context.ForkServerContext:
    for name in _THREAD_VARIABLES:
        os.environ[name] = str(threads)  # before torch and BLAS load in the server
    os.environ.setdefault("HDF5_USE_FILE_LOCKING", "FALSE")
    # The server is a `python -c`, which would take a folder `jobs` where we are called for ours.
    os.environ["PYTHONSAFEPATH"] = "1"
    os.environ["PYTHONPATH"] = os.pathsep.join(map(os.path.abspath, sys.path))
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["jobs.stages.dispatch"])
    # Ctrl-C and `timeout` signal the whole process group. The server must outlive that to tell how
    # its tasks end, and a task takes SIGTERM once it can save: both inherit the blocked signals.
    resource_tracker.ensure_running()  # it would unblock them
    before = signal.pthread_sigmask(signal.SIG_BLOCK, _STOP_SIGNALS)
    try:
        forkserver.ensure_running()
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
    return context


def _start(process: BaseProcess) -> None:
    try:
        process.start()
    except (EOFError, ConnectionError) as error:
        raise UserError(
            "the server that starts the tasks is gone, perhaps killed for want of memory; run the "
            "same command again to go on"
        ) from error


def _child(experiment_file: str, task_id: str) -> None:
    end_with_parent()
    raise SystemExit(run_task(experiment_file, task_id, heartbeat_every_s=_HEARTBEAT_EVERY_S))


def _ask_to_save(processes: dict[str, BaseProcess]) -> None:
    """Send SIGTERM: each worker saves at its next step. Harmless when sent twice."""
    for process in processes.values():
        process.terminate()


def _collect(processes: dict[str, BaseProcess], run: LocalRun) -> list[str]:
    """Take note of the tasks that have ended; returns their ids."""
    ended = []
    for task_id, process in list(processes.items()):
        if process.is_alive():
            continue
        process.join()
        del processes[task_id], run.running[task_id]
        code = process.exitcode
        assert code is not None
        run.ended[task_id] = code
        ended.append(task_id)
    return ended


def _to_repeat(task: Task, run: LocalRun, ledger: Ledger, repeated: set[str]) -> list[Task]:
    """A task that found an input damaged, and what has to be run again for it.

    A task starts when all that it needs is done, so one that ends as blocked has found damage, or
    another task has before it: then what they both need is on its way already, or done again. Each
    need is withdrawn once; a task that has several damaged inputs finds one after the other.
    """
    if run.ended[task.id] != BLOCKED:
        return []
    withdrawn, may_be_done = [], task.id not in repeated
    for need in (run.plan.by_id[need] for need in task.needs):
        ledger.forget(need)
        if not run.is_finished(need):
            may_be_done = True
        # Stale is what only waits for another one: that makes it done again.
        elif need.id not in repeated and ledger.finding(need).state == "missing":
            withdrawn.append(need)
    if not withdrawn and not may_be_done:
        return []
    again = [task, *withdrawn]
    for one in again:
        repeated.add(one.id)
        run.already_done.discard(one.id)
        run.ended.pop(one.id, None)
    return again


class _stop_on_signals:  # noqa: N801 - a context manager, read like one
    """On SIGINT or SIGTERM: start nothing more, and let the running tasks save their state."""

    def __init__(self, processes: dict[str, BaseProcess]) -> None:
        self.processes = processes
        self.asked = threading.Event()

    def __enter__(self) -> threading.Event:
        self.before = {number: signal.signal(number, self._ask) for number in _STOP_SIGNALS}
        return self.asked

    def __exit__(self, *error: object) -> None:
        for number, handler in self.before.items():
            signal.signal(number, handler)
        _ask_to_save(self.processes)

    def _ask(self, number: int, frame: object) -> None:
        self.asked.set()

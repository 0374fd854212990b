"""`gansfer run` as a process group of its own, with a fault planted in all its processes.

A cold command is a process as a user starts it. A warm one is forked from this process, which has
torch loaded, and so is the server that its tasks are forked from: seconds less, twice a command. It
saves sketches in place of pictures. The tree of processes is the same. A process that starts warm
commands must have no other thread.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from multiprocessing import forkserver, util
from pathlib import Path
from typing import Any

from threadpoolctl import threadpool_limits

from tests.faults.planted.planted_fault import COMMAND, VARIABLE, install
from tests.faults.sketching import sketch_figures
from tests.jobs.experiments import ROOT

PATIENCE_S = 1800.0  # a busy machine: to hang is to do nothing for longer than that
_PLANTED = Path(__file__).with_name("planted")
_DEFAULTS = (signal.SIGINT, signal.SIGTERM, signal.SIGUSR2)


@dataclass(frozen=True)
class Ended:
    """How a command ended: its exit code (negative: a signal's number), and all that it said."""

    code: int
    said: str
    hung: bool = False


class Command:
    """`gansfer run` of one experiment file.

    Args:
        config: the experiment.
        log: where its output goes.
        fault: see planted_fault.py; None: none.
        warm: see above.
    """

    def __init__(
        self, config: Path, log: Path, fault: dict[str, Any] | None = None, *, warm: bool = True
    ) -> None:
        self.log = log
        arguments = ["run", str(config), "--workers", "2"]
        self.pid = _fork(arguments, log, fault) if warm else _start(arguments, log, fault)

    def tell(self, number: signal.Signals, target: str) -> None:
        """Signal the command, its whole group, the tasks' server, or one task's process."""
        if target == "group":
            os.killpg(self.pid, number)
            return
        pids = {"parent": [self.pid], "pool": self._below(1), "worker": self._below(2)}[target]
        for pid in pids[:1]:
            _send(pid, number)

    def is_running(self) -> bool:
        """The command itself has not ended."""
        found = os.waitid(os.P_PID, self.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT)
        return found is None

    def end(self, while_waiting: Callable[[], None] = lambda: None) -> Ended:
        """Wait until every process of it is gone; end them where that takes too long."""
        deadline_s, hung = time.monotonic() + PATIENCE_S, False
        while self.is_running() or self._group():
            while_waiting()
            if time.monotonic() > deadline_s:
                hung = True
                for pid in [*self._group(), self.pid]:
                    _send(pid, signal.SIGKILL)
            time.sleep(0.02)
        _, status = os.waitpid(self.pid, 0)
        code = os.waitstatus_to_exitcode(status)
        return Ended(code, self.log.read_text(errors="replace"), hung)

    def _group(self) -> list[int]:
        """Processes of the command's session, without itself."""
        return [pid for pid, (session, _) in _processes().items() if session == self.pid != pid]

    def _below(self, generation: int) -> list[int]:
        """Its children, or theirs; the helper that tracks semaphores has none."""
        of = {pid: parent for pid, (session, parent) in _processes().items() if session == self.pid}
        children = [pid for pid, parent in of.items() if parent == self.pid and pid != self.pid]
        grandchildren = [pid for pid, parent in of.items() if parent in children]
        if generation == 2:
            return grandchildren
        return [pid for pid in children if pid in set(of.values())] or children[-1:]


def load_all() -> None:
    """Load what tasks need, so that warm commands do not; an optimiser needs _dynamo.

    With one thread: a library that is loaded does not look at OMP_NUM_THREADS any more.
    """
    import matplotlib.pyplot  # noqa: F401
    import torch._dynamo

    import jobs.checking.validation
    import jobs.commands.cli
    import jobs.commands.results_table
    import jobs.stages.aggregate
    import jobs.stages.prepare
    import jobs.stages.segment_cohort
    import jobs.stages.synthesise
    import jobs.stages.train_gan
    import jobs.stages.train_segmenter  # noqa: F401

    torch.set_num_threads(1)
    threadpool_limits(1)


def _start(arguments: Sequence[str], log: Path, fault: dict[str, Any] | None) -> int:
    path = os.pathsep.join(filter(None, (str(_PLANTED), str(ROOT), os.environ.get("PYTHONPATH"))))
    env = {**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": "1"}
    env |= {} if fault is None else {VARIABLE: json.dumps(fault)}
    with log.open("w") as output:
        return subprocess.Popen(
            [sys.executable, "-m", "jobs.commands.cli", *arguments],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            cwd=ROOT,
            env=env,
            start_new_session=True,
        ).pid


def _fork(arguments: Sequence[str], log: Path, fault: dict[str, Any] | None) -> int:
    pid = os.fork()
    if pid:
        return pid
    code = 70
    try:
        os.setsid()
        output = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
        null = os.open(os.devnull, os.O_RDONLY)
        for handle, number in ((null, 0), (output, 1), (output, 2)):
            os.dup2(handle, number)
        sys.stdout = os.fdopen(1, "w", buffering=1, closefd=False)
        sys.stderr = os.fdopen(2, "w", buffering=1, closefd=False)
        code = _in_command(arguments, fault)
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        os._exit(code)


def _in_command(arguments: Sequence[str], fault: dict[str, Any] | None) -> int:
    from jobs.commands.cli import main

    os.environ.pop(COMMAND, None)
    os.environ["OMP_NUM_THREADS"] = "1"
    _reset_signals()
    _reset_server()
    sketch_figures()
    util.spawnv_passfds = _spawn_or_fork  # type: ignore[assignment]
    if fault is not None:
        install(fault)
    sys.argv = ["gansfer", *arguments]
    try:
        main()
    except SystemExit as ended:
        return int(ended.code or 0)
    except KeyboardInterrupt:
        traceback.print_exc()
        return 130
    return 0


_spawn = util.spawnv_passfds


def _spawn_or_fork(path: bytes, arguments: Sequence[Any], handles: Sequence[int]) -> int:
    """Start multiprocessing's server by a fork in place of an exec; all else as it is."""
    if "multiprocessing.forkserver" not in str(arguments[-1]):
        return int(_spawn(path, arguments, handles))
    pid = os.fork()
    if pid:
        return pid
    try:
        keep = {0, 1, 2, *handles}
        for handle in [int(path.name) for path in Path("/proc/self/fd").iterdir()]:
            if handle not in keep and "planted" not in _link(handle):
                _close(handle)
        _reset_signals()
        _reset_server()
        exec(str(arguments[-1]), {})
    finally:
        os._exit(0)


def _reset_signals() -> None:
    """As an exec leaves them: handlers are Python's own."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
    for number in _DEFAULTS[1:]:
        signal.signal(number, signal.SIG_DFL)


def _reset_server() -> None:
    forkserver._forkserver.__init__()  # type: ignore[misc]


def _link(handle: int) -> str:
    try:
        return str(Path(f"/proc/self/fd/{handle}").readlink())
    except OSError:
        return ""


def _close(handle: int) -> None:
    try:
        os.close(handle)
    except OSError:
        return  # of the listing itself


def _send(pid: int, number: signal.Signals) -> None:
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        return  # it has just ended by itself


def _processes() -> dict[int, tuple[int, int]]:
    """Session and parent of every living process, zombies left out."""
    found = {}
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            state, parent, _, session = (folder / "stat").read_text().rsplit(")", 1)[1].split()[:4]
        except OSError:
            continue  # it has just ended
        if state != "Z":
            found[int(folder.name)] = (int(session), int(parent))
    return found

"""A fault at the n-th write of a command: an error, a signal, or a jump of the clock.

A write is what changes the storage: a file that is opened for writing, a rename, a removal, a new
folder, an fsync. Writes of all processes of a command count together, in a file that each appends a
byte to. Python's audit hooks see them, in libraries too; what C code writes they do not see, for
which there is a real file system without room (`campaign.py`).

Knows nothing but the standard library: `sitecustomize.py` beside it plants it in any Python.
"""

from __future__ import annotations

import datetime as datetime_module
import json
import os
import signal
import sys
import time
from typing import Any

VARIABLE = "GANSFER_PLANTED_FAULT"
COMMAND = "GANSFER_PLANTED_COMMAND"  # process id of the command itself

_CHANGES = {"os.rename", "os.mkdir", "os.remove", "os.rmdir", "os.truncate", "os.link"}
_NEEDS_NO_ROOM = {"os.remove", "os.rmdir"}  # a full disk does not refuse these
_WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT


class Planted:
    """The fault, in one process.

    Args:
        fault: `root` (only what is below counts), `counter` (the file), `at` (the first write that
            meets it, from 1), `count` (how many do; 0: all from there on), `what` (`count`,
            `error`, `signal` or `clock`) and, by that, `paths` (a file that they are written to),
            `errno` and `reads`, `signal` and `target`, or `jump_s`.
    """

    def __init__(self, fault: dict[str, Any]) -> None:
        self.fault = fault
        self.root = fault["root"]
        self.counter = _appending(fault["counter"])
        self.paths = _appending(fault["paths"]) if "paths" in fault else None

    def hook(self, event: str, args: tuple[Any, ...]) -> None:
        """Python's audit hook: called before each such operation, which fails if it raises."""
        if event != "open" and event not in _CHANGES:
            return
        if not args or not isinstance(args[0], str | bytes | os.PathLike):
            return
        if not os.fsdecode(args[0]).startswith(self.root):
            return
        if event == "open" and not (isinstance(args[2], int) and args[2] & _WRITING):
            if self.fault.get("reads") and self.is_now(self.seen()):
                self.fail(args[0])
            return
        if event in _NEEDS_NO_ROOM and self.fault.get("errno") == 28:
            return
        self.write(args[0])

    def write(self, path: Any) -> None:
        """Count a write, and let it meet the fault if it is its turn."""
        in_command = str(os.getpid()) == os.environ.get(COMMAND)
        if in_command and self.fault.get("target") in ("worker", "pool"):
            return  # they are to be hit in a task
        os.write(self.counter, b".")
        if self.paths is not None:
            os.write(self.paths, os.fsencode(path) + b"\n")
        if not self.is_now(self.seen()):
            return
        if self.fault["what"] == "error":
            self.fail(path)
        if self.fault["what"] == "signal":
            self.send()

    def seen(self) -> int:
        """How many writes there were in all processes."""
        return os.fstat(self.counter).st_size

    def is_now(self, n: int) -> bool:
        """Whether the n-th write meets the fault."""
        at, count = self.fault["at"], self.fault.get("count", 1)
        return n >= at and (count == 0 or n < at + count)

    def fail(self, path: Any) -> None:
        number = self.fault["errno"]
        raise OSError(number, os.strerror(number), os.fsdecode(path))

    def send(self) -> None:
        number, command = self.fault["signal"], int(os.environ[COMMAND])
        target = self.fault["target"]
        if target == "group":
            os.killpg(command, number)
        else:
            os.kill(
                {"worker": os.getpid(), "pool": os.getppid(), "parent": command}[target], number
            )
        if number == signal.SIGKILL:
            time.sleep(0.05)  # the others get theirs before this process goes on

    def jumped_s(self) -> float:
        return float(self.fault["jump_s"]) if self.seen() >= self.fault["at"] else 0.0


def _appending(path: str) -> int:
    return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)


def install(fault: dict[str, Any]) -> None:
    """Plant the fault in this process and in all that it starts."""
    os.environ.setdefault(COMMAND, str(os.getpid()))
    planted = Planted(fault)
    if fault["what"] == "clock":
        _install_clock(planted)
    real_fsync = os.fsync

    def fsync(handle: int) -> None:
        path = os.readlink(f"/proc/self/fd/{handle}")  # noqa: PTH115 - before pathlib is loaded
        if path.startswith(planted.root):
            planted.write(path)
        real_fsync(handle)

    os.fsync = fsync  # type: ignore[assignment]
    sys.addaudithook(planted.hook)


def install_from_environment() -> None:
    """What `sitecustomize.py` calls."""
    if VARIABLE in os.environ:
        install(json.loads(os.environ[VARIABLE]))


def _install_clock(planted: Planted) -> None:
    real_time, real_datetime = time.time, datetime_module.datetime

    class Jumping(real_datetime):  # type: ignore[valid-type, misc]
        @classmethod
        def now(cls, tz: datetime_module.tzinfo | None = None) -> datetime_module.datetime:
            return real_datetime.now(tz) + datetime_module.timedelta(seconds=planted.jumped_s())

    time.time = lambda: real_time() + planted.jumped_s()
    for name, module in list(sys.modules.items()):
        if (
            name.startswith(("jobs.", "gansfer."))
            and getattr(module, "datetime", 0) is real_datetime
        ):
            module.datetime = Jumping  # type: ignore[attr-defined]

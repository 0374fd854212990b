"""Lock files: one process at a time works on a task, or submits an experiment.

A lock is a numbered file, such as `.claim-3`, that names its holder; the highest number counts.
The holder keeps an flock on it, and touches it every 30 s. It is free when its holder has said so,
when the flock is gone (so is the process then, however it ended), or when it was not touched for
long: some shared file systems have no flock, and some never give back that of a node that died.
Whoever finds it free creates the file of the next number, which one process alone can. No number
comes twice, so a slow process cannot take what was taken and released since it looked.
"""

from __future__ import annotations

import errno
import fcntl
import json
import logging
import os
import platform
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

from jobs.store.manifest import slurm_job_id

BUSY = 5  # exit code: another process holds the lock
PATIENCE_S = 150.0  # 4 beats and 30 s, as status has with a heartbeat

_BEAT_EVERY_S = 30.0
_NO_LOCKS = (errno.ENOSYS, errno.EOPNOTSUPP, errno.ENOLCK, errno.EINVAL)

_log = logging.getLogger("gansfer")


@contextmanager
def locked(base: Path) -> Iterator[str | None]:
    """Hold the lock while the block runs.

    Yields None, or, where another process holds the lock, who that is.

    Args:
        base: path of the lock's files without their number; its folder exists.
    """
    lock = _take(base)
    if lock is None:
        yield _holder(base)
        return
    beating = threading.Thread(target=lock.beat, daemon=True, name="lock")
    beating.start()
    try:
        yield None
    finally:
        lock.ended.set()
        beating.join()
        lock.release()


@dataclass
class _HeldLock:
    """A lock that this process holds."""

    base: Path
    number: int
    file: IO[bytes]
    ended: threading.Event = field(default_factory=threading.Event)

    def beat(self) -> None:
        """Show that the process is alive; end it where another one has given it up for dead."""
        while not self.ended.wait(_BEAT_EVERY_S):
            with suppress(OSError):  # a file system's hiccup: the next beat may come through
                if _last_number(self.base) > self.number:
                    _log.error("%s: %s has taken over; leaving", self.base, _holder(self.base))
                    os._exit(BUSY)
                os.utime(self.file.fileno())

    def release(self) -> None:
        """Let others have it at once, without a lock too."""
        with suppress(OSError), self.file:
            _write(self.file, {"released": True})


def _take(base: Path) -> _HeldLock | None:
    last = _last_number(base)
    if last and not _is_free(_numbered(base, last)):
        return None
    number = last + 1
    path = _numbered(base, number)
    try:
        file = path.open("xb+", buffering=0)
    except FileExistsError:
        return None
    if _last_number(base) != number:  # we looked so long ago that it was taken and released since
        file.close()
        path.unlink(missing_ok=True)
        return None
    has_flock = _flock(file, fcntl.LOCK_EX)
    us = {"host": platform.node(), "pid": os.getpid(), "slurm_job": slurm_job_id()}
    _write(file, {**us, "locked": has_flock})
    for older in _numbers(base):
        if older < number:
            _numbered(base, older).unlink(missing_ok=True)
    return _HeldLock(base, number, file)


def _is_free(path: Path) -> bool:
    try:
        file = path.open("rb")
    except FileNotFoundError:
        return False  # a later number has come
    with file:
        said = _read(file)
        # Without a word the holder has only just come, and may not have locked it yet.
        gone = said.get("locked") and _flock(file, fcntl.LOCK_SH)
        return bool(said.get("released") or gone) or _silent_s(file, path.parent) > PATIENCE_S


def _flock(file: IO[bytes], kind: int) -> bool:
    """Lock it without waiting; False where another process has it, or nobody can."""
    try:
        fcntl.flock(file, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError as error:
        if error.errno not in _NO_LOCKS:
            raise
        return False
    return True


def _holder(base: Path) -> str:
    """Who holds the lock, for a message."""
    try:
        with _numbered(base, _last_number(base)).open("rb") as file:
            said, silent_s = _read(file), _silent_s(file, base.parent)
    except FileNotFoundError:
        return "another process"
    job = f", job {said['slurm_job']}" if said.get("slurm_job") else ""
    who = f"process {said.get('pid', '?')} on {said.get('host', '?')}{job}"
    return f"{who}, last heard of {silent_s:.0f} s ago"


def _silent_s(file: IO[bytes], folder: Path) -> float:
    """Seconds since the file was touched, by the clock of its own file server.

    A touch that lies ahead was made before that clock was set back, nobody knows how long ago:
    taken for recent, it would keep the lock for as long as the clock had been ahead. A holder that
    lives touches it again.
    """
    with tempfile.TemporaryFile(dir=folder) as made_now:
        silent_s = os.fstat(made_now.fileno()).st_mtime - os.fstat(file.fileno()).st_mtime
    return abs(silent_s)


def _read(file: IO[bytes]) -> dict[str, Any]:
    try:
        said = json.loads(file.read())
    except ValueError:
        return {}
    return said if isinstance(said, dict) else {}


def _write(file: IO[bytes], value: dict[str, Any]) -> None:
    file.seek(0)
    file.write(json.dumps(value).encode() + b"\n")
    file.truncate()


def _numbered(base: Path, number: int) -> Path:
    return base.with_name(f"{base.name}-{number}")


def _numbers(base: Path) -> list[int]:
    parts = (path.name.rpartition("-") for path in base.parent.iterdir())
    return [int(end) for name, _, end in parts if name == base.name and end.isdigit()]


def _last_number(base: Path) -> int:
    """The highest number that there is; 0 where nobody ever took it."""
    return max(_numbers(base), default=0)

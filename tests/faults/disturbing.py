"""What comes from outside of a command: signals, locks, a storage that is away or full."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.faults.commands import Command
from tests.faults.drawing import Fault
from tests.jobs.experiments import Trial

_SILENT_FOR_GOOD_S = 3600


def leave_lock(trial: Trial, task_id: str, locked: bool, silent_s: float) -> None:
    trial.folder(task_id).mkdir(parents=True, exist_ok=True)
    path = trial.storage.files(trial.task(task_id)).lock.with_name(".claim-7")
    path.write_text(f'{{"host": "a-dead-host", "pid": 4242, "locked": {str(locked).lower()}}}\n')
    touched_s = time.time() - silent_s
    os.utime(path, (touched_s, touched_s))


def age_locks(trial: Trial) -> None:
    """As if the same command came an hour later: nobody has touched a dead host's locks."""
    for path in trial.storage.root.rglob(".claim-*"):
        if path.stat().st_mtime < time.time() + _SILENT_FOR_GOOD_S:
            touched_s = path.stat().st_mtime - _SILENT_FOR_GOOD_S
            os.utime(path, (touched_s, touched_s))


@dataclass
class Moment:
    """A while after a command has made so many writes: a busy machine puts it off with them.

    Attributes:
        counter: the file that its planted fault counts in.
        writes: how many.
        delay_s: the while; else it would come at a write only.
    """

    counter: Path
    writes: int
    delay_s: float = 0.0

    def __post_init__(self) -> None:
        self.at_s: float | None = None

    def has_come(self) -> bool:
        if self.at_s is None and self._seen() >= self.writes:
            self.at_s = time.monotonic() + self.delay_s
        return self.at_s is not None and time.monotonic() >= self.at_s

    def _seen(self) -> int:
        return self.counter.stat().st_size if self.counter.exists() else 0


@dataclass
class Later:
    """Sends a signal once the moment has come."""

    command: Command
    moment: Moment
    facts: dict[str, Any]

    def __post_init__(self) -> None:
        self.is_sent = False

    def __call__(self) -> None:
        if not self.is_sent and self.moment.has_come():
            self.is_sent = True
            self.command.tell(signal.Signals(self.facts["signal"]), self.facts["target"])


@dataclass
class Away:
    """Takes the storage away once the moment has come, and gives it back after some seconds."""

    trial: Trial
    moment: Moment
    for_s: float

    def __post_init__(self) -> None:
        self.place = self.trial.config.parent / "runs"
        self.aside = self.place.with_name("runs-away")
        self.back_s = 0.0
        self.is_back = False

    def __call__(self) -> None:
        if self.is_back or not self.moment.has_come():
            return
        if not self.aside.exists():
            self.back_s = time.monotonic() + self.for_s
            self.place.rename(self.aside)
        elif time.monotonic() >= self.back_s:
            self.give_back()

    def give_back(self) -> None:
        """Give it back, now at the latest."""
        if self.aside.exists():
            if self.place.exists():  # what was written meanwhile is hidden by what comes back
                self.place.rename(self.place.with_name("runs-meanwhile"))
            self.aside.rename(self.place)
        self.is_back = True


@dataclass
class Disk:
    """A file system of its own below the trial's storage, or none."""

    place: Path | None

    def shrink(self, fault: Fault) -> None:
        """Leave room for a part of what the command will write."""
        if self.place is not None:
            used = sum(path.stat().st_blocks for path in self.place.rglob("*")) // 2
            self._resize(used + 4 + int(fault.draw.choice((30, 300, 3000)) * fault.after))

    def grow(self) -> None:
        """Make room."""
        if self.place is not None:
            self._resize(200_000)

    def _resize(self, kib: int) -> None:
        subprocess.run(
            ["mount", "-o", f"remount,size={kib}k", "tmpfs", str(self.place)], check=True
        )


@contextmanager
def real_disk(fault: Fault, folder: Path) -> Iterator[Disk]:
    if fault.kind != "disk full, a real one":
        yield Disk(None)
        return
    place = folder / "runs"
    place.mkdir(parents=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=200m", "tmpfs", str(place)], check=True)
    try:
        yield Disk(place)
    finally:
        subprocess.run(["umount", str(place)], check=True)

"""How long work tells the world how far it is, and learns that it should stop."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol


def duration(seconds: float) -> str:
    """A time in the unit that suits it: `45 s`, `12 min`, `3.5 h`."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    if seconds < 5400:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h"


class StopRequested(Exception):
    """Raised by long work after it has saved its state because `Watch.stopping()` was true."""


class Watch(Protocol):
    """Given to every long computation; implemented by the worker (and by `Silent` in tests)."""

    def report(self, done: int, total: int, unit: str, note: str = "") -> None:
        """Say that `done` of `total` `unit`s are done. Cheap: call it at every step."""

    def stopping(self) -> bool:
        """True when the work should save its state and raise `StopRequested`."""

    def record(self, values: Mapping[str, object]) -> None:
        """Be shown what a training has measured; it keeps records of its own.

        Args:
            values: "images" shown or "step" say when; numbers (None: none there) and pictures (the
                path of a PNG) by name; "phase" where there are phases.
        """


@dataclass(frozen=True)
class Share:
    """The watch of one piece of a longer work, told of the whole.

    Attributes:
        watch: the whole work's.
        before: units done before this piece.
        total: units of the whole.
        note: said in place of the piece's own, where it is not empty.
    """

    watch: Watch
    before: int
    total: int
    note: str = ""

    def report(self, done: int, total: int, unit: str, note: str = "") -> None:
        """Report the piece's units on top of those before it."""
        self.watch.report(self.before + done, self.total, unit, self.note or note)

    def stopping(self) -> bool:
        """As the whole."""
        return self.watch.stopping()

    def record(self, values: Mapping[str, object]) -> None:
        """As the whole."""
        self.watch.record(values)


class Silent:
    """A watch that shows nothing and never stops."""

    def report(self, done: int, total: int, unit: str, note: str = "") -> None:
        """Ignore the report."""

    def stopping(self) -> bool:
        """Never stop."""
        return False

    def record(self, values: Mapping[str, object]) -> None:
        """Show it to nobody."""

"""A running task's `state.json`: where it runs, how far it is, and how it ended."""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from gansfer.atomic import write_json
from gansfer.errors import UserError

_log = logging.getLogger("gansfer")

# The rate is that of the last minute: a GAN's first levels are many times as fast as its last.
_RATE_OVER_S = 60.0


@dataclass
class Heartbeat:
    """Rewrites `state.json` from a thread; implements `gansfer.progress.Watch`.

    Attributes:
        path: the file.
        every_s: seconds between two beats.
        state: what the file holds beside progress.
        stop: set by a signal that asks the task to save its state and leave.
    """

    path: Path
    every_s: float
    state: dict[str, Any]
    stop: threading.Event = field(default_factory=threading.Event)
    _ended: threading.Event = field(default_factory=threading.Event)
    _writing: threading.Lock = field(default_factory=threading.Lock)
    _started_s: float = field(default_factory=time.monotonic)
    _seen: deque[tuple[float, int]] = field(default_factory=deque)
    _now: tuple[int, int, str, str] | None = None

    def report(self, done: int, total: int, unit: str, note: str = "") -> None:
        """Remember how far the work is; the thread writes it down."""
        if self._now is None or done < self._now[0] or unit != self._now[2]:
            self._seen = deque([(time.monotonic(), done)])  # another piece of work has begun
        self._now = (done, total, unit, note)

    def stopping(self) -> bool:
        """A signal asked the task to save its state and leave."""
        return self.stop.is_set()

    def record(self, values: Mapping[str, object]) -> None:
        """What was measured is no part of the state."""

    def beat(self, **changes: Any) -> None:
        """Write the state now."""
        with self._writing:  # or the thread could put back "running" over the last state
            self.state.update(changes)
            self.state["heartbeat"] = datetime.now(UTC).isoformat(timespec="seconds")
            self.state["elapsed_s"] = round(time.monotonic() - self._started_s, 1)
            if self._now is not None:
                self.state["progress"] = self._progress(*self._now)
            write_json(self.path, self.state)

    def start(self) -> None:
        """Begin to write the state every `every_s` seconds."""
        threading.Thread(target=self._loop, daemon=True, name="heartbeat").start()

    def end(self, **changes: Any) -> None:
        """Write the last state and stop writing. Without it the task ends as it does."""
        self._ended.set()
        self._try_to_beat(**changes)

    def _loop(self) -> None:
        while not self._ended.wait(self.every_s):
            self._try_to_beat()

    def _try_to_beat(self, **changes: Any) -> None:
        try:
            self.beat(**changes)
        except (OSError, UserError) as error:  # a full disk, say: the next beat may come through
            _log.warning("%s is not up to date: %s", self.path, error)

    def _progress(self, done: int, total: int, unit: str, note: str) -> dict[str, Any]:
        now_s, seen = time.monotonic(), self._seen
        since_s, since = seen[0]
        rate = (done - since) / (now_s - since_s) if now_s > since_s else 0.0
        seen.append((now_s, done))
        while len(seen) > 2 and now_s - seen[0][0] > max(_RATE_OVER_S, 2 * self.every_s):
            seen.popleft()
        return {
            "done": done,
            "total": total,
            "unit": unit,
            "note": note,
            "per_s": round(rate, 3),
            "left_s": round((total - done) / rate, 1) if rate > 0 else None,
        }

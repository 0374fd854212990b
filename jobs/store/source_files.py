"""Which files a task has read: their sizes and times of change, to notice when one is another.

Only `stat` is asked, which costs a login node little. A file that is not there is no news: raw data
need not be mounted where later stages run.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

# Where a manifest's facts keep them.
INPUT_FILES = "input_files"
# Size in bytes, and time of the last change in nanoseconds.
Stamp = list[int]


def stamps_of(paths: Iterable[Path]) -> dict[str, Stamp]:
    """The stamp of each of the files that is there, by its absolute path."""
    found: dict[str, Stamp] = {}
    for path in paths:
        try:
            about = path.stat()
        except OSError:
            continue
        found[str(path.absolute())] = [about.st_size, about.st_mtime_ns]
    return found


def first_changed(before: Mapping[str, Stamp]) -> str | None:
    """The first of the files that is there and not as it was, or None."""
    now = stamps_of(Path(path) for path in before)
    return next((path for path, stamp in now.items() if stamp != before[path]), None)

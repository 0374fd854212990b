"""What a task has finished so far, kept aside until its products are written.

A task that is killed or preempted goes on after the last part that it kept, so it loses one.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from gansfer.atomic import replacing
from gansfer.sealed import is_intact, seal

_log = logging.getLogger(__name__)

_FOLDER = ".parts"


class Parts:
    """Arrays by the name of their part, in `.parts/<identity>` of a task's folder.

    Args:
        folder: the task's.
        identity: what the parts were made from; those of another identity are never seen.
    """

    def __init__(self, folder: Path, identity: str) -> None:
        self.folder = folder / _FOLDER / identity[:32]
        self._intact: set[str] = set()  # read and checked once, not at every look

    def has(self, name: str) -> bool:
        """The part is finished; one that was damaged since is removed, to be computed again."""
        path = self._path(name)
        if name in self._intact or not path.exists():
            return name in self._intact
        if is_intact(path):
            self._intact.add(name)
            return True
        _log.warning("%s: damaged since it was written; computing it again", path)
        path.unlink()
        return False

    def keep(self, name: str, arrays: Mapping[str, npt.NDArray]) -> None:
        """Write a finished part, whole or not at all."""
        values: dict[str, Any] = dict(arrays)  # or mypy sees them in place of numpy's own options
        with replacing(self._path(name)) as aside:
            np.savez(aside, **values)
            seal(aside)
        self._intact.add(name)

    def read(self, name: str, only: str | None = None) -> dict[str, npt.NDArray]:
        """A finished part's arrays, or `only` one of them."""
        with np.load(self._path(name), allow_pickle=False) as kept:
            return {key: kept[key] for key in kept.files if only in (None, key)}

    def drop(self, name: str) -> None:
        """Remove a part that is not needed any more."""
        self._path(name).unlink(missing_ok=True)
        self._intact.discard(name)

    def _path(self, name: str) -> Path:
        return self.folder / f"{name}.npz"


def remove_parts(folder: Path) -> None:
    """Remove all that was kept aside for a task, once its products are written."""
    for path in sorted((folder / _FOLDER).glob("**/*"), reverse=True):
        path.rmdir() if path.is_dir() else path.unlink()
    if (folder / _FOLDER).is_dir():
        (folder / _FOLDER).rmdir()

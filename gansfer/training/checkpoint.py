"""Training state on disk: two generations, read without pickle, a damaged one is passed over.

Each file ends with the digest of its content: torch does not check what it reads.

A state is a nested dict or list of tensors, numbers, strings, booleans and None. It is written
with `torch.save` and read with `weights_only=True`, which runs no code from the file.
"""

from __future__ import annotations

import logging
import time
from pathlib import Path
from typing import Any

import torch

from gansfer.atomic import replacing
from gansfer.sealed import is_intact, seal

State = dict[str, Any]
_log = logging.getLogger(__name__)


class CheckpointStore:
    """The newest two checkpoints of one training run in one folder.

    Args:
        folder: where `checkpoint-<step>.pt` files live; made when first needed.
        identity: what the state belongs to (a fingerprint of settings and inputs); a checkpoint
            of another identity is ignored, so changed settings never resume old weights.
        every_s: `due()` is true once this many seconds have passed since the last save.
    """

    def __init__(self, folder: Path, identity: str, every_s: float = 120.0) -> None:
        self.folder = folder
        self.identity = identity
        self.every_s = every_s
        self._saved_at_s = time.monotonic()

    def due(self) -> bool:
        """True when it is time to save again. Never changes what is computed, only what is kept."""
        return time.monotonic() - self._saved_at_s >= self.every_s

    def save(self, step: int, state: State) -> None:
        """Write `state` as the newest generation and drop all but two."""
        with replacing(self.folder / f"checkpoint-{step:010d}.pt") as aside:
            torch.save({"identity": self.identity, "step": step, "state": state}, aside)
            seal(aside)
        for old in self._newest_first()[2:]:
            old.unlink(missing_ok=True)
        self._saved_at_s = time.monotonic()

    def load(self) -> State | None:
        """The newest readable state of this identity, on the CPU, or None."""
        for path in self._newest_first():
            if not is_intact(path):
                _log.warning("%s: damaged since it was written; trying the one before", path)
                continue
            try:
                kept = torch.load(path, map_location="cpu", weights_only=True)
                identity, state = kept["identity"], kept["state"]
            except Exception as error:  # any damage at all: torch raises a dozen kinds
                first_line = str(error).splitlines()[0] if str(error) else type(error).__name__
                _log.warning("%s: unreadable (%s); trying the one before", path, first_line)
                continue
            if identity == self.identity:
                return state
            _log.info("%s: of other settings or inputs; ignored", path)
        return None

    def clear(self) -> None:
        """Remove every checkpoint, when the product they led to is written."""
        for path in self._newest_first():
            path.unlink(missing_ok=True)

    def _newest_first(self) -> list[Path]:
        """By time of writing, not by step: what a changed setting left may be further on."""
        found = self.folder.glob("checkpoint-*.pt")
        return sorted(found, key=lambda path: (path.stat().st_mtime_ns, path.name), reverse=True)

"""What TensorBoard shows of a training while it runs (`run.tensorboard`).

Events are for looking at: nothing reads them, no product and no fingerprint depends on them.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING

from gansfer.errors import UserError
from gansfer.progress import Watch

if TYPE_CHECKING:
    from torch.utils.tensorboard import SummaryWriter

_WHEN = ("images", "step", "phase")


def check_tensorboard() -> None:
    """Raise a UserError if the package that writes events is not installed here."""
    if importlib.util.find_spec("tensorboard") is None:
        raise UserError(
            "run.tensorboard: the package tensorboard is not installed here; install it with "
            "pip install -c constraints.txt '.[tensorboard]', or set run.tensorboard to false"
        )


class LiveEvents:
    """A watch that also writes what it is shown as events, as soon as it is shown it."""

    def __init__(self, watch: Watch, folder: Path) -> None:
        """Wrap `watch`; write to `folder`, phases to folders of their own in it.

        Raises:
            UserError: tensorboard is not installed.
        """
        check_tensorboard()
        self._watch = watch
        self._folder = folder
        self._writers: dict[object, SummaryWriter] = {}

    def __enter__(self) -> LiveEvents:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for writer in self._writers.values():
            writer.close()

    def report(self, done: int, total: int, unit: str, note: str = "") -> None:
        """As the wrapped one."""
        self._watch.report(done, total, unit, note)

    def stopping(self) -> bool:
        """As the wrapped one."""
        return self._watch.stopping()

    def record(self, values: Mapping[str, object]) -> None:
        """Write numbers as curves over images shown or steps, and pictures as they are."""
        self._watch.record(values)
        when = int(str(values["images" if "images" in values else "step"]))
        writer = self._writer(values.get("phase"), when)
        for name, value in values.items():
            if name in _WHEN:
                continue
            if isinstance(value, Path):
                writer.add_image(name, _pixels(value), when, dataformats="HWC")
            elif isinstance(value, int | float):
                writer.add_scalar(name, value, when)
        writer.flush()

    def _writer(self, phase: object, when: int) -> SummaryWriter:
        """The phase's writer; what an attempt before this one wrote from here on is void."""
        if phase not in self._writers:
            from torch.utils.tensorboard import SummaryWriter  # with it comes torch: when needed

            folder = self._folder if phase is None else self._folder / f"phase-{phase}"
            self._writers[phase] = SummaryWriter(str(folder), purge_step=when)
        return self._writers[phase]


def _pixels(path: Path) -> object:
    import numpy as np
    from PIL import Image as Pillow

    with Pillow.open(path) as picture:
        return np.asarray(picture.convert("RGB"))

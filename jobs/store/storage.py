"""The only file that knows paths: where each task's products lie, and whether they are complete.

A task is done when its manifest is there, was written for today's settings, and names the
products of the needed tasks as they are now. The manifest is written last, atomically.
"""

from __future__ import annotations

import errno
import json
from pathlib import Path
from typing import Any

from gansfer.atomic import write_json
from jobs.experiment.model import Experiment
from jobs.experiment.plan import Task

_STALE_TRIES = 5

_FOLDERS = {
    "prepare": "cohort",
    "train_gan": "gan",
    "synthesise": "synthetic",
    "train_segmenter": "segmenter",
    "propagate": "propagated",
    "segment_cohort": "segmented",
    "aggregate": "report",
}


class Storage:
    """The folder of one experiment: `<storage>/<name>/`."""

    def __init__(self, experiment: Experiment) -> None:
        self.root = Path(experiment.storage).expanduser().absolute() / experiment.name

    @property
    def experiment_file(self) -> Path:
        """The resolved experiment, every default spelled out."""
        return self.root / "experiment.yaml"

    @property
    def cohort(self) -> Path:
        """Folder of `subjects.csv` and the shards."""
        return self.root / "cohort"

    @property
    def report(self) -> Path:
        """Folder of the report; its page is `index.html`."""
        return self.root / "report"

    @property
    def submissions(self) -> Path:
        """Folder of submitit's files and the ledger of job ids."""
        return self.root / "slurm"

    @property
    def image_record(self) -> Path:
        """Digest of the container image used last, and by what to know that it is still that."""
        return self.root / "image.json"

    def folder(self, task: Task) -> Path:
        """Folder of all the task's products."""
        return self.root.joinpath(_FOLDERS[task.stage], *task.cell.parts)

    def phase(self, task: Task, phase: int) -> Path:
        """Folder of one GAN phase of a `train_gan` task."""
        return self.folder(task) / f"phase-{phase}"

    def synthetic(self, task: Task, phase: int) -> Path:
        """A `synthesise` task's slices of one phase."""
        return self.folder(task) / f"phase-{phase}.h5"

    def manifest(self, task: Task) -> Path:
        """Written last: with it, the task is done."""
        return self.folder(task) / "manifest.json"

    def state(self, task: Task) -> Path:
        """Heartbeat, progress and the reason of a failure."""
        return self.folder(task) / "state.json"

    def log(self, task: Task) -> Path:
        """Messages of the task's attempts, tracebacks included."""
        return self.folder(task) / "task.log"

    def claim(self, task: Task) -> Path:
        """Says which process works on the task (claim.py adds a number to the name)."""
        return self.folder(task) / ".claim"

    def read_manifest(self, task: Task) -> dict[str, Any] | None:
        """The task's manifest, or None where there is none that can be read."""
        return _read_json(self.manifest(task))

    def read_state(self, task: Task) -> dict[str, Any] | None:
        """The task's last heartbeat, or None."""
        return _read_json(self.state(task))

    def write_manifest(self, task: Task, manifest: dict[str, Any]) -> None:
        """Declare the task done."""
        write_json(self.manifest(task), manifest)


def _read_json(path: Path) -> dict[str, Any] | None:
    for _ in range(_STALE_TRIES):
        try:
            value = json.loads(path.read_text(encoding="utf-8"))
        except (FileNotFoundError, NotADirectoryError, json.JSONDecodeError):
            return None
        except OSError as error:
            if error.errno != errno.ESTALE:
                raise
            continue  # NFS: replaced since it was opened; opened anew, it is the new one
        return value if isinstance(value, dict) else None
    return None

"""The folder of an experiment: where each task's folder lies in it, and its manifest and state.

The names of the files in a task's folder are in task_files.py.
"""

from __future__ import annotations

import errno
import hashlib
import json
from pathlib import Path
from typing import Any

from gansfer.atomic import write_json
from jobs.experiment.model import Experiment
from jobs.experiment.plan import Task
from jobs.store.task_files import TaskFiles

EXPERIMENT_FILE = "experiment.yaml"
_STALE_TRIES = 5
_OWN_DIGEST = "manifest_digest"
_MANIFEST_KEYS = ("task", "fingerprint", "settings", "inputs", "products", "digest")

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
        return self.root / EXPERIMENT_FILE

    @property
    def cohort(self) -> Path:
        """Folder of `subjects.csv` and the shards."""
        return self.root / _FOLDERS["prepare"]

    @property
    def report(self) -> TaskFiles:
        """The report's page and tables."""
        return TaskFiles(self.root / _FOLDERS["aggregate"])

    @property
    def submissions(self) -> Path:
        """Folder of submitit's files and the ledger of job ids."""
        return self.root / "slurm"

    @property
    def image_record(self) -> Path:
        """Digest of the container image used last, and by what to know that it is still that."""
        return self.root / "image.json"

    @property
    def machines(self) -> Path:
        """Folder of what `gansfer bench` has measured; all experiments of a storage share it."""
        return self.root.parent / "machines"

    def folder(self, task: Task) -> Path:
        """Folder of all the task's products."""
        return self.root.joinpath(_FOLDERS[task.stage], *task.cell.parts)

    def files(self, task: Task) -> TaskFiles:
        """Every file that the task leaves."""
        return TaskFiles(self.folder(task))

    def events(self, task: Task) -> Path:
        """Folder of what TensorBoard shows of the task."""
        return self.root.joinpath("tensorboard", _FOLDERS[task.stage], *task.cell.parts)

    def read_manifest(self, task: Task) -> dict[str, Any] | None:
        """The task's manifest, or None where there is none that is whole."""
        manifest = _read_json(self.files(task).manifest)
        return manifest if manifest is not None and _is_whole(manifest) else None

    def digest(self, task: Task) -> str:
        """Digest of a finished task's products, as they are now."""
        manifest = self.read_manifest(task)
        assert manifest is not None, f"{task.id} was done when the task that reads it began"
        return str(manifest["digest"])

    def read_state(self, task: Task) -> dict[str, Any] | None:
        """The task's last heartbeat, or None; it is news, and a storage that fails has none."""
        try:
            return _read_json(self.files(task).state)
        except PermissionError:
            raise
        except OSError:
            return None

    def write_manifest(self, task: Task, manifest: dict[str, Any]) -> None:
        """Declare the task done. The manifest carries its own digest."""
        write_json(self.files(task).manifest, manifest | {_OWN_DIGEST: _digest_of(manifest)})


def _is_whole(manifest: dict[str, Any]) -> bool:
    """Whether it is as it was written; those of an earlier version carry no digest."""
    if _OWN_DIGEST in manifest:
        return bool(manifest[_OWN_DIGEST] == _digest_of(manifest))
    return all(key in manifest for key in _MANIFEST_KEYS)


def _digest_of(manifest: dict[str, Any]) -> str:
    rest = {key: value for key, value in manifest.items() if key != _OWN_DIGEST}
    return hashlib.sha256(json.dumps(rest, sort_keys=True).encode()).hexdigest()


def _read_json(path: Path) -> dict[str, Any] | None:
    for _ in range(_STALE_TRIES):
        try:
            value = json.loads(path.read_text(encoding="utf-8"))
        except (FileNotFoundError, NotADirectoryError, ValueError):  # no JSON, or no UTF-8
            return None
        except OSError as error:
            if error.errno != errno.ESTALE:
                raise
            continue  # NFS: replaced since it was opened; opened anew, it is the new one
        return value if isinstance(value, dict) else None
    return None

"""The only file that knows paths: where each task's products lie, and whether they are complete.

A task is done when its manifest is there, was written for today's settings, and names the
products of the needed tasks as they are now. The manifest is written last, atomically.
"""

from __future__ import annotations

import errno
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from gansfer.atomic import write_json
from jobs.input_files import INPUT_FILES, first_changed
from jobs.plan import Plan, Task
from jobs.spec import Experiment

ProductState = Literal["done", "stale", "missing"]

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


@dataclass(frozen=True)
class Finding:
    """What the products say of a task, and why it is not done."""

    state: ProductState
    why: str = ""


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


class Ledger:
    """One look at the products of a plan: each manifest is read once.

    Args:
        plan: the tasks.
        storage: where their products are.
        sources: whether a changed source file makes `prepare` stale. It does where work is planned;
            a task that runs, and the report, take the shards as they are.
    """

    def __init__(self, plan: Plan, storage: Storage, *, sources: bool = False) -> None:
        self.plan = plan
        self.storage = storage
        self._sources = sources
        self._findings: dict[str, Finding] = {}
        self._manifests: dict[str, dict[str, Any] | None] = {}

    def manifest(self, task: Task) -> dict[str, Any] | None:
        """The task's manifest as it was at the first look."""
        if task.id not in self._manifests:
            self._manifests[task.id] = self.storage.read_manifest(task)
        return self._manifests[task.id]

    def finding(self, task: Task) -> Finding:
        """Whether the task is done; stale or missing with the reason."""
        if task.id not in self._findings:
            self._findings[task.id] = self._look(task)
        return self._findings[task.id]

    def done(self, task: Task) -> bool:
        """The task's products are complete and of today's settings."""
        return self.finding(task).state == "done"

    def forget(self, task: Task) -> None:
        """Look again at the task and at those that follow from it."""
        self._manifests.pop(task.id, None)
        self._findings.clear()

    def missing_needs(self, task: Task) -> list[str]:
        """Ids of the needed tasks that are not done."""
        return [need for need in task.needs if not self.done(self.plan.by_id[need])]

    def input_digests(self, task: Task) -> dict[str, str]:
        """Digest of the products of each needed task that has any."""
        found = {need: self.manifest(self.plan.by_id[need]) for need in task.needs}
        return {need: kept["digest"] for need, kept in found.items() if kept is not None}

    def _look(self, task: Task) -> Finding:
        manifest = self.manifest(task)
        if manifest is None:
            return Finding("missing")
        folder = self.storage.folder(task)
        absent = [folder / name for name in manifest["products"] if not (folder / name).exists()]
        if absent:
            return Finding("stale", f"{absent[0].name} is gone")
        if manifest["fingerprint"] != task.fingerprint:
            return Finding("stale", self._why_other_fingerprint(task, manifest))
        if manifest["inputs"] != self.input_digests(task):
            return Finding("stale", self._why_other_inputs(task, manifest))
        read = manifest.get("facts", {}).get(INPUT_FILES, {})
        changed = first_changed(read) if self._sources else None
        if changed is not None:
            return Finding("stale", f"{changed} was changed after it was read")
        for need in task.needs:
            if task.stage != "aggregate" and not self.done(self.plan.by_id[need]):
                return Finding("stale", f"needs {need}, which is not done")
        return Finding("done")

    def _why_other_fingerprint(self, task: Task, manifest: dict[str, Any]) -> str:
        before, now = _flat(manifest["settings"]), _flat(task.settings)
        changed = [
            f"{key} was {before.get(key, 'unset')}, is {now.get(key, 'unset')}"
            for key in [*now, *(key for key in before if key not in now)]
            if before.get(key) != now.get(key)
        ]
        if changed:
            more = f" (and {len(changed) - 1} more)" if len(changed) > 1 else ""
            return changed[0] + more
        others = [need for need in task.needs if not self.done(self.plan.by_id[need])]
        if others:
            return f"needs {others[0]}, which is {self.finding(self.plan.by_id[others[0]]).state}"
        return "its needed tasks are others, or were remade with other settings"

    def _why_other_inputs(self, task: Task, manifest: dict[str, Any]) -> str:
        now = self.input_digests(task)
        for need in (*now, *manifest["inputs"]):
            if now.get(need) != manifest["inputs"].get(need):
                return f"{need} was remade or is gone"
        return "inputs changed"


def _flat(value: Any, prefix: str = "") -> dict[str, Any]:
    if not isinstance(value, dict) or not value:
        return {prefix: value}
    flat: dict[str, Any] = {}
    for key, item in value.items():
        flat |= _flat(item, f"{prefix}.{key}" if prefix else str(key))
    return flat


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

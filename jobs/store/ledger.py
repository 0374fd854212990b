"""Which tasks are done: their products are complete, and of the current settings and inputs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from jobs.experiment.plan import Plan, Task
from jobs.store.source_files import INPUT_FILES, first_changed
from jobs.store.storage import Storage

ProductState = Literal["done", "stale", "missing"]


@dataclass(frozen=True)
class Finding:
    """What the products say of a task, and why it is not done."""

    state: ProductState
    why: str = ""


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
        """The task's products are complete and of the current settings."""
        return self.finding(task).state == "done"

    def set_damaged(self, task: Task) -> None:
        """Count a task as not done, for one of its products is not as it was written."""
        self._findings[task.id] = Finding("stale", "a product was damaged since it was written")

    def forget(self, task: Task) -> None:
        """Look again at the task and at those that follow from it."""
        self._manifests.pop(task.id, None)
        self._findings.clear()

    def missing_needs(self, task: Task) -> list[str]:
        """Ids of the needed tasks that are not done."""
        return [need for need in task.needs if not self.done(self.plan.by_id[need])]

    def input_digests(self, task: Task) -> dict[str, str]:
        """Digest of the products of each needed task that has any.

        A report leaves out what is not done, so only what is done went into it. Else one made while
        a stale task waited for its inputs would count as complete once these are there again.
        """
        found = {need: self.manifest(self.plan.by_id[need]) for need in task.needs}
        return {
            need: kept["digest"]
            for need, kept in found.items()
            if kept is not None and (task.stage != "aggregate" or self.done(self.plan.by_id[need]))
        }

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

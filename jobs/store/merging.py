"""Take into one run folder what another has done of the same experiment: whole products only."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import dataclass

from gansfer.atomic import replacing
from gansfer.errors import UserError
from jobs.experiment.plan import Plan, Task
from jobs.store.integrity import damaged_product
from jobs.store.ledger import Ledger
from jobs.store.lock import locked
from jobs.store.storage import Storage

_MOST_SHOWN = 3


@dataclass(frozen=True)
class Merge:
    """What is to be taken.

    Attributes:
        taken: tasks in the plan's order; what each reads is there already or taken before it.
        there: how many tasks are done in the folder that takes.
        left: id of each task that only the other has done -> why it is not taken.
    """

    taken: tuple[Task, ...]
    there: int
    left: dict[str, str]


def what_to_merge(plan: Plan, into: Storage, source: Storage) -> Merge:
    """Compare two run folders; nothing is written. The report is not taken: it is made anew.

    Args:
        plan: of the experiment in `into`; what was done with other settings is not taken.
        into: the folder that takes.
        source: the folder that gives.

    Raises:
        UserError: both are one folder, or both have done a task and their products differ.
    """
    if source.root.resolve() == into.root.resolve():
        raise UserError(f"{source.root}: both are this folder; give two")
    ours = Ledger(plan, into, sources=True)
    digests: dict[str, str] = {}  # as they will be
    taken: list[Task] = []
    conflicts: list[str] = []
    left: dict[str, str] = {}
    for task in plan.tasks:
        own = ours.manifest(task) if ours.done(task) else None
        other = source.read_manifest(task) if task.stage != "aggregate" else None
        current = other is not None and other["fingerprint"] == task.fingerprint
        if own is not None:
            digests[task.id] = own["digest"]
            if other is not None and current and other["digest"] != own["digest"]:
                conflicts.append(task.id)
            continue
        if other is None:
            continue
        if not current:
            left[task.id] = "was done with other settings"
        elif other["inputs"] != {need: digests.get(need) for need in task.needs}:
            left[task.id] = "was made of other products than are here"
        elif (name := damaged_product(source.folder(task), other)) is not None:
            left[task.id] = f"{name} is gone, or not as it was written"
        else:
            digests[task.id] = other["digest"]
            taken.append(task)
    if conflicts:
        shown = ", ".join(conflicts[:_MOST_SHOWN])
        more = f" and {len(conflicts) - _MOST_SHOWN} more" if len(conflicts) > _MOST_SHOWN else ""
        raise UserError(
            f"{source.root}: both folders have done {shown}{more}, with other results; nothing is "
            "merged: remove these tasks' folders in one of them, and run again what follows"
        )
    there = sum(ours.done(task) for task in plan.tasks)
    return Merge(tuple(taken), there, left)


def take(merge: Merge, into: Storage, source: Storage) -> Iterator[Task]:
    """Copy the tasks' folders one by one; each is done once its manifest is there, as ever.

    Yields:
        Each task that was copied.

    Raises:
        UserError: a process works on one of them, or there is no room.
    """
    for task in merge.taken:
        files, folder = into.files(task), source.folder(task)
        files.folder.mkdir(parents=True, exist_ok=True)
        with locked(files.lock) as other:
            if other is not None:
                raise UserError(
                    f"{task.id}: another works on it: {other}; merge again when that has ended"
                )
            files.manifest.unlink(missing_ok=True)
            manifest = source.files(task).manifest
            others = (path for path in sorted(folder.rglob("*")) if path != manifest)
            for path in (*others, manifest):
                name = path.relative_to(folder)
                # Hidden are locks, and what a killed writer has left.
                if path.is_file() and not any(part.startswith(".") for part in name.parts):
                    with replacing(files.folder / name) as aside:
                        shutil.copyfile(path, aside)
        yield task

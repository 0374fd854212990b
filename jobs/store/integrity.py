"""Whether products are still as their manifests say: one door for all that read them.

A product is checked when a task takes it as its input, not at every access: each is read once
more, which takes a fraction of what the task does with it.
"""

from __future__ import annotations

import logging
from collections.abc import Collection, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from gansfer.cohort.table import TABLE_NAME
from jobs.experiment.plan import Task
from jobs.experiment.resources import StageName
from jobs.store.manifest import digest_files, file_digests
from jobs.store.storage import Storage
from jobs.store.task_files import TaskFiles

_log = logging.getLogger("gansfer")


def damaged_product(
    folder: Path, manifest: Mapping[str, Any], only: Collection[str] | None = None
) -> str | None:
    """Name of the first product that is not what the manifest says; None: all are.

    Args:
        folder: the task's.
        manifest: the task's; one of an earlier version has no digest of each file.
        only: names of those to look at; None: all.
    """
    names = [name for name in manifest["products"] if only is None or name in only]
    files = manifest.get("files")
    if not names:
        return None
    try:
        if files is None:
            whole = tuple(manifest["products"])
            return None if digest_files(folder, whole) == manifest["digest"] else names[0]
        found = file_digests(folder, names)
    except OSError as error:
        return Path(error.filename or names[0]).name
    return next((name for name in names if found[name] != files[name]), None)


def products_read(files: TaskFiles, task: Task, reader: StageName) -> tuple[str, ...] | None:
    """Names of a task's products that a task of stage `reader` reads; None: all of them.

    The report reads numbers, not images: to hash every shard for it would take longer than it.
    """
    if reader != "aggregate":
        return None
    if task.stage == "prepare":
        return (TABLE_NAME,)
    return files.relative(files.metrics) if task.cell.arm is not None else ()


def withdraw_damaged(
    storage: Storage, task: Task, only: Collection[str] | None = None
) -> str | None:
    """Check the products of a done task; where one is damaged, it is not done any more.

    Its manifest is kept under another name, to be looked at.

    Args:
        storage: where it is.
        task: done when it was last looked at; its products are about to be read.
        only: names of those that are; None: all.

    Returns:
        Why they must not be read, as a phrase that ends in what to do: one is damaged, or another
        reader has found one so. None: they are as they were written.
    """
    again = f"{task.id} has to be run again, as gansfer run and gansfer submit do"
    manifest = storage.read_manifest(task)
    if manifest is None:
        return f"{task.id} is not done any more, perhaps for a damaged product: {again}"
    name = damaged_product(storage.folder(task), manifest, only)
    if name is None:
        return None
    if storage.read_manifest(task) != manifest:  # run again meanwhile: its files are others now
        return withdraw_damaged(storage, task, only)
    files = storage.files(task)
    with suppress(FileNotFoundError):  # another task has seen it too
        files.manifest.replace(files.withdrawn_manifest)
    said = f"{storage.folder(task) / name} was damaged since it was written: {again}"
    _log.warning("%s", said)
    return said

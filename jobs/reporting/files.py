"""What the GANs leave for the report beside results: pictures, and measures of their slices."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from gansfer.gan_settings import PHASES
from gansfer.report.page.pictures import Picture
from jobs.experiment.plan import Plan, Task
from jobs.store.ledger import Ledger
from jobs.store.manifest import file_digests
from jobs.store.storage import Storage
from jobs.store.task_files import PICTURES_OF_A_PHASE, PICTURES_OF_SLICES

_log = logging.getLogger("gansfer")

_COLUMNS = ["seed", "fold", "labels", "group", "phase", "kind", "file", "path", "there"]


def planned_files(plan: Plan, storage: Storage, ledger: Ledger) -> pd.DataFrame:
    """Every file that the report shows of a GAN, and whether it is there.

    They are no products, so a task can be done without them: nothing else would miss them.

    Returns:
        Columns seed, fold, labels, group, phase (missing where it is of all), kind, file (name in
        the task's folder), path, there (whole, and the task is done).
    """
    rows = []
    for task in plan.tasks:
        cell, done = task.cell, ledger.done(task)
        for phase, kind, path in _files_of(task, storage, ledger):
            name = str(path.relative_to(storage.folder(task)))
            there = done and path.exists() and not _is_damaged(path, name, ledger.manifest(task))
            place = (cell.seed, cell.fold, cell.labels, cell.group)
            rows.append((*place, phase, kind, name, path, there))
    return pd.DataFrame(rows, columns=_COLUMNS).astype({"phase": "Int64", "there": bool})


def pictures_of(files: pd.DataFrame) -> list[Picture]:
    """The pictures among `planned_files` that are there."""
    shown = files[files["there"] & (files["kind"] != "quality")]
    return [
        Picture(
            row["kind"],
            row["path"],
            row["seed"],
            row["fold"],
            row["labels"],
            row["group"],
            None if pd.isna(row["phase"]) else int(row["phase"]),
        )
        for row in shown.to_dict("records")
    ]


def quality_of(files: pd.DataFrame) -> pd.DataFrame:
    """All `quality.csv` among `planned_files` as one table, with the cell."""
    tables_there = files[files["there"] & (files["kind"] == "quality")]
    tables = [
        pd.read_csv(row["path"]).assign(
            **{name: row[name] for name in ("seed", "fold", "labels", "group")}
        )
        for row in tables_there.to_dict("records")
    ]
    return pd.concat(tables) if tables else pd.DataFrame()


def _is_damaged(path: Path, name: str, manifest: Mapping[str, Any] | None) -> bool:
    """It is not as it was written; one of an earlier version has no digest and is taken as it is.

    Nothing is computed again for a picture: it is left out and told.
    """
    written = (manifest or {}).get("shown", {}).get(name)
    if written is None or file_digests(path.parent, (path.name,))[path.name] == written:
        return False
    _log.warning(
        "%s was damaged since it was written and is left out; gansfer pictures draws and measures "
        "synthetic slices again",
        path,
    )
    return True


def _files_of(
    task: Task, storage: Storage, ledger: Ledger
) -> Iterator[tuple[int | None, str, Path]]:
    """Phase, kind and path of each file that the task is to leave for the report."""
    files = storage.files(task)
    if task.stage == "train_gan":
        for phase in PHASES:
            for kind in PICTURES_OF_A_PHASE:
                yield phase, kind, files.phase(phase).picture(kind)
    if task.stage == "synthesise":
        for kind in PICTURES_OF_SLICES:
            if kind != "rejected" or _rejects(task, ledger):
                yield None, kind, files.picture(kind)
        yield None, "quality", files.quality


def _rejects(task: Task, ledger: Ledger) -> bool:
    """Whether the filter removes any slice; one that keeps all has nothing to show."""
    facts = (ledger.manifest(task) or {}).get("facts", {}).get(f"phase_{PHASES[-1]}")
    return facts is None or int(facts["kept"]) < int(facts["slices"])

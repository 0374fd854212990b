"""Checks before anything runs: that files are there, and that the machine is large enough."""

from __future__ import annotations

import os
from pathlib import Path

from gansfer.errors import UserError
from jobs.local import usable_cores
from jobs.memory import task_memory_gb
from jobs.spec import (
    ChallengeLabels,
    Experiment,
    FolderReferences,
    OasisImages,
)


def check_sources(experiment: Experiment) -> None:
    """Raise one UserError that lists everything that is not where the cohort section says."""
    cohort = experiment.cohort
    wanted: list[tuple[str, str, bool]] = []
    if isinstance(cohort.images, OasisImages):
        wanted.append(("cohort.images.discs", cohort.images.discs, True))
        wanted.append(("cohort.images.table", cohort.images.table, False))
    if isinstance(cohort.labels, ChallengeLabels):
        wanted.append(("cohort.labels.folder", cohort.labels.folder, True))
    if isinstance(cohort.references, FolderReferences):
        wanted.append(("cohort.references.folder", cohort.references.folder, True))
    lines = []
    for key, text, is_folder in wanted:
        path = Path(text)
        kind = "folder" if is_folder else "file"
        if not (path.is_dir() if is_folder else path.is_file()):
            lines.append(f"{key}: {path} is not a {kind}; set it to where the data are")
    if lines:
        raise UserError("\n".join(lines))


def check_machine(experiment: Experiment, workers: int | None) -> None:
    """Raise a UserError if the largest tasks, side by side, need more memory than there is."""
    n_workers = workers or usable_cores()
    needed_gb = max(task_memory_gb(experiment).values()) * n_workers
    there_gb = _memory_gb()
    if there_gb is not None and needed_gb > there_gb:
        raise UserError(
            f"{experiment.name}: {n_workers} tasks side by side need about {needed_gb:.1f} GiB, "
            f"this machine has {there_gb:.1f} GiB; give --workers a smaller number, make the "
            "minibatches smaller, or submit to a cluster"
        )


def _memory_gb() -> float | None:
    """Memory of this machine or, where it is less, of its control group."""
    try:
        total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (ValueError, OSError):
        return None
    for name in ("memory.max", "memory/memory.limit_in_bytes"):
        limit = Path("/sys/fs/cgroup") / name
        try:
            total = min(total, int(limit.read_text()))
        except (OSError, ValueError):
            continue  # no such control group here, or "max": no limit
    return total / 2**30

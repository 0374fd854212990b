"""Shards on the node's own disk: shared by the tasks that run there, removed by the last of them.

Each task checks the copy before it reads: a disk that others use may lose or garble files. That
takes about as long as reading them, and a copy that differs is made again. Images of people do not
stay on a node: a copy that a killed task has left goes with the next task that uses it.
"""

from __future__ import annotations

import fcntl
import logging
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from multiprocessing.util import Finalize
from pathlib import Path
from typing import IO

from jobs.experiment.plan import Plan
from jobs.store.manifest import digest_files
from jobs.store.storage import Storage

_log = logging.getLogger(__name__)


def cohort_folder(plan: Plan, storage: Storage) -> Path:
    """The folder to read the shards from: a local copy in a SLURM job that asks for one.

    The copy goes to `$SLURM_TMPDIR`, `$TMPDIR` or /tmp, whichever is set first, under the name of
    its content. Where there is no room for it, the shards are read where they are.
    """
    if not plan.experiment.cluster.stage_to_scratch or "SLURM_JOB_ID" not in os.environ:
        return storage.cohort
    manifest = storage.read_manifest(plan.by_id["prepare"])
    assert manifest is not None, "prepare was done when this task began"
    scratch = Path(os.environ.get("SLURM_TMPDIR") or os.environ.get("TMPDIR") or "/tmp")
    try:
        return _copied(
            storage.cohort,
            scratch / f"gansfer-{os.getuid()}",
            tuple(manifest["products"]),
            str(manifest["digest"]),
        )
    except OSError as error:
        _log.warning("shards are not staged to %s (%s); reading %s", scratch, error, storage.cohort)
        return storage.cohort


def _copied(source: Path, shared: Path, names: tuple[str, ...], digest: str) -> Path:
    """Copy the files, unless a task before has, and use the copy until this process ends.

    Raises:
        OSError: no room, or what arrived is not what was sent.
    """
    shared.mkdir(mode=0o700, parents=True, exist_ok=True)
    if shared.stat().st_uid != os.getuid():
        raise OSError(f"{shared} belongs to another user")
    staged = shared / digest[:16]
    with _alone(staged):
        if not _is_whole(staged, names, digest):
            _copy(source, staged, names, digest)
        users = staged.with_suffix(".users").open("a")
        fcntl.flock(users, fcntl.LOCK_SH)
    # Not by atexit: the workers of a local run end without it.
    Finalize(None, _leave, (staged, users), exitpriority=0)
    return staged


@contextmanager
def _alone(staged: Path) -> Iterator[None]:
    """Others on the node wait here while one checks, copies or removes."""
    with staged.with_suffix(".lock").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _is_whole(folder: Path, names: tuple[str, ...], digest: str) -> bool:
    try:
        return digest_files(folder, names) == digest
    except OSError:
        return False


def _copy(source: Path, staged: Path, names: tuple[str, ...], digest: str) -> None:
    """Put each file in its place whole: a task that is reading a damaged copy is not disturbed."""
    aside = staged.with_suffix(".part")
    shutil.rmtree(aside, ignore_errors=True)  # of a task that was killed here
    aside.mkdir()
    try:
        for name in names:
            shutil.copyfile(source / name, aside / name)
        if digest_files(aside, names) != digest:
            raise OSError(f"the copy of {source} differs from its manifest")
        staged.mkdir(exist_ok=True)
        for name in names:
            (aside / name).replace(staged / name)
    finally:
        shutil.rmtree(aside, ignore_errors=True)


def _leave(staged: Path, users: IO[str]) -> None:
    """Remove the copy, unless another task uses it."""
    with suppress(OSError), _alone(staged):
        fcntl.flock(users, fcntl.LOCK_EX | fcntl.LOCK_NB)  # refused while anybody else reads
        shutil.rmtree(staged, ignore_errors=True)
    users.close()

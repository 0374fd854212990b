"""Shards on the node's own disk: copied once, checked, shared by the tasks that run there."""

from __future__ import annotations

import fcntl
import logging
import os
import shutil
import tempfile
from pathlib import Path

from jobs.manifest import digest_files
from jobs.plan import Plan
from jobs.storage import Storage

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
    """Copy the files, unless a task before has; a copy appears complete or not at all.

    Raises:
        OSError: no room, or what arrived is not what was sent.
    """
    shared.mkdir(mode=0o700, parents=True, exist_ok=True)
    if shared.stat().st_uid != os.getuid():
        raise OSError(f"{shared} belongs to another user")
    staged = shared / digest[:16]
    with (shared / f"{digest[:16]}.lock").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # others on the node wait here for the first to copy
        if staged.is_dir():
            return staged
        with tempfile.TemporaryDirectory(dir=shared) as aside:
            copy = Path(aside) / "cohort"
            copy.mkdir()
            for name in names:
                shutil.copyfile(source / name, copy / name)
            if digest_files(copy, names) != digest:
                raise OSError(f"the copy of {source} differs from its manifest")
            copy.rename(staged)
    return staged

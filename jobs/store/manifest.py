"""What a finished task says of itself: settings, inputs, versions, host, time and memory."""

from __future__ import annotations

import hashlib
import os
import platform
import resource
import subprocess
import sys
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any

import gansfer
from jobs.experiment.plan import Task

_PACKAGES = (
    "torch",
    "numpy",
    "scipy",
    "scikit-image",
    "scikit-learn",
    "h5py",
    "SimpleITK",
    "antspyx",
)


def build_manifest(
    task: Task,
    folder: Path,
    products: tuple[str, ...],
    inputs: dict[str, str],
    *,
    attempts: int,
    wall_s: float,
    device: str,
    image: str | None,
    facts: dict[str, Any],
    shown: tuple[str, ...] = (),
) -> dict[str, Any]:
    """The manifest of a task whose products are written.

    Args:
        task: what was done.
        folder: the task's folder.
        products: its files, relative to the folder; the content of each is hashed into `files`,
            that of all into `digest`.
        inputs: digest of each needed task's products, as they were read.
        attempts: how often the task was started, this one included.
        wall_s: seconds of this attempt.
        device: what computed, such as `cpu`.
        image: digest of the container image that it ran in.
        facts: what the stage wants to be on record, such as subjects and seeds.
        shown: files that the report shows; each has its digest in `shown`.
    """
    files = file_digests(folder, products)
    peak_kib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return {
        "task": task.id,
        "fingerprint": task.fingerprint,
        "settings": task.settings,
        "inputs": inputs,
        "products": list(products),
        "files": files,
        "digest": combined_digest(files),
        "shown": file_digests(folder, shown),
        "version": gansfer.__version__,
        "git_revision": git_revision(),
        "image_digest": image,
        "python": platform.python_version(),
        "packages": _versions(),
        "host": platform.node(),
        "device": device,
        "slurm_job": slurm_job_id(),
        "attempts": attempts,
        "finished": datetime.now(UTC).isoformat(timespec="seconds"),
        "wall_s": round(wall_s, 2),
        "peak_memory_mb": round(peak_kib / (1024 * 1024 if sys.platform == "darwin" else 1024)),
        "facts": facts,
    }


def slurm_job_id() -> str | None:
    """`123_4` for an array's element, `123` for a plain job, None outside SLURM."""
    array = os.environ.get("SLURM_ARRAY_JOB_ID")
    if array is None:
        return os.environ.get("SLURM_JOB_ID")
    return f"{array}_{os.environ['SLURM_ARRAY_TASK_ID']}"


def file_digests(folder: Path, names: Sequence[str]) -> dict[str, str]:
    """SHA-256 of the content of each file in `folder`, by its name."""
    found = {}
    for name in names:
        with (folder / name).open("rb") as content:
            found[name] = hashlib.file_digest(content, "sha256").hexdigest()
    return found


def combined_digest(files: Mapping[str, str]) -> str:
    """One SHA-256 over the names and digests of files, in the given order."""
    total = hashlib.sha256()
    for name, digest in files.items():
        total.update(name.encode() + b"\0")
        total.update(bytes.fromhex(digest))
    return total.hexdigest()


def digest_files(folder: Path, names: Sequence[str]) -> str:
    """SHA-256 over the names and contents of files in `folder`, in the given order."""
    return combined_digest(file_digests(folder, names))


def git_revision() -> str | None:
    """Revision of the checkout that runs, or the one baked into the image, or None."""
    baked = os.environ.get("GANSFER_REVISION")
    if baked:
        return baked
    folder = Path(__file__).resolve().parent
    try:
        asked = subprocess.run(
            ["git", "-C", str(folder), "describe", "--always", "--dirty", "--abbrev=12"],
            capture_output=True,
            text=True,
            timeout=10,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return asked.stdout.strip() or None if asked.returncode == 0 else None


def _versions() -> dict[str, str]:
    found: dict[str, str] = {}
    for name in _PACKAGES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found

"""How a task is run inside an Apptainer image: which folders it sees, and which image it is."""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path

from gansfer.atomic import write_json
from gansfer.errors import UserError
from jobs.spec import Experiment
from jobs.storage import Storage


def container_command(experiment: Experiment, storage: Storage) -> list[str] | None:
    """The command that runs the image's python, or None without a container.

    The image stays read-only. Storage is bound at its own path (the submission files name it), the
    cohort's folders too, for reading; the home folder is not there.

    Raises:
        UserError: there is no such image.
    """
    settings = experiment.cluster.container
    if settings.image is None:
        return None
    image = Path(settings.image).expanduser().absolute()
    if not image.exists():
        raise UserError(
            f"cluster.container.image: {image} is not there; build it (README, The image), or "
            "set image to null to run without a container"
        )
    read = source_paths(experiment)
    if image.is_file():  # and not a sandbox
        _digest(image, storage)  # remembered, so that no task has to read gigabytes for it
        # A task looks at the file, to say which image it ran in; Apptainer names it without links.
        read += sorted({image, image.resolve()})
    sources = [f"{path}:{path}:ro" for path in read]
    binds = [f"{storage.root}:{storage.root}", *sources, *settings.binds]
    return [
        settings.command,
        "exec",
        *(["--nv"] if settings.nv else []),
        "--no-home",
        *(part for bind in binds for part in ("--bind", bind)),
        "--pwd",
        str(storage.root),
        *settings.options,
        str(image),
        "python",
    ]


def source_paths(experiment: Experiment) -> list[Path]:
    """Files and folders that the cohort is read from.

    Raises:
        UserError: one is given relative to the working folder, which a job does not share.
    """
    named = {key: path for key, path, _ in experiment.cohort.places()}
    for key, path in named.items():
        if not Path(path).is_absolute():
            raise UserError(
                f"cohort.{key}: {path} is a relative path; a job has no working folder of yours: "
                f"write {Path(path).absolute()}"
            )
    return sorted({Path(path) for path in named.values()})


def running_image_digest(storage: Storage) -> str | None:
    """SHA-256 of the image that this process runs in, None outside a container.

    `unknown` where the image's file is not seen from inside: a sandbox, or a container started by
    hand whose image lies in a folder that is not bound.
    """
    image = os.environ.get("APPTAINER_CONTAINER") or os.environ.get("SINGULARITY_CONTAINER")
    if image is None:
        return None
    try:
        return _digest(Path(image), storage)
    except OSError:
        return "unknown"


def _digest(image: Path, storage: Storage) -> str:
    """SHA-256 of the image's file, remembered until the file changes."""
    known = storage.image_record
    stat = image.stat()
    identity = {"bytes": stat.st_size, "modified_ns": stat.st_mtime_ns}
    if known.exists():
        kept = json.loads(known.read_text(encoding="utf-8"))
        if kept["identity"] == identity:
            return str(kept["digest"])
    with image.open("rb") as content:
        digest = "sha256:" + hashlib.file_digest(content, "sha256").hexdigest()
    write_json(known, {"identity": identity, "digest": digest})
    return digest

"""How a task is run inside an Apptainer image: which folders it sees, and which image it is."""

from __future__ import annotations

import hashlib
import json
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
    sources = [f"{path}:{path}:ro" for path in source_paths(experiment)]
    binds = [f"{storage.root}:{storage.root}", *sources, *settings.binds]
    return [
        settings.command,
        "exec",
        *(["--nv"] if settings.nv else []),
        "--no-home",
        *(part for bind in binds for part in ("--bind", bind)),
        "--pwd",
        str(storage.root),
        "--env",
        f"GANSFER_IMAGE_DIGEST={image_digest(image, storage)}",
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


def image_digest(image: Path, storage: Storage) -> str:
    """SHA-256 of the image file, remembered until the file changes; a sandbox folder has none."""
    if image.is_dir():
        return "sandbox"
    known = storage.submissions / "image.json"
    stat = image.stat()
    identity = {"image": str(image), "bytes": stat.st_size, "modified_ns": stat.st_mtime_ns}
    if known.exists():
        kept = json.loads(known.read_text(encoding="utf-8"))
        if kept["identity"] == identity:
            return str(kept["digest"])
    with image.open("rb") as content:
        digest = "sha256:" + hashlib.file_digest(content, "sha256").hexdigest()
    write_json(known, {"identity": identity, "digest": digest})
    return digest

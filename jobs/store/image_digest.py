"""Which container image a task runs in: the digest of its file, remembered until it changes."""

from __future__ import annotations

import hashlib
import json
import os
from contextlib import suppress
from pathlib import Path

from gansfer.atomic import write_json
from jobs.store.storage import Storage


def running_image_digest(storage: Storage) -> str | None:
    """SHA-256 of the image that this process runs in, None outside a container.

    `unknown` where the image's file is not seen from inside: a sandbox, or a container started by
    hand whose image lies in a folder that is not bound.
    """
    image = os.environ.get("APPTAINER_CONTAINER") or os.environ.get("SINGULARITY_CONTAINER")
    if image is None:
        return None
    try:
        return image_digest(Path(image), storage)
    except OSError:
        return "unknown"


def image_digest(image: Path, storage: Storage) -> str:
    """SHA-256 of the image's file, remembered until the file changes."""
    known = storage.image_record
    stat = image.stat()
    identity = {"bytes": stat.st_size, "modified_ns": stat.st_mtime_ns}
    with suppress(FileNotFoundError, ValueError, KeyError):  # damaged: computed again
        kept = json.loads(known.read_text(encoding="utf-8"))
        if kept["identity"] == identity:
            return str(kept["digest"])
    with image.open("rb") as content:
        digest = "sha256:" + hashlib.file_digest(content, "sha256").hexdigest()
    write_json(known, {"identity": identity, "digest": digest})
    return digest

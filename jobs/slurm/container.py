"""How a task is run inside an Apptainer image: which folders it sees, and which image it is."""

from __future__ import annotations

from pathlib import Path

from gansfer.errors import UserError
from jobs.experiment.model import Experiment
from jobs.store.image_digest import image_digest
from jobs.store.storage import Storage


def container_command(experiment: Experiment, storage: Storage) -> list[str] | None:
    """The command that runs the image's python, or None without a container.

    The image stays read-only. Storage is bound at its own path (the submission files name it), the
    cohort's folders too, for reading; the home folder is not there.

    Raises:
        UserError: there is no such image, or a folder has a name that cannot be bound.
    """
    settings = experiment.cluster.container
    if settings.image is None:
        return None
    image = Path(settings.image).expanduser().absolute()
    if not image.exists():
        raise UserError(
            f"cluster.container.image: {image} is not there; build it (jobs/README.md), or "
            "set image to null to run without a container"
        )
    read = source_paths(experiment)
    if image.is_file():  # and not a sandbox
        image_digest(image, storage)  # remembered, so that no task has to read gigabytes for it
        # A task looks at the file, to say which image it ran in; Apptainer names it without links.
        read += sorted({image, image.resolve()})
    for path in (storage.root, *read):
        if set(str(path)) & set(",:"):
            raise UserError(
                f"{path}: Apptainer cannot bind a path with a comma or a colon; give it another "
                "name, or a link without them"
            )
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

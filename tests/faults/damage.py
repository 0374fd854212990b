"""What may happen to a file at rest, and which files a trial damages."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from jobs.store.integrity import products_read
from tests.jobs.experiments import Trial

Damage = Callable[[Path, random.Random], object]


def flip(path: Path, draw: random.Random) -> None:
    """Flip one bit anywhere."""
    content = bytearray(path.read_bytes())
    content[draw.randrange(len(content))] ^= 1 << draw.randrange(8)
    path.write_bytes(content)


def zero(path: Path, draw: random.Random) -> None:
    """Zero a block of 512 bytes, or of what there is; ones where it was zero already."""
    content = bytearray(path.read_bytes())
    start = 512 * draw.randrange(-(-len(content) // 512))
    block = slice(start, min(start + 512, len(content)))
    content[block] = (b"\0" if any(content[block]) else b"\xff") * len(content[block])
    path.write_bytes(content)


def cut(path: Path, draw: random.Random) -> None:
    """Lose the end."""
    content = path.read_bytes()
    path.write_bytes(content[: draw.randrange(len(content))])


DAMAGE: dict[str, Damage] = {
    "flipped bit": flip,
    "zeroed block": zero,
    "cut": cut,
    "emptied": lambda path, draw: path.write_bytes(b""),
    "deleted": lambda path, draw: path.unlink(),
}


@dataclass(frozen=True)
class Target:
    """A file that a task has left, and a task that reads it when it is run again."""

    task: str
    name: str
    reader: str


def products_and_readers(trial: Trial) -> list[Target]:
    """Every product that some task reads, with each stage's first task that does; manifests too."""
    found = []
    for task in trial.plan.tasks:
        readers = {one.stage: one for one in reversed(trial.plan.tasks) if task.id in one.needs}
        manifest = trial.storage.read_manifest(task)
        assert manifest is not None, f"{task.id} is not done"
        for reader in readers.values():
            read = products_read(trial.storage.files(task), task, reader.stage)
            names = [one for one in manifest["products"] if read is None or one in read]
            found += [Target(task.id, name, reader.id) for name in [*names, "manifest.json"]]
    return found


def kept_files(trial: Trial, tasks: Sequence[str]) -> list[Path]:
    """What an interrupted task goes on from: checkpoints, parts, phases, its state."""
    found = []
    for task_id in tasks:
        for path in sorted(trial.folder(task_id).rglob("*")):
            if path.is_file() and path.stat().st_size and not path.name.startswith("."):
                found.append(path)
    return found

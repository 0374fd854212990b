"""Files that are either whole or absent: written aside, flushed to disk, renamed."""

from __future__ import annotations

import csv
import errno
import json
import os
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from gansfer.errors import UserError

# The user can mend these: no space left, quota exceeded, file too large, read-only file system.
_NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS)
_PROBE_BYTES = 1 << 20


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yield a temporary path beside `path`; rename it over `path` if the block succeeds.

    The temporary file keeps the suffix of `path` (several writers choose a format by it) and is
    removed if the block raises, so a reader never sees a half-written product.

    Raises:
        UserError: the disk is full, or takes no more for another reason that is not ours.
    """
    try:
        yield from _replacing(path)
    except OSError as error:
        if error.errno not in _NO_ROOM:
            raise
        raise UserError(
            f"{path}: cannot be written ({os.strerror(error.errno)}); free space there, or set "
            "storage to a folder with room"
        ) from error


def _replacing(path: Path) -> Iterator[Path]:
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(
        dir=path.parent, prefix=f".{path.stem}-", suffix=".part" + path.suffix
    )
    os.close(handle)
    aside = Path(name)
    try:
        yield aside
        umask = os.umask(0)
        os.umask(umask)
        aside.chmod(0o666 & ~umask)
        with aside.open("rb+") as written:
            os.fsync(written.fileno())
        aside.replace(path)
    except BaseException as error:
        told = not isinstance(error, Exception) or isinstance(error, OSError | UserError)
        refusal = None if told else _refusal(aside)
        aside.unlink(missing_ok=True)
        if refusal is not None:
            raise refusal from error
        raise
    _fsync_folder(path.parent)


def _refusal(aside: Path) -> OSError | None:
    """What the disk says of one more write; torch and safetensors keep it to themselves."""
    try:
        with aside.open("ab") as file:
            file.write(bytes(_PROBE_BYTES))
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        return error
    return None


def write_text(path: Path, text: str) -> None:
    """Write `text` (UTF-8) to `path` atomically."""
    with replacing(path) as aside:
        aside.write_text(text, encoding="utf-8")


def write_csv(path: Path, header: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Write `rows` under `header` to `path` atomically, as CSV with plain line feeds."""
    with replacing(path) as aside, aside.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(header)
        writer.writerows(rows)


def write_json(path: Path, value: Any) -> None:
    """Write `value` as indented JSON to `path` atomically."""
    write_text(path, json.dumps(value, indent=1, sort_keys=False, allow_nan=False) + "\n")


def write_json_lines(path: Path, values: Iterable[Any]) -> None:
    """Write one JSON value a line to `path` atomically."""
    write_text(path, "".join(json.dumps(value) + "\n" for value in values))


def remove_leftovers(folder: Path) -> None:
    """Remove what killed writers left in `folder` and below it, while holding its task's claim."""
    for leftover in folder.rglob(".*-*.part*"):
        leftover.unlink(missing_ok=True)


def _fsync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)

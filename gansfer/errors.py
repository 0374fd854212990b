"""The one exception for what a user can mend: it ends as one line and exit code 2."""

from __future__ import annotations

import errno
import os
import pwd
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

# What a storage says that is full, failing, read-only or away: no fault of the program's.
_STORAGE = {
    getattr(errno, name)
    for name in (
        *("EIO", "ENOSPC", "EDQUOT", "EFBIG", "EROFS", "ESTALE", "ENOTCONN", "ETIMEDOUT"),
        *("EHOSTDOWN", "EHOSTUNREACH", "ENODEV", "ENXIO", "EREMOTEIO", "ESHUTDOWN"),
    )
    if hasattr(errno, name)
}


class UserError(Exception):
    """Bad input or settings. The message says where, what was found, what was wanted, what to do.

    Example: `sub-07_T1w.nii.gz: 2 dimensions, expected 3; is this a slice?`
    """


class ProcessKilled(UserError):
    """A process was killed that had a part of the work, probably for its memory."""


@contextmanager
def clear_storage_errors(root: Path | None = None) -> Iterator[None]:
    """Tell what a failing storage says as a user's error.

    Raises:
        UserError: see `storage_failure`.
    """
    try:
        yield
    except OSError as error:
        said = storage_failure(error, root)
        if said is None:
            raise
        raise UserError(said) from error


def storage_failure(error: OSError, root: Path | None = None) -> str | None:
    """One line on a storage that does not do what it should; None for any other error.

    Args:
        error: as Python raises it.
        root: folder of the experiment, where there is one: a file that is gone from it went with
            the storage, or somebody has removed it.
    """
    name = os.fsdecode(error.filename) if isinstance(error.filename, str | bytes) else ""
    absent = isinstance(error, FileNotFoundError | NotADirectoryError)
    gone = absent and root is not None and Path(name).is_relative_to(root)
    if error.errno not in _STORAGE and not gone:
        return None
    said = os.strerror(error.errno or errno.EIO).lower()
    return (
        f"{name or root or 'a file'}: {said}; run the same command again when the storage is well"
    )


def not_permitted(error: PermissionError) -> str:
    """One line on a file or folder that we may not read or write: whose it is, and the remedy.

    Args:
        error: as Python raises it; the file that it names, or the nearest folder that is there,
            says who may.
    """
    path = Path(os.fsdecode(error.filename)) if error.filename is not None else Path()
    there = next((one for one in (path, *path.absolute().parents) if os.path.lexists(one)), path)
    owner = there.stat().st_uid if os.access(there.parent, os.X_OK) else None
    try:
        whose = "" if owner is None else f"; {there} is {pwd.getpwuid(owner).pw_name}'s"
    except KeyError:
        whose = f"; {there} is user {owner}'s"
    return (
        f"{path}: {(error.strerror or 'not permitted').lower()}{whose}. To share a folder, give it "
        "a common group (chgrp, chmod g+rwxs) and let everybody who runs gansfer set umask 002"
    )

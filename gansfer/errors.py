"""The one exception for what a user can mend: it ends as one line and exit code 2."""

from __future__ import annotations

import os
import pwd
from pathlib import Path


class UserError(Exception):
    """Bad input or settings. The message says where, what was found, what was wanted, what to do.

    Example: `sub-07_T1w.nii.gz: 2 dimensions, expected 3; is this a slice?`
    """


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

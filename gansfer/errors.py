"""The one exception for what a user can mend: it ends as one line and exit code 2."""

from __future__ import annotations


class UserError(Exception):
    """Bad input or settings. The message says where, what was found, what was wanted, what to do.

    Example: `sub-07_T1w.nii.gz: 2 dimensions, expected 3; is this a slice?`
    """

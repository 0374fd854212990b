"""Running SLURM's commands, and what a command's environment must not say."""

from __future__ import annotations

import os
import pwd
import subprocess
from functools import cache

from gansfer.errors import UserError

_TIMEOUT_S = 60


def run(command: list[str]) -> subprocess.CompletedProcess[str] | None:
    """The command once it has ended, or None if it is not there or does not end."""
    try:
        return _ended(command)
    except (OSError, subprocess.TimeoutExpired):
        return None


def output(command: list[str]) -> str | None:
    """What the command prints, or None if it is not there, fails or does not end."""
    ran = run(command)
    return ran.stdout if ran is not None and ran.returncode == 0 else None


def carried_out(command: list[str]) -> None:
    """Run a command that must succeed.

    Raises:
        UserError: it is not there, or refused.
    """
    try:
        ran = _ended(command)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise UserError(f"{command[0]}: {error}; is this a login node of the cluster?") from None
    if ran.returncode != 0:
        raise UserError(f"{command[0]}: {ran.stderr.strip() or f'exit code {ran.returncode}'}")


def on_clusters(clusters: str) -> list[str]:
    """The option that asks other clusters than the one that we are on."""
    return ["-M", clusters] if clusters else []


@cache
def me() -> str:
    """Our login name, whatever the environment says."""
    return user_name(os.getuid())


def user_name(uid: int) -> str:
    """A user's login name, or the number where there is none."""
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)


def _ended(command: list[str]) -> subprocess.CompletedProcess[str]:
    # SQUEUE_PARTITION and its like are a user's own filters: they would hide jobs from us too.
    env = {k: v for k, v in os.environ.items() if not k.startswith(("SQUEUE_", "SACCT_"))}
    return subprocess.run(
        command,
        capture_output=True,
        text=True,
        timeout=_TIMEOUT_S,
        check=False,
        env={**env, "SLURM_BITSTR_LEN": "0"},  # no list of elements is cut short
    )

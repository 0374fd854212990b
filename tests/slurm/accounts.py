"""Two people of one group on a cluster: real accounts, made for the tests and removed again."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pydantic
import pytest

from tests.slurm.throwaway import PATIENCE
from tests.slurm.trials import Trial

GROUP = "gansfer-lab"
NAMES = ("gansfer-anna", "gansfer-ben")
_PACKAGES = Path(pydantic.__file__).parents[1]


@dataclass(frozen=True)
class Account:
    """Somebody with an account.

    Attributes:
        name: it logs in by.
        python: an interpreter that it may run.
    """

    name: str
    python: str

    def gansfer(
        self, trial: Trial, command: str, *options: str, fails: int = 0, umask: int = 0o002
    ) -> str:
        """Run `gansfer COMMAND CONFIG OPTIONS` as this account; what it printed."""
        env = {**trial.environment, "HOME": str(trial.folder / self.name), "USER": self.name}
        env["PYTHONPATH"] += f"{os.pathsep}{_PACKAGES}"
        ran = subprocess.run(
            [self.python, "-m", "jobs.commands.cli", command, str(trial.config), *options],
            env=env,
            cwd=trial.folder,
            user=self.name,
            group=GROUP,
            extra_groups=[],
            umask=umask,
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            check=False,
            timeout=600 * PATIENCE,
        )
        expected = (0, 3) if command == "status" else (fails,)
        assert ran.returncode in expected, ran.stdout
        return ran.stdout

    def status(self, trial: Trial) -> dict[str, Any]:
        """`gansfer status --json` as it sees it, its tasks by id."""
        found = json.loads(self.gansfer(trial, "status", "--json"))
        found["tasks"] = {task["task"]: task for task in found["tasks"]}
        return found


def two_accounts() -> Iterator[tuple[Account, Account]]:
    """Make both, give them, remove them; skip where that cannot be."""
    if os.geteuid() != 0 or shutil.which("useradd") is None:
        pytest.skip("making accounts needs root and useradd")
    _run("groupadd", "--force", GROUP)
    try:
        for name in NAMES:
            _run("useradd", "--no-create-home", "--no-user-group", "--gid", GROUP, name)
        python = _interpreter(NAMES[0])
        if python is None:
            pytest.skip("no interpreter of this version that other accounts may run")
        yield (Account(NAMES[0], python), Account(NAMES[1], python))
    finally:
        for name in NAMES:
            _run("userdel", "--force", name, check=False)  # a last process of its may be there
        _run("groupdel", GROUP, check=False)


def shared_folder() -> Iterator[Path]:
    """A folder that everybody may enter: homes, and a storage `runs` that the group may write."""
    folder = Path(tempfile.mkdtemp(prefix="gansfer-lab-"))
    folder.chmod(0o755)
    for name in NAMES:
        (folder / name).mkdir()
        shutil.chown(folder / name, name, GROUP)
    (folder / "runs").mkdir()
    shutil.chown(folder / "runs", group=GROUP)
    (folder / "runs").chmod(0o2775)
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


def _interpreter(name: str) -> str | None:
    """Ours, or the system's of the same version where ours is in a home of somebody else's."""
    code = "import sys; sys.path.insert(0, sys.argv[1]); import pydantic"
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    for python in (sys.executable, f"/usr/bin/{version}", f"/usr/local/bin/{version}"):
        try:
            ran = subprocess.run(
                [python, "-c", code, str(_PACKAGES)],
                user=name,
                group=GROUP,
                extra_groups=[],
                cwd="/",
                capture_output=True,
                check=False,
            )
        except OSError:
            continue
        if ran.returncode == 0:
            return python
    return None


def _run(*command: str, check: bool = True) -> None:
    subprocess.run(command, check=check, capture_output=True)

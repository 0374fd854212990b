"""One finished experiment for the whole session, and the command in this process."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from jobs.commands.cli import main
from tests.jobs.experiments import Trial
from tests.jobs.stand_in import StandIn


@dataclass(frozen=True)
class Asked:
    """How a command ended, and what it said."""

    code: int
    out: str
    err: str


@dataclass(frozen=True)
class Finished(Trial):
    """The tiny experiment after `gansfer run`: never change it, copy it."""

    asked: Asked


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Finished:
    """The tiny experiment, run from beginning to end without a disturbance."""
    made = Trial.make(tmp_path_factory.mktemp("finished"))
    ran = made.run()
    assert ran.returncode == 0, ran.stdout + ran.stderr
    return Finished(made.config, Asked(ran.returncode, ran.stdout, ran.stderr))


@pytest.fixture
def gansfer(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., Asked]:
    """Ask the command `gansfer` in this process."""

    def ask(*arguments: str | Path) -> Asked:
        monkeypatch.setattr(sys, "argv", ["gansfer", *map(str, arguments)])
        capsys.readouterr()
        try:
            main()
            code = 0
        except SystemExit as ended:
            code = int(ended.code or 0)
        said = capsys.readouterr()
        return Asked(code, said.out, said.err)

    return ask


@pytest.fixture
def slurm(tmp_path: Path) -> StandIn:
    """A stand-in for SLURM, and an experiment for it."""
    return StandIn.make(tmp_path)

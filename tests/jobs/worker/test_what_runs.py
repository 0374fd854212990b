"""Which tasks a run starts, in which order, by what is done already."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest

from jobs.worker.pool import run_locally
from tests.jobs.experiments import BASELINE, COHORT_BASELINE, GAN, RATIO, SYNTHESISE, Trial


@pytest.fixture
def begun(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Tasks that were started, in that order, where every one is done at once."""
    names: list[str] = []

    class Pretended:
        """A process that ends at once, its task done."""

        sentinel, exitcode = 0, 0

        def __init__(self, *, target: object, args: tuple[str, str], name: str) -> None:
            self.name = name

        def start(self) -> None:
            names.append(self.name)

        def is_alive(self) -> bool:
            return False

        def join(self) -> None:
            pass

        def terminate(self) -> None:
            pass

    monkeypatch.setattr(
        "jobs.worker.pool._fork_server", lambda threads: SimpleNamespace(Process=Pretended)
    )
    monkeypatch.setattr("jobs.worker.pool.wait", lambda *args, **more: None)
    return names


def test_only_what_is_asked_for_runs_once_what_it_needs_is_done(
    tmp_path: Path, begun: list[str]
) -> None:
    trial = Trial.make(tmp_path)
    trial.pretend("prepare", GAN)
    only = [RATIO, SYNTHESISE, "aggregate"]
    run = run_locally(trial.plan, trial.storage, only=only, workers=1)
    assert begun == [SYNTHESISE, RATIO, "aggregate"]
    assert {task.id for task in run.tasks} == set(only)
    assert all(run.is_finished(task) for task in run.tasks)


def test_a_report_of_what_there_was_is_made_again_when_there_is_more(
    tmp_path: Path, begun: list[str]
) -> None:
    trial = Trial.make(tmp_path)
    # A GAN has failed, so there is a report without what follows from it.
    trial.pretend("prepare", BASELINE, COHORT_BASELINE, "aggregate")
    assert trial.ledger().done(trial.task("aggregate"))
    run_locally(trial.plan, trial.storage, workers=1)
    assert begun[0] == GAN
    assert begun[-1] == "aggregate"
    begun.clear()
    run_locally(trial.plan, trial.storage, only=[GAN], workers=1)
    assert begun == [GAN]

"""A task that is asked to stop saves its state, and goes on from there."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

from jobs.heartbeat import Heartbeat
from jobs.worker import DONE, STOPPED
from tests.jobs.conftest import Finished
from tests.jobs.experiments import BASELINE


def signal_at(monkeypatch: pytest.MonkeyPatch, step: int, number: int) -> list[int]:
    """Signal this process when a long computation reports a step; the list of all reports."""
    reported: list[int] = []
    report = Heartbeat.report

    def counting(self: Heartbeat, done: int, total: int, unit: str, note: str = "") -> None:
        report(self, done, total, unit, note)
        reported.append(done)
        if done == step:
            os.kill(os.getpid(), number)

    monkeypatch.setattr(Heartbeat, "report", counting)
    return reported


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGUSR2])
def test_a_signal_saves_the_state_and_the_next_run_goes_on(
    finished: Finished, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    trial = finished.copied(tmp_path, tasks=["prepare"])
    handlers = [signal.getsignal(one) for one in (signal.SIGTERM, signal.SIGUSR2)]
    with monkeypatch.context() as patch:
        signal_at(patch, 3, number)
        assert trial.work(BASELINE) == STOPPED == 75
    state = trial.state(BASELINE)
    assert (state["state"], state["reason"]) == ("stopped", "asked to stop; its state is saved")
    assert (state["progress"]["done"], state["progress"]["unit"]) == (3, "iterations")
    assert trial.ledger().finding(trial.task(BASELINE)).state == "missing"
    kept = trial.folder(BASELINE) / "training"
    assert [path.name for path in kept.iterdir()] == ["checkpoint-0000000003.pt"]
    assert [signal.getsignal(one) for one in (signal.SIGTERM, signal.SIGUSR2)] == handlers
    with monkeypatch.context() as patch:
        reported = signal_at(patch, -1, number)
        assert trial.work(BASELINE) == DONE
    assert reported[0] == 4
    assert list(kept.iterdir()) == []
    assert trial.state(BASELINE)["attempts"] == 2
    for name in ("model.safetensors", "metrics.csv", "log.jsonl"):
        undisturbed = finished.folder(BASELINE) / name
        assert (trial.folder(BASELINE) / name).read_bytes() == undisturbed.read_bytes(), name

"""The benchmark times its steps in turns, each for its share of the time."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from gansfer.errors import UserError
from gansfer.progress import Silent
from jobs.checking.benchmark import measure_machine, timed
from tests.jobs.experiments import Trial


class Clock:
    """Time passes only while somebody works."""

    def __init__(self) -> None:
        self.now_s = 0.0
        self.log: list[str] = []

    def working(self, name: str, *seconds: float) -> Callable[[], None]:
        """Work that takes so long, the last value for ever."""
        left = list(seconds)

        def work() -> None:
            self.log.append(name)
            self.now_s += left.pop(0) if len(left) > 1 else left[0]

        return work

    def read(self) -> float:
        return self.now_s


def test_each_has_an_equal_share_of_the_time_and_three_turns() -> None:
    clock = Clock()
    steps = {"slow": clock.working("slow", 100.0, 8.0), "fast": clock.working("fast", 9.0, 1.0)}
    times_s = timed(steps, budget_s=12.0, finish=bool, watch=Silent(), clock=clock.read)
    assert times_s == {"slow": [8.0] * 3, "fast": [1.0] * 6}  # a share is 2 s; no warm-up is in it
    assert clock.log == ["slow", "fast", *3 * ["slow", "fast", "fast"]]


def test_without_a_budget_each_is_timed_three_times() -> None:
    clock = Clock()
    times_s = timed(
        {"free": clock.working("free", 0.0)},
        budget_s=0.0,
        finish=bool,
        watch=Silent(),
        clock=clock.read,
    )
    assert times_s == {"free": [0.0] * 3}


def test_what_the_device_has_not_done_yet_counts() -> None:
    clock = Clock()
    steps = {"queued": clock.working("queued", 0.5)}
    finish = clock.working("finish", 2.0)
    times_s = timed(steps, budget_s=0.0, finish=finish, watch=Silent(), clock=clock.read)
    assert times_s == {"queued": [2.5] * 3}


def test_the_watch_is_told_of_each_turn() -> None:
    told: list[tuple[int, int, str]] = []

    class Told(Silent):
        def report(self, done: int, total: int, unit: str, note: str = "") -> None:
            told.append((done, total, note))

    timed({"a": bool, "b": bool}, budget_s=0.0, finish=bool, watch=Told())
    notes = ["warming up: a", "warming up: b", *3 * ["a", "b"], ""]
    assert told == [(k, 8, note) for k, note in enumerate(notes)]


def test_cuda_that_is_not_there_is_a_users_mistake(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    trial = Trial.make(tmp_path, run={"device": "cuda"})
    with pytest.raises(UserError, match="but this machine has no CUDA device"):
        measure_machine(trial.plan.experiment, budget_s=0.0, watch=Silent())

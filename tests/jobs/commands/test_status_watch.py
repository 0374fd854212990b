"""`gansfer status --watch` on a terminal: the table is drawn anew until nothing runs any more."""

from __future__ import annotations

import io
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest
from rich.console import Console

from gansfer.atomic import write_json
from jobs.commands import cluster_cli
from tests.jobs.conftest import Asked
from tests.jobs.experiments import GAN, Trial


def test_watch_shows_each_change_and_ends_with_the_last_task(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, gansfer: Callable[..., Asked]
) -> None:
    trial = Trial.make(tmp_path)
    trial.pretend("prepare")
    state = {
        "state": "running",
        "fingerprint": trial.task(GAN).fingerprint,
        "attempts": 1,
        "host": "node",
        "heartbeat": datetime.now(UTC).isoformat(timespec="seconds"),
        "progress": {
            **{"done": 30, "total": 40, "unit": "images", "note": "phase 1, level 3"},
            **{"per_s": 2.0, "left_s": 5.0},
        },
    }
    trial.folder(GAN).mkdir(parents=True)
    write_json(trial.storage.files(trial.task(GAN)).state, state)
    terminal = io.StringIO()
    console = Console(file=terminal, force_terminal=True, color_system=None, width=140)
    monkeypatch.setattr(cluster_cli, "wide_console", lambda: console)
    slept: list[float] = []

    def then_it_ends(seconds: float) -> None:
        slept.append(seconds)
        assert "phase 1, level 3" in terminal.getvalue()
        trial.pretend(GAN)

    monkeypatch.setattr(cluster_cli.time, "sleep", then_it_ends)
    assert gansfer("status", trial.config, "--watch").code == 3  # the rest was never run
    assert slept == [30.0]  # a file server is not asked more often
    last = terminal.getvalue().rsplit("tiny", 1)[-1]
    assert "phase 1, level 3" not in last
    assert "train_gan 1 1" in " ".join(last.split())  # labels, done

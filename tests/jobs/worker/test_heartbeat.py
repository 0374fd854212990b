"""What `state.json` says while a task runs, and that its last word stays."""

from __future__ import annotations

import json
import threading
from pathlib import Path
from typing import Any

import pytest

import jobs.worker.heartbeat as heartbeat_module
from gansfer.errors import UserError
from jobs.worker.heartbeat import Heartbeat


def test_progress_is_counted_from_where_this_piece_of_work_began(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    now_s = [100.0]
    monkeypatch.setattr("jobs.worker.heartbeat.time.monotonic", lambda: now_s[0])
    heartbeat = Heartbeat(tmp_path / "state.json", 60.0, {"state": "running"})

    def progress() -> dict[str, Any]:
        heartbeat.beat()
        return dict(json.loads(heartbeat.path.read_text())["progress"])

    heartbeat.report(50, 110, "updates", "20 px")
    now_s[0] += 10
    heartbeat.report(80, 110, "updates", "40 px")
    expected = {"done": 80, "total": 110, "unit": "updates", "note": "40 px"}
    assert progress() == {**expected, "per_s": 3.0, "left_s": 10.0}
    heartbeat.report(90, 100, "slices")  # another computation: its own rate
    nothing = {"note": "", "per_s": 0.0, "left_s": None}
    assert progress() == {"done": 90, "total": 100, "unit": "slices", **nothing}
    now_s[0] += 10
    heartbeat.report(1, 100, "slices")  # and another one of the same unit
    assert progress() == {"done": 1, "total": 100, "unit": "slices", **nothing}


def test_the_last_state_is_never_overwritten_by_the_heartbeat(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A slow disk: the thread's write of "running" ends after that of "done" has begun."""
    writing, write_json = threading.Event(), heartbeat_module.write_json

    def slowly(path: Path, value: Any) -> None:
        kept = dict(value)
        if kept["state"] == "running":
            writing.set()
            threading.Event().wait(0.3)
        write_json(path, kept)

    monkeypatch.setattr(heartbeat_module, "write_json", slowly)
    heartbeat = Heartbeat(tmp_path / "state.json", 0.01, {"state": "running"})
    heartbeat.start()
    assert writing.wait(30)
    heartbeat.end(state="done")
    assert json.loads(heartbeat.path.read_text())["state"] == "done"
    threading.Event().wait(0.6)
    assert json.loads(heartbeat.path.read_text())["state"] == "done"


def test_a_second_phase_has_a_rate_of_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    now_s = [0.0]
    monkeypatch.setattr("jobs.worker.heartbeat.time.monotonic", lambda: now_s[0])
    heartbeat = Heartbeat(tmp_path / "state.json", 60.0, {"state": "running"})
    heartbeat.report(1, 1000, "updates", "phase 1")
    now_s[0] += 1000
    heartbeat.report(1000, 1000, "updates", "phase 1")
    heartbeat.report(1, 100, "updates", "phase 2")
    now_s[0] += 10
    heartbeat.report(21, 100, "updates", "phase 2")
    heartbeat.beat()
    progress = json.loads(heartbeat.path.read_text())["progress"]
    assert (progress["per_s"], progress["left_s"]) == (2.0, 39.5)


def test_the_rate_is_that_of_the_last_minutes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    now_s = [0.0]
    monkeypatch.setattr("jobs.worker.heartbeat.time.monotonic", lambda: now_s[0])
    heartbeat = Heartbeat(tmp_path / "state.json", 30.0, {"state": "running"})
    heartbeat.report(0, 10_000, "updates")
    done = 0
    for per_beat in [900] * 5 + [30] * 5:  # 30/s at the first levels, then 1/s
        now_s[0] += 30
        done += per_beat
        heartbeat.report(done, 10_000, "updates")
        heartbeat.beat()
    assert json.loads(heartbeat.path.read_text())["progress"]["per_s"] == 1.0


def test_the_rate_is_that_of_late(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    now_s = [0.0]
    monkeypatch.setattr("jobs.worker.heartbeat.time.monotonic", lambda: now_s[0])
    heartbeat = Heartbeat(tmp_path / "state.json", 30.0, {"state": "running"})
    heartbeat.report(0, 7000, "updates")
    for done in (3000, 6000, 6030, 6060, 6090):  # the first levels are fast, the last is slow
        now_s[0] += 30
        heartbeat.report(done, 7000, "updates")
        heartbeat.beat()
    assert json.loads(heartbeat.path.read_text())["progress"]["per_s"] == 1.0


def test_a_full_disk_ends_neither_the_heartbeat_nor_the_task(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    written, write_json = threading.Event(), heartbeat_module.write_json
    errors: list[Exception] = [UserError("no space left"), OSError(5, "input/output error")]

    def full_for_a_while(path: Path, value: Any) -> None:
        if errors:
            raise errors.pop()
        write_json(path, dict(value))
        written.set()

    monkeypatch.setattr(heartbeat_module, "write_json", full_for_a_while)
    heartbeat = Heartbeat(tmp_path / "state.json", 0.01, {"state": "running"})
    heartbeat.start()
    assert written.wait(30)
    errors.append(UserError("no space left"))
    heartbeat.end(state="done")

"""One process at a time: with locks, without them, and with one that a dead node has kept."""

from __future__ import annotations

import errno
import fcntl
import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

import jobs.slurm.submission
import jobs.store.lock as lock_module
from gansfer.errors import UserError
from jobs.slurm.job_record import JobRecord
from jobs.store.lock import BUSY, PATIENCE_S, locked
from jobs.worker.run import STOPPED

HOLDER = {"host": "node3", "pid": 7, "slurm_job": "5_1", "locked": True}


@pytest.fixture(params=[None, errno.ENOSYS, errno.EOPNOTSUPP, errno.ENOLCK, errno.EINVAL])
def any_file_system(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """One that can lock, and those that cannot, each in its own words."""

    def refuses(*_: object) -> None:
        raise OSError(request.param, os.strerror(request.param))

    if request.param is not None:
        monkeypatch.setattr(fcntl, "flock", refuses)


@pytest.fixture
def without_locks(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuses(*_: object) -> None:
        raise OSError(errno.ENOSYS, "Function not implemented")

    monkeypatch.setattr(fcntl, "flock", refuses)


def left_by_another(base: Path, silent_s: float, **changes: object) -> Path:
    """The file of a holder that was last heard of so long ago."""
    path = base.with_name(f"{base.name}-1")
    path.write_text(json.dumps({**HOLDER, **changes}))
    heard_s = time.time() - silent_s
    os.utime(path, (heard_s, heard_s))
    return path


@pytest.mark.usefixtures("any_file_system")
def test_a_claim_is_held_by_one_and_free_when_it_is_given_back(tmp_path: Path) -> None:
    base = tmp_path / ".claim"
    for _ in range(3):
        with locked(base) as other, locked(base) as second:
            assert other is None
            assert second is not None and f"process {os.getpid()} on " in second
    assert [path.name for path in tmp_path.iterdir()] == [".claim-3"]


@pytest.mark.usefixtures("any_file_system")
def test_of_many_that_come_at_once_one_gets_it(tmp_path: Path) -> None:
    left_by_another(tmp_path / ".claim", PATIENCE_S + 10)
    got, all_here, all_asked = [], threading.Barrier(8), threading.Barrier(8)

    def come() -> None:
        all_here.wait()
        with locked(tmp_path / ".claim") as other:
            got.append(other)
            all_asked.wait()

    threads = [threading.Thread(target=come) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert got.count(None) == 1


def test_a_killed_process_holds_nothing(tmp_path: Path) -> None:
    base = tmp_path / ".claim"
    code = (
        "import pathlib, sys, time; from jobs.store.lock import locked\n"
        "with locked(pathlib.Path(sys.argv[1])): print('on', flush=True); time.sleep(60)"
    )
    command = [sys.executable, "-c", code, str(base)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None and process.stdout.readline() == "on\n"
        with locked(base) as other:
            assert other is not None and f"process {process.pid} on " in other
        process.kill()
    with locked(base) as other:
        assert other is None


@pytest.mark.parametrize("silent_s", [PATIENCE_S - 60, PATIENCE_S + 10])
def test_a_lock_that_a_dead_node_has_kept_is_waited_for_and_then_passed_by(
    tmp_path: Path, silent_s: float
) -> None:
    path = left_by_another(tmp_path / ".claim", silent_s)
    with path.open("rb") as stuck:
        fcntl.flock(stuck, fcntl.LOCK_EX)
        with locked(tmp_path / ".claim") as other:
            if silent_s < PATIENCE_S:
                assert other is not None
                assert other.startswith("process 7 on node3, job 5_1, last heard of ")
            else:
                assert other is None


@pytest.mark.parametrize("ahead_s", [60, 86400])
def test_a_clock_that_was_set_back_does_not_keep_a_lock_for_as_long(
    tmp_path: Path, ahead_s: float
) -> None:
    left_by_another(tmp_path / ".claim", -ahead_s, locked=False)
    with locked(tmp_path / ".claim") as other:
        assert (other is None) == (ahead_s > PATIENCE_S)


@pytest.mark.usefixtures("without_locks")
@pytest.mark.parametrize("has_flock", [True, False])
def test_without_locks_only_silence_tells_of_death(tmp_path: Path, has_flock: bool) -> None:
    base = tmp_path / ".claim"
    left_by_another(base, PATIENCE_S - 60, locked=has_flock)
    with locked(base) as other:
        assert other is not None
    left_by_another(base, PATIENCE_S + 10, locked=has_flock)
    with locked(base) as other:
        assert other is None


def test_a_holder_that_could_not_lock_is_respected_by_one_that_can(tmp_path: Path) -> None:
    left_by_another(tmp_path / ".claim", 10, locked=False)
    with locked(tmp_path / ".claim") as other:
        assert other is not None


def test_a_holder_lives_as_long_as_it_beats(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lock_module, "_BEAT_EVERY_S", 0.01)
    with locked(tmp_path / ".claim"):
        (path,) = tmp_path.iterdir()
        os.utime(path, (0, 0))
        deadline_s = time.monotonic() + 30
        while path.stat().st_mtime < 1 and time.monotonic() < deadline_s:
            time.sleep(0.01)
        assert path.stat().st_mtime > 1


def test_a_process_given_up_for_dead_leaves_when_it_wakes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    left = threading.Event()
    codes: list[int] = []

    def leave(code: int) -> None:
        codes.append(code)
        left.set()
        raise OSError  # ends nothing but this beat

    monkeypatch.setattr(os, "_exit", leave)
    monkeypatch.setattr(lock_module, "_BEAT_EVERY_S", 0.01)
    with locked(tmp_path / ".claim"):
        (tmp_path / ".claim-2").write_text(json.dumps(HOLDER))
        assert left.wait(30)
    assert set(codes) == {BUSY}
    assert "process 7 on node3, job 5_1, last heard of 0 s ago has taken over" in caplog.text


def test_a_slow_process_does_not_take_what_has_come_and_gone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    base = tmp_path / ".claim"
    left_by_another(base, PATIENCE_S + 10)
    is_free = lock_module._is_free

    def slowly(path: Path) -> bool:
        monkeypatch.setattr(lock_module, "_is_free", is_free)
        free = is_free(path)
        for _ in range(2):
            with locked(base) as other:
                assert other is None
        return free

    monkeypatch.setattr(lock_module, "_is_free", slowly)
    with locked(base) as other:
        assert other is not None
    assert [path.name for path in tmp_path.iterdir()] == [".claim-3"]


@pytest.mark.usefixtures("any_file_system")
def test_one_submission_at_a_time(tmp_path: Path) -> None:
    record = JobRecord(tmp_path / "slurm")
    (tmp_path / "slurm" / "12").mkdir(parents=True)  # a job's folder is no claim
    message = f"another gansfer is submitting this experiment .process {os.getpid()} on"
    with record.locked(), pytest.raises(UserError, match=message), record.locked():
        pass
    with record.locked():
        pass


@pytest.mark.parametrize(("number", "code"), [(signal.SIGUSR2, BUSY), (signal.SIGTERM, STOPPED)])
def test_a_wait_goes_back_to_the_queue_after_a_preemption_only(
    monkeypatch: pytest.MonkeyPatch, number: int, code: int
) -> None:
    before = {one: signal.getsignal(one) for one in (signal.SIGUSR2, signal.SIGTERM)}
    monkeypatch.setattr(jobs.slurm.submission, "run_task", lambda *_: BUSY)
    monkeypatch.setattr(jobs.slurm.submission.time, "sleep", lambda _: os.kill(os.getpid(), number))
    try:
        with pytest.raises(SystemExit) as ended:
            jobs.slurm.submission.run_element("experiment.yaml", "prepare")
    finally:
        for one, handler in before.items():
            signal.signal(one, handler)
    assert ended.value.code == code

"""One task: how it ends, what it leaves on record, and what it never leaves behind."""

from __future__ import annotations

import errno
import fcntl
import hashlib
import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest

import jobs.stages.dispatch
import jobs.worker.heartbeat
from gansfer.atomic import write_text
from gansfer.errors import ProcessKilled, UserError
from jobs.stages.context import Context, Outcome
from jobs.store.lock import locked
from jobs.worker.run import BLOCKED, BUSY, DONE, FAILED, MISTAKE, run_task
from tests.jobs.experiments import BASELINE, GAN, RATIO, SYNTHESISE, Trial

Stage = Callable[[Context], Outcome]


@pytest.fixture
def trial(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Trial:
    monkeypatch.delenv("SLURM_JOB_ID", raising=False)  # in a job, an input is waited for
    return Trial.make(tmp_path)


@pytest.fixture
def becomes(monkeypatch: pytest.MonkeyPatch) -> Callable[[Stage], None]:
    """Put another function in the place of every stage."""

    def put(stage: Stage) -> None:
        monkeypatch.setattr(jobs.stages.dispatch, "run_stage", stage)

    return put


def makes_a_product(context: Context) -> Outcome:
    assert not context.storage.files(context.task).manifest.exists()
    write_text(context.files.folder / "product.txt", context.task.id)
    return Outcome(("product.txt",), {"subjects": 3})


def never(context: Context) -> Outcome:
    raise AssertionError(f"{context.task.id} was run")


def test_a_task_done_before_is_not_run(trial: Trial, becomes: Callable[[Stage], None]) -> None:
    trial.pretend("prepare")
    before = trial.storage.files(trial.task("prepare")).manifest.stat().st_mtime_ns
    becomes(never)
    assert trial.work("prepare") == DONE == 0
    assert trial.storage.files(trial.task("prepare")).manifest.stat().st_mtime_ns == before
    assert "prepare: done before" in trial.log("prepare")


def test_a_done_task_leaves_its_whole_record(
    trial: Trial, becomes: Callable[[Stage], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SLURM_ARRAY_JOB_ID", "7")
    monkeypatch.setenv("SLURM_ARRAY_TASK_ID", "3")
    image = trial.config.with_name("image.sif")
    image.write_bytes(b"sif")
    monkeypatch.setenv("APPTAINER_CONTAINER", str(image))
    trial.pretend("prepare")
    becomes(makes_a_product)
    assert trial.work(BASELINE) == DONE
    task = trial.task(BASELINE)
    manifest = trial.storage.read_manifest(task)
    prepared = trial.storage.read_manifest(trial.task("prepare"))
    assert manifest is not None
    assert prepared is not None
    exact = {
        "task": BASELINE,
        "fingerprint": task.fingerprint,
        "settings": task.settings,
        "inputs": {"prepare": prepared["digest"]},
        "products": ["product.txt"],
        "image_digest": "sha256:" + hashlib.sha256(b"sif").hexdigest(),
        "device": "cpu",
        "slurm_job": "7_3",
        "attempts": 1,
        "facts": {"subjects": 3},
    }
    assert {key: manifest[key] for key in exact} == exact
    measured = {"digest", "files", "shown", "manifest_digest"}
    measured |= {"version", "git_revision", "python"}
    measured |= {"packages", "host", "finished"}
    assert set(manifest) == {*exact, *measured, "wall_s", "peak_memory_mb"}
    assert manifest["packages"]["torch"]
    state = trial.state(BASELINE)
    assert (state["state"], state["attempts"], state["pid"]) == ("done", 1, os.getpid())
    assert state["fingerprint"] == task.fingerprint
    assert trial.ledger().done(task)


def test_only_stages_that_compute_on_a_gpu_want_one(
    tmp_path: Path, becomes: Callable[[Stage], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    trial = Trial.make(tmp_path, run={"device": "cuda"})
    becomes(makes_a_product)
    assert trial.work("prepare") == DONE
    assert trial.work(BASELINE) == MISTAKE
    assert "no CUDA device" in trial.log(BASELINE)


def test_a_task_without_its_inputs_is_blocked(
    trial: Trial, becomes: Callable[[Stage], None]
) -> None:
    becomes(never)
    assert trial.work(BASELINE) == BLOCKED == 4
    state = trial.state(BASELINE)
    assert (state["state"], state["reason"]) == ("blocked", "waits for prepare, which is not done")
    assert trial.work(RATIO) == BLOCKED
    assert trial.state(RATIO)["reason"] == "waits for prepare and 1 more, which are not done"
    trial.pretend("prepare")
    assert trial.work(RATIO) == BLOCKED
    assert trial.state(RATIO)["reason"] == f"waits for {SYNTHESISE}, which is not done"


def test_in_a_job_an_input_is_looked_for_again(
    trial: Trial, becomes: Callable[[Stage], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    looked: list[float] = []

    def then_it_shows(seconds: float) -> None:
        if seconds == 5.0:  # of the worker: a subprocess is waited for in shorter naps
            looked.append(seconds)
        if len(looked) == 3 and not trial.ledger().done(trial.task("prepare")):
            trial.pretend("prepare")

    monkeypatch.setenv("SLURM_JOB_ID", "7")
    monkeypatch.setattr("jobs.worker.run.time.sleep", then_it_shows)
    becomes(makes_a_product)
    assert trial.work(BASELINE) == DONE
    assert looked == [5.0] * 3


def test_in_a_job_an_input_is_not_waited_for_in_vain(
    trial: Trial, becomes: Callable[[Stage], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    def crashing(context: Context) -> Outcome:
        raise RuntimeError

    monkeypatch.setenv("SLURM_JOB_ID", "7")
    monkeypatch.setattr("jobs.worker.run._SEEN_WITHIN_S", 0.0)
    becomes(crashing)
    assert trial.work(BASELINE) == BLOCKED  # the time is over
    assert trial.work("prepare") == FAILED
    monkeypatch.setattr("jobs.worker.run._SEEN_WITHIN_S", 60.0)
    monkeypatch.setattr("jobs.worker.run.time.sleep", lambda _: pytest.fail("waited"))
    assert trial.work(BASELINE) == BLOCKED  # it has failed, and says so


def test_a_stale_input_blocks_too(trial: Trial, becomes: Callable[[Stage], None]) -> None:
    trial.pretend("prepare", GAN)
    becomes(never)
    assert trial.changed(gan={"drift": 0.5}).work(SYNTHESISE) == BLOCKED


def test_the_report_waits_for_nothing_but_a_cohort(
    trial: Trial, becomes: Callable[[Stage], None]
) -> None:
    becomes(makes_a_product)
    assert trial.work("aggregate") == BLOCKED
    trial.pretend("prepare")
    assert trial.work("aggregate") == DONE


def test_a_users_mistake_is_one_line(trial: Trial, becomes: Callable[[Stage], None]) -> None:
    def mistaken(context: Context) -> Outcome:
        raise UserError("sub-07: 2 dimensions, expected 3; is this a slice?")

    becomes(mistaken)
    assert trial.work("prepare") == MISTAKE == 2
    state = trial.state("prepare")
    assert (state["state"], state["kind"]) == ("failed", "mistake")
    assert state["reason"] == "sub-07: 2 dimensions, expected 3; is this a slice?"
    assert trial.log("prepare").count("\n") == 1
    assert trial.log("prepare").endswith(f"ERROR prepare: {state['reason']}\n")


def test_a_part_killed_for_its_memory_is_told_and_may_be_retried(
    trial: Trial, becomes: Callable[[Stage], None]
) -> None:
    def killed(context: Context) -> Outcome:
        raise ProcessKilled("a process was killed; run it again")

    becomes(killed)
    assert trial.work("prepare") == FAILED
    state = trial.state("prepare")
    assert (state["state"], state["kind"]) == ("failed", "memory")
    assert trial.log("prepare").endswith("ERROR prepare: a process was killed; run it again\n")


@pytest.mark.parametrize(
    ("error", "kind", "reason"),
    [
        (ValueError("first\nsecond"), "error", "ValueError: first"),
        (ZeroDivisionError(), "error", "ZeroDivisionError: "),
        (MemoryError(), "memory", "MemoryError: "),
        (RuntimeError("CUDA out of memory. x"), "memory", "RuntimeError: CUDA out of memory. x"),
    ],
)
def test_a_crash_leaves_its_reason_and_its_traceback(
    trial: Trial, becomes: Callable[[Stage], None], error: Exception, kind: str, reason: str
) -> None:
    def crashing(context: Context) -> Outcome:
        raise error

    becomes(crashing)
    assert trial.work("prepare") == FAILED == 1
    state = trial.state("prepare")
    assert (state["state"], state["kind"], state["reason"]) == ("failed", kind, reason)
    assert "Traceback (most recent call last)" in trial.log("prepare")
    assert "in crashing" in trial.log("prepare")


@pytest.mark.parametrize(
    ("number", "name", "told"),
    [
        (errno.EIO, "{root}/x.h5", "{root}/x.h5: input/output error; run the same command again"),
        (errno.ESTALE, None, "{root}: stale file handle; run the same command again"),
        (errno.ENOENT, "{root}/x.h5", "{root}/x.h5: no such file or directory; run the same"),
        (errno.ENOENT, "/elsewhere/x", None),
        (errno.EINVAL, "{root}/x.h5", None),
    ],
)
def test_a_failing_storage_is_one_line(
    trial: Trial,
    becomes: Callable[[Stage], None],
    number: int,
    name: str | None,
    told: str | None,
) -> None:
    root = trial.storage.root

    def fails(context: Context) -> Outcome:
        file = name and name.format(root=root)
        raise OSError(number, os.strerror(number), file)

    becomes(fails)
    assert trial.work("prepare") == (FAILED if told is None else MISTAKE)
    assert ("Traceback" in trial.log("prepare")) == (told is None)
    if told is not None:
        assert trial.state("prepare")["reason"].startswith(told.format(root=root))


def test_a_storage_that_went_away_before_the_task_began_is_one_line(
    trial: Trial, caplog: pytest.LogCaptureFixture
) -> None:
    assert run_task(str(trial.storage.experiment_file), "prepare") == MISTAKE
    assert f"{trial.storage.experiment_file}: no such experiment file" in caplog.text


def test_a_task_is_done_though_its_log_and_state_cannot_be_written(
    trial: Trial,
    becomes: Callable[[Stage], None],
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    files = trial.storage.files(trial.task("prepare"))
    files.folder.mkdir(parents=True)
    files.task_log.symlink_to("/dev/full")

    def makes_it_and_fills_the_disk(context: Context) -> Outcome:
        def no_room(*what: object) -> None:
            raise UserError("state.json: cannot be written (No space left on device)")

        monkeypatch.setattr(jobs.worker.heartbeat, "write_json", no_room)
        return makes_a_product(context)

    becomes(makes_it_and_fills_the_disk)
    assert trial.work("prepare") == DONE
    assert trial.ledger().done(trial.task("prepare"))
    said = capfd.readouterr()
    assert "task.log: cannot be written; lost: prepare: done in" in said.out
    assert "Traceback" not in said.out + said.err


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (UserError("state.json: cannot be written (No space left on device)"), "prepare: state.js"),
        (OSError(errno.EIO, "Input/output error", "state.json"), "prepare: state.json: input/out"),
    ],
)
def test_a_state_that_cannot_be_written_is_told_in_the_log(
    trial: Trial,
    becomes: Callable[[Stage], None],
    monkeypatch: pytest.MonkeyPatch,
    error: Exception,
    told: str,
) -> None:
    def refuses(*what: object) -> None:
        raise error

    monkeypatch.setattr(jobs.worker.heartbeat, "write_json", refuses)
    becomes(never)
    assert trial.work("prepare") == MISTAKE
    (line,) = trial.log("prepare").splitlines()
    assert f"ERROR {told}" in line


def test_a_lock_held_elsewhere_is_respected(trial: Trial, becomes: Callable[[Stage], None]) -> None:
    becomes(makes_a_product)
    trial.folder("prepare").mkdir(parents=True)
    with locked(trial.storage.files(trial.task("prepare")).lock):
        assert trial.work("prepare") == BUSY == 5
        assert trial.state("prepare") == {}
        assert f"prepare: another works on it: process {os.getpid()} on" in trial.log("prepare")
    assert trial.work("prepare") == DONE


def test_a_task_is_done_where_nothing_can_be_locked(
    trial: Trial, becomes: Callable[[Stage], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuses(*_: object) -> None:
        raise OSError(errno.ENOSYS, "Function not implemented")

    monkeypatch.setattr(fcntl, "flock", refuses)
    becomes(makes_a_product)
    assert trial.work("prepare") == DONE


def test_two_workers_never_run_one_task(trial: Trial, becomes: Callable[[Stage], None]) -> None:
    ended: list[int] = []

    def meanwhile_another_comes(context: Context) -> Outcome:
        becomes(makes_a_product)
        ended.append(trial.work("prepare"))
        return makes_a_product(context)

    becomes(meanwhile_another_comes)
    assert trial.work("prepare") == DONE
    assert ended == [BUSY]
    assert trial.state("prepare")["state"] == "done"


def test_attempts_are_counted_until_the_settings_change(
    trial: Trial, becomes: Callable[[Stage], None]
) -> None:
    def crashing(context: Context) -> Outcome:
        raise RuntimeError

    becomes(crashing)
    assert [trial.work("prepare") for _ in range(2)] == [FAILED] * 2
    assert trial.state("prepare")["attempts"] == 2
    becomes(makes_a_product)
    assert trial.work("prepare") == DONE
    manifest = trial.storage.files(trial.task("prepare")).manifest
    assert json.loads(manifest.read_text())["attempts"] == 3
    now = trial.changed(seed=1)
    assert now.work("prepare") == DONE
    assert now.state("prepare")["attempts"] == 1


def test_what_a_killed_task_leaves_is_never_taken_for_its_product(
    trial: Trial, becomes: Callable[[Stage], None]
) -> None:
    class Killed(BaseException):
        """As a kill: nothing of the worker's own runs after it."""

    def killed_between(context: Context) -> Outcome:
        makes_a_product(context)
        phase = context.files.folder / "phase-1"
        phase.mkdir()
        (phase / ".generator-x.part.safetensors").write_text("half")
        raise Killed

    trial.pretend("prepare")
    trial.pretend(GAN, content="of a run before")
    changed = trial.changed(gan={"drift": 0.5})
    becomes(killed_between)
    with pytest.raises(Killed):
        changed.work(GAN)
    assert changed.ledger().finding(changed.task(GAN)).state == "missing"
    assert trial.ledger().finding(trial.task(GAN)).state == "missing"
    becomes(makes_a_product)
    assert changed.work(GAN) == DONE
    left = {path.name for path in changed.folder(GAN).rglob("*") if path.is_file()}
    assert left == {".claim-2", "manifest.json", "product.txt", "state.json", "task.log"}

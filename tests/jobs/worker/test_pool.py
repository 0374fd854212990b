"""The whole experiment on this machine: what a failure costs, and how the command ends."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest

import jobs.commands.local_cli
from gansfer.errors import UserError
from jobs.experiment.plan import Plan
from jobs.store.processes import usable_cores
from jobs.store.storage import Storage
from jobs.worker.pool import LocalRun, _to_repeat, run_locally
from jobs.worker.run import BLOCKED, DONE
from tests.jobs.conftest import Asked, Finished
from tests.jobs.experiments import (
    BASELINE,
    GAN,
    RATIO,
    ROOT,
    SYNTHESISE,
    SYNTHETIC,
    Trial,
)

Gansfer = Callable[..., Asked]
COHORT_SYNTHETIC = "segment_cohort/seed-0/labels-01/synthetic"


def test_a_run_shows_its_tasks_and_ends_with_the_results(finished: Finished) -> None:
    lines = finished.asked.out.splitlines()
    done = [line for line in lines if line.startswith("done ")]
    assert len(done) == len(finished.plan.tasks) == 10
    assert done[0] == "done    prepare (1 of 10 tasks done)"
    assert done[-1] == "done    aggregate (10 of 10 tasks done)"
    assert any("ratio-2to1" in line and "(2)" in line for line in lines)
    assert lines[-1] == f"report: {finished.storage.report.page}"
    assert finished.asked.err == ""


def test_a_finished_experiment_has_nothing_to_do(finished: Finished, gansfer: Gansfer) -> None:
    before = {path: path.stat().st_mtime_ns for path in finished.storage.root.rglob("*.json")}
    asked = gansfer("run", finished.config)
    assert (asked.code, asked.err) == (0, "")
    lines = asked.out.splitlines()
    assert lines[0] == "nothing to do: every task is done"
    assert lines[1:] == finished.asked.out.splitlines()[-len(lines) + 1 :]
    assert {path: path.stat().st_mtime_ns for path in before} == before


@pytest.mark.parametrize("error", [EOFError, ConnectionResetError])
def test_a_server_that_was_killed_is_told_in_a_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: type[Exception]
) -> None:
    class Gone:
        def __init__(self, **parts: object) -> None:
            pass

        def start(self) -> None:
            raise error

    monkeypatch.setattr(
        "jobs.worker.pool._fork_server", lambda threads: SimpleNamespace(Process=Gone)
    )
    trial = Trial.make(tmp_path)
    with pytest.raises(UserError, match="the server that starts the tasks is gone"):
        run_locally(trial.plan, trial.storage)


@pytest.mark.slow
def test_a_failing_task_blocks_its_dependents_only(finished: Finished, tmp_path: Path) -> None:
    trial = finished.copied(tmp_path)
    for task_id in (SYNTHETIC, COHORT_SYNTHETIC, "aggregate"):
        trial.undo(task_id)
    (trial.folder(SYNTHETIC) / "model.safetensors").mkdir(parents=True)  # cannot be written over
    others = {
        task.id: trial.storage.files(task).manifest.stat().st_mtime_ns
        for task in trial.plan.tasks
        if trial.storage.files(task).manifest.exists()
    }
    ran = subprocess.run(
        [sys.executable, "-m", "jobs.commands.cli", "run", str(trial.config)],
        capture_output=True,
        text=True,
        cwd=ROOT,
        check=False,
    )
    assert ran.returncode == 1, ran.stdout + ran.stderr
    (line,) = ran.stderr.splitlines()
    assert line.startswith(f"failed  {SYNTHETIC}: IsADirectoryError: ")
    assert line.endswith(f"; see {trial.storage.files(trial.task(SYNTHETIC)).task_log}")
    assert "Traceback" in trial.log(SYNTHETIC)
    assert not trial.folder(COHORT_SYNTHETIC).exists()
    assert trial.ledger().done(trial.task("aggregate"))
    facts = (trial.storage.read_manifest(trial.task("aggregate")) or {})["facts"]
    assert len(facts["missing"]) == 2
    assert all(phrase.startswith("N = 1 Synthetic only") for phrase in facts["missing"])
    page = trial.storage.report.page.read_text()
    assert "Incomplete: 2 of 6 planned results are missing: N = 1 Synthetic only" in page
    assert "aggregate (8 of 10 tasks done)" in ran.stdout
    for task_id, written_ns in others.items():
        assert trial.storage.files(trial.task(task_id)).manifest.stat().st_mtime_ns == written_ns


@pytest.fixture
def ending(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Let `gansfer run` meet these exit codes, and other tasks done or never begun."""

    def put(codes: dict[str, int], *never: str, asked_to_stop: bool = False) -> None:
        def pretended(plan: Plan, storage: Storage, **how: object) -> LocalRun:
            others = {task.id for task in plan.tasks} - {*codes, *never}
            return LocalRun(
                plan, storage, already_done=others, ended=codes, asked_to_stop=asked_to_stop
            )

        monkeypatch.setattr(jobs.commands.local_cli, "run_locally", pretended)

    return put


@pytest.mark.parametrize(
    ("codes", "exit_code"),
    [
        ({BASELINE: 0}, 0),
        ({BASELINE: 1}, 1),
        ({BASELINE: -9}, 1),
        ({BASELINE: 4}, 1),
        ({BASELINE: 1, RATIO: 2}, 2),
        ({BASELINE: 75}, 75),
        ({BASELINE: 75, RATIO: 1}, 1),
    ],
)
def test_the_commands_exit_code_is_that_of_its_tasks(
    tmp_path: Path,
    ending: Callable[..., None],
    gansfer: Gansfer,
    codes: dict[str, int],
    exit_code: int,
) -> None:
    ending(codes)
    assert gansfer("run", Trial.make(tmp_path).config).code == exit_code


@pytest.mark.parametrize(
    ("code", "said"),
    [
        (-9, "its process was killed (signal 9)"),
        (255, "its process was killed"),  # with the server that had started it
        (
            5,
            "another process is working on it; run the same command again when that has ended",
        ),
    ],
)
def test_a_task_that_says_nothing_itself_is_told_by_how_it_ended(
    tmp_path: Path, ending: Callable[..., None], gansfer: Gansfer, code: int, said: str
) -> None:
    trial = Trial.make(tmp_path)
    ending({GAN: code})
    asked = gansfer("run", trial.config)
    log = trial.storage.files(trial.task(GAN)).task_log
    assert (asked.code, asked.err) == (1, f"failed  {GAN}: {said}; see {log}\n")


def test_a_task_whose_state_cannot_be_written_is_told_by_that(
    tmp_path: Path, ending: Callable[..., None], gansfer: Gansfer
) -> None:
    trial = Trial.make(tmp_path)
    ending({GAN: 2})
    asked = gansfer("run", trial.config)
    files = trial.storage.files(trial.task(GAN))
    told = f"failed  {GAN}: {files.state} could not be read or written; see {files.task_log}\n"
    assert (asked.code, asked.err) == (2, told)


@pytest.mark.parametrize(
    ("codes", "line"),
    [
        ({}, "stopped: state of 0 tasks saved; run the same command again to go on\n"),
        ({GAN: 75}, "stopped: state of 1 task saved; run the same command again to go on\n"),
        ({GAN: 75, BASELINE: 75, "prepare": 0}, "stopped: state of 2 tasks saved; run the"),
    ],
)
def test_a_stopped_run_says_how_to_go_on(
    tmp_path: Path,
    ending: Callable[..., None],
    gansfer: Gansfer,
    codes: dict[str, int],
    line: str,
) -> None:
    ending(codes, "aggregate", asked_to_stop=True)
    asked = gansfer("run", Trial.make(tmp_path).config)
    assert asked.out.startswith(line)
    assert asked.code == 75


def test_a_signal_that_comes_when_all_is_done_stops_nothing(
    tmp_path: Path, ending: Callable[..., None], gansfer: Gansfer
) -> None:
    ending({"aggregate": 0}, asked_to_stop=True)
    assert gansfer("run", Trial.make(tmp_path).config) == Asked(0, "", "")


def test_tasks_that_never_began_end_with_3(
    tmp_path: Path, ending: Callable[..., None], gansfer: Gansfer
) -> None:
    ending({}, "aggregate")
    assert gansfer("run", Trial.make(tmp_path).config).code == 3


def test_a_run_may_end_after_a_stage(
    tmp_path: Path, ending: Callable[..., None], gansfer: Gansfer
) -> None:
    trial = Trial.make(tmp_path)
    ending({})
    assert gansfer("run", trial.config, "--until", "train_gan").code == 0
    asked = gansfer("run", trial.config, "--until", "train_gans")
    assert asked.code == 2
    assert asked.err.startswith("error: --until train_gans: no such stage; there are prepare, ")


def test_cores_are_those_that_slurm_allots(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SLURM_CPUS_PER_TASK", "3")
    assert usable_cores() == 3
    monkeypatch.delenv("SLURM_CPUS_PER_TASK")
    assert usable_cores() >= 1


def test_tasks_run_the_installed_code_not_what_lies_where_one_is(tmp_path: Path) -> None:
    """A checkout of another version, say: its `jobs` would stand first on a server's path."""
    trial = Trial.make(tmp_path / "data")
    (tmp_path / "here" / "jobs").mkdir(parents=True)
    (tmp_path / "here" / "jobs" / "__init__.py").write_text("raise SystemExit('the wrong jobs')\n")
    command = "import sys; sys.path.pop(0); from jobs.commands.cli import main; main()"
    ran = subprocess.run(
        [sys.executable, "-c", command, "run", str(trial.config), "--until", "prepare"],
        cwd=tmp_path / "here",
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr


def test_two_tasks_that_find_one_input_damaged_are_both_run_again(tmp_path: Path) -> None:
    trial = Trial.make(tmp_path)
    plan = trial.plan
    baseline, ratio, prepare = (trial.task(one) for one in (BASELINE, RATIO, "prepare"))
    trial.pretend("prepare", SYNTHESISE)
    run = LocalRun(plan, trial.storage, already_done={"prepare", GAN, SYNTHESISE})
    ledger, repeated = trial.ledger(), set[str]()
    assert ledger.done(prepare)
    trial.storage.files(prepare).manifest.unlink()  # as the first of them withdraws it
    run.ended[BASELINE] = BLOCKED
    assert _to_repeat(baseline, run, ledger, repeated) == [baseline, prepare]
    assert not run.is_finished(prepare)
    run.ended[RATIO] = BLOCKED
    assert _to_repeat(ratio, run, ledger, repeated) == [ratio]
    run.ended |= {"prepare": DONE, BASELINE: BLOCKED}
    # A disk that damages what it is given: once is enough.
    assert _to_repeat(baseline, run, ledger, repeated) == []
    run.ended[SYNTHETIC] = 1
    assert _to_repeat(trial.task(SYNTHETIC), run, ledger, repeated) == []


def test_a_task_with_two_damaged_inputs_finds_one_after_the_other(tmp_path: Path) -> None:
    trial = Trial.make(tmp_path)
    prepare, gan, synthesise = (trial.task(one) for one in ("prepare", GAN, SYNTHESISE))
    trial.pretend("prepare", GAN)
    run = LocalRun(trial.plan, trial.storage, already_done={"prepare", GAN})
    ledger, repeated = trial.ledger(), set[str]()
    for need in (prepare, gan):
        trial.storage.files(need).manifest.unlink()
        run.ended[SYNTHESISE] = BLOCKED
        assert _to_repeat(synthesise, run, ledger, repeated) == [synthesise, need]
        trial.pretend(need.id)
        run.ended[need.id] = DONE
    run.ended[SYNTHESISE] = BLOCKED
    assert _to_repeat(synthesise, run, ledger, repeated) == []
    # Another task has withdrawn one while this one ran.
    run.ended.pop(GAN)
    assert _to_repeat(synthesise, run, ledger, repeated) == [synthesise]


def test_a_run_of_some_tasks_leaves_the_report_as_it_is(
    tmp_path: Path, gansfer: Gansfer, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked_for: list[str] = []

    def pretended(plan: Plan, storage: Storage, *, only: list[str], **how: object) -> LocalRun:
        asked_for[:] = only
        return LocalRun(plan, storage, ended=dict.fromkeys(only, 0), only=only)

    monkeypatch.setattr(jobs.commands.local_cli, "run_locally", pretended)
    trial = Trial.make(tmp_path)
    trial.pretend("prepare")
    ratio = RATIO.partition("/")[2].replace("seed-0/", "")
    asked = gansfer("run", trial.config, "--only", f"train_segmenter/{ratio}")
    assert asked_for == [GAN, SYNTHESISE, RATIO]
    assert (asked.code, asked.err) == (0, "")
    assert asked.out == (
        f"report: as it was; gansfer aggregate {trial.storage.root} makes it anew\n"
    )
    gansfer("run", trial.config, "--only", "fold-0", "--until", "train_gan")
    assert asked_for == [GAN]
    asked = gansfer("run", trial.config, "--only", "baseline", "--until", "train_gan")
    assert asked.err == (
        "error: --until train_gan: what --only names comes later; leave one of them out\n"
    )
    assert asked.code == 2

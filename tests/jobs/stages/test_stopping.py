"""A task that is asked to stop saves its state, and goes on from there."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import Any

import pytest

from jobs.stages import segmenting
from jobs.stages import synthesise as synthesis_stage
from jobs.stages.context import Context
from jobs.worker.heartbeat import Heartbeat
from jobs.worker.run import DONE, MISTAKE, STOPPED
from tests.jobs.conftest import Finished
from tests.jobs.experiments import BASELINE, COHORT_BASELINE, GAN, SYNTHESISE, Trial


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


def test_a_state_of_other_inputs_is_not_taken(
    finished: Finished, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trial = finished.copied(tmp_path, tasks=["prepare"])
    with monkeypatch.context() as patch:
        signal_at(patch, 3, signal.SIGTERM)
        assert trial.work(BASELINE) == STOPPED
    change_digest(trial, "prepare")
    with monkeypatch.context() as patch:
        reported = signal_at(patch, -1, signal.SIGTERM)
        assert trial.work(BASELINE) == DONE
    assert reported[0] == 1


def change_digest(trial: Trial, task_id: str) -> None:
    """As if the task had been run again and had left something else."""
    task = trial.task(task_id)
    manifest = trial.storage.read_manifest(task)
    assert manifest is not None
    trial.storage.write_manifest(task, manifest | {"digest": "0" * 64})


def counted(monkeypatch: pytest.MonkeyPatch, module: Any, name: str) -> list[object]:
    """Count the calls of a module's function, which is called as before."""
    calls: list[object] = []
    original = getattr(module, name)

    def counting(*args: Any, **kwargs: Any) -> Any:
        calls.append(args)
        return original(*args, **kwargs)

    monkeypatch.setattr(module, name, counting)
    return calls


def test_synthesis_goes_on_after_its_last_block(
    finished: Finished, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(synthesis_stage, "BLOCK_SLICES", 8)  # three blocks a phase
    made = counted(monkeypatch, synthesis_stage, "make_slices")
    undisturbed = finished.copied(tmp_path / "undisturbed", tasks=["prepare", GAN])
    assert undisturbed.work(SYNTHESISE) == DONE
    assert len(made) == 9
    trial = finished.copied(tmp_path / "disturbed", tasks=["prepare", GAN])
    for step, n_made in ((8, 10), (24, 12)):  # in phase 1; at its end
        with monkeypatch.context() as patch:
            signal_at(patch, step, signal.SIGTERM)
            assert trial.work(SYNTHESISE) == STOPPED
        assert len(made) == n_made
    first = trial.folder(SYNTHESISE) / "phase-1.h5"
    written = first.stat().st_mtime_ns
    assert trial.work(SYNTHESISE) == DONE
    assert len(made) == 18 and first.stat().st_mtime_ns == written
    for name in ("phase-1.h5", "phase-2.h5", "phase-3.h5", "quality.csv"):
        expected = (undisturbed.folder(SYNTHESISE) / name).read_bytes()
        assert (trial.folder(SYNTHESISE) / name).read_bytes() == expected, name
    facts = [one.storage.read_manifest(one.task(SYNTHESISE)) for one in (trial, undisturbed)]
    assert facts[0] and facts[1] and facts[0]["facts"] == facts[1]["facts"]
    assert not (trial.folder(SYNTHESISE) / ".parts").exists()


@pytest.mark.parametrize("suffix", [".png", ".pdf"])
def test_synthesis_is_not_done_without_a_picture_that_it_drew(
    finished: Finished, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, suffix: str
) -> None:
    """As where the storage was away for a while, and what was written meanwhile is not in it."""
    trial = finished.copied(tmp_path, tasks=["prepare", GAN])
    real = synthesis_stage.describe_synthesis

    def losing(context: Context, *rest: Any) -> None:
        real(context, *rest)
        context.files.picture("embedding").with_suffix(suffix).unlink()

    with monkeypatch.context() as patch:
        patch.setattr(synthesis_stage, "describe_synthesis", losing)
        assert trial.work(SYNTHESISE) == MISTAKE
    assert not trial.ledger().done(trial.task(SYNTHESISE))
    assert trial.work(SYNTHESISE) == DONE
    assert trial.storage.files(trial.task(SYNTHESISE)).picture("embedding").exists()


def test_blocks_of_another_generator_are_not_taken(
    finished: Finished, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = counted(monkeypatch, synthesis_stage, "make_slices")
    trial = finished.copied(tmp_path, tasks=["prepare", GAN])
    with monkeypatch.context() as patch:
        signal_at(patch, 24, signal.SIGTERM)
        assert trial.work(SYNTHESISE) == STOPPED
    change_digest(trial, GAN)
    assert trial.work(SYNTHESISE) == DONE
    assert len(made) == 1 + 3


def test_segmenting_the_cohort_goes_on_after_the_last_subjects(
    finished: Finished, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(segmenting, "_SUBJECTS_AT_ONCE", 1)
    segmented = counted(monkeypatch, segmenting, "segment_slices")
    trial = finished.copied(tmp_path, tasks=["prepare", BASELINE])
    n_slices = 12  # of a subject
    with monkeypatch.context() as patch:
        signal_at(patch, 2 * n_slices, signal.SIGTERM)
        assert trial.work(COHORT_BASELINE) == STOPPED
    assert len(segmented) == 3  # the third left at once
    assert trial.work(COHORT_BASELINE) == DONE
    assert len(segmented) == 3 + 6
    for name in ("metrics.csv", "predictions.h5"):
        expected = (finished.folder(COHORT_BASELINE) / name).read_bytes()
        assert (trial.folder(COHORT_BASELINE) / name).read_bytes() == expected, name
    assert not (trial.folder(COHORT_BASELINE) / ".parts").exists()

"""What TensorBoard is shown, read back with its own reader; and that nothing else changes."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image as Pillow
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from gansfer.errors import UserError
from gansfer.progress import Silent
from jobs.checking.validation import check_packages
from jobs.worker.live_events import LiveEvents
from jobs.worker.run import DONE, MISTAKE
from tests.jobs.conftest import Finished
from tests.jobs.experiments import BASELINE, GAN, Trial


def _events(folder: Path) -> EventAccumulator:
    events = EventAccumulator(str(folder))
    events.Reload()
    return events


def _curve(folder: Path, name: str) -> list[tuple[int, float]]:
    return [(one.step, round(one.value, 4)) for one in _events(folder).Scalars(name)]


def test_numbers_are_curves_and_pictures_are_pictures(tmp_path: Path) -> None:
    Pillow.new("RGB", (6, 4), "red").save(tmp_path / "red.png")
    with LiveEvents(Silent(), tmp_path / "events") as live:
        live.record({"step": 1, "images": 8, "phase": 2, "loss": 0.5, "score": None})
        assert _curve(tmp_path / "events" / "phase-2", "loss") == [(8, 0.5)]
        live.record({"step": 2, "images": 16, "phase": 2, "loss": 0.25, "score": 3})
        # Before the end: each is written as it comes.
        assert _curve(tmp_path / "events" / "phase-2", "loss") == [(8, 0.5), (16, 0.25)]
        live.record({"images": 16, "phase": 2, "samples": tmp_path / "red.png"})
        live.record({"step": 7, "loss": 0.125})
    phase = _events(tmp_path / "events" / "phase-2")
    assert phase.Tags()["scalars"] == ["loss", "score"]
    (picture,) = phase.Images("samples")
    assert (picture.step, picture.width, picture.height) == (16, 6, 4)
    assert _curve(tmp_path / "events", "loss") == [(7, 0.125)]


def test_what_an_attempt_wrote_beyond_its_last_state_is_void(tmp_path: Path) -> None:
    for steps, loss in (((10, 20, 30, 40), 1.0), ((20, 30), 2.0)):
        with LiveEvents(Silent(), tmp_path) as live:
            for step in steps:
                live.record({"step": step, "loss": loss})
    assert _curve(tmp_path, "loss") == [(10, 1.0), (20, 2.0), (30, 2.0)]


def test_the_setting_makes_no_task_stale(tmp_path: Path) -> None:
    without = Trial.make(tmp_path / "without")
    asked = Trial.make(tmp_path / "with", run={"tensorboard": True})
    assert asked.plan.experiment.run.tensorboard
    fingerprints = [
        {task.id: task.fingerprint for task in one.plan.tasks} for one in (without, asked)
    ]
    assert fingerprints[0] == fingerprints[1]


def test_a_missing_package_is_one_line_before_anything_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "tensorboard", None)
    check_packages(Trial.make(tmp_path / "without").plan.experiment)
    trial = Trial.make(tmp_path, run={"tensorboard": True})
    with pytest.raises(UserError, match=r"^run.tensorboard: the package tensorboard is not inst"):
        check_packages(trial.plan.experiment)
    assert (
        trial.work("prepare") == MISTAKE
    )  # where the machine that submits has it and this has not
    assert "pip install" in trial.state("prepare")["reason"]
    assert not trial.storage.cohort.joinpath("subjects.csv").exists()


def test_trainings_show_losses_rates_and_dice_and_leave_the_same_products(
    finished: Finished, tmp_path: Path
) -> None:
    trial = finished.copied(tmp_path, run={"tensorboard": True})
    for task_id in (GAN, BASELINE):
        task = trial.task(task_id)
        before = trial.storage.read_manifest(task)
        trial.undo(task_id)
        assert trial.work(task_id) == DONE
        after = trial.storage.read_manifest(task)
        assert before is not None and after is not None
        assert after["files"] == before["files"]
    gan = trial.storage.events(trial.task(GAN))
    for phase in (1, 2, 3):
        events = _events(gan / f"phase-{phase}")
        assert [one.step > 0 for one in events.Images("samples")] == [True]
        critic = "image" if phase > 1 else "joint"
        wanted = {f"learning_rate_{name}" for name in ("generator", critic)}
        assert wanted | {"loss_generator", "skipped_generator"} <= {*events.Tags()["scalars"]}
        rate = trial.plan.experiment.gan.learning_rate
        assert {one.value for one in events.Scalars("learning_rate_generator")} == {
            np.float32(rate)
        }
    segmenter = _events(trial.storage.events(trial.task(BASELINE)))
    assert {"loss", "dice", "learning_rate", "test_dice/overall"} <= {*segmenter.Tags()["scalars"]}
    (overall,) = segmenter.Scalars("test_dice/overall")
    assert 0 <= overall.value <= 1

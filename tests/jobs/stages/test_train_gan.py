"""The phases of one GAN: what a change leaves alone, and what it makes anew."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch

from gansfer.cohort.shards import Cohort
from gansfer.gan.phases import Phase, PhaseResult
from gansfer.training.precision import settled_precision
from jobs.reporting.training_facts import failed_quality
from jobs.stages import segment_cohort as cohort_stage
from jobs.stages import train_gan as train_gan_stage
from jobs.stages import train_segmenter as segmenter_stage
from jobs.worker.run import DONE, FAILED, MISTAKE
from tests.jobs.conftest import Finished
from tests.jobs.experiments import BASELINE, COHORT_BASELINE, GAN, Trial


def files_of(trial: Trial, phase: int) -> dict[str, tuple[int, bytes]]:
    """Time and content of each of a phase's files."""
    folder = trial.storage.files(trial.task(GAN)).phase(phase).folder
    return {
        path.name: (path.stat().st_mtime_ns, path.read_bytes()) for path in sorted(folder.iterdir())
    }


@pytest.fixture
def trial(finished: Finished, tmp_path: Path) -> Trial:
    return finished.copied(tmp_path, tasks=["prepare", GAN])


def test_a_changed_phase_3_leaves_phases_1_and_2_alone(trial: Trial) -> None:
    before = {phase: files_of(trial, phase) for phase in (1, 2, 3)}
    now = trial.changed(gan={"phase_3": {"label_weight": 2.0}})
    assert now.work(GAN) == DONE
    after = {phase: files_of(now, phase) for phase in (1, 2, 3)}
    assert after[1] == before[1]
    assert after[2] == before[2]
    assert after[3].keys() == before[3].keys()
    for name in ("generator.safetensors", "label-critic.safetensors", "phase.json"):
        assert after[3][name][1] != before[3][name][1], name
    assert now.ledger().done(now.task(GAN))


def test_a_checkpoint_outlived_by_its_phase_is_removed(trial: Trial) -> None:
    """As when the process is killed between the phase's last file and the end of its checkpoint."""
    left = trial.storage.files(trial.task(GAN)).phase(2).folder / "checkpoint-0000000004.pt"
    left.write_bytes(b"large")
    trial.storage.files(trial.task(GAN)).manifest.unlink()
    assert trial.work(GAN) == DONE
    assert not left.exists()


def test_a_kept_phases_damaged_picture_is_drawn_again(
    trial: Trial, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = files_of(trial, 1)
    files = trial.storage.files(trial.task(GAN))
    files.phase(1).picture("samples").write_bytes(b"no picture")
    files.phase(1).picture("losses").unlink()
    files.manifest.unlink()
    asked = trained(monkeypatch)
    assert trial.work(GAN) == DONE
    assert asked == []
    after = files_of(trial, 1)
    assert after.keys() == before.keys()
    assert {name for name in after if after[name][1] != before[name][1]} == set()
    assert {name for name in after if after[name][0] != before[name][0]} == {
        "samples.png",
        "losses.png",
    }


def test_a_damaged_phase_2_is_trained_again_and_leaves_all_its_files(trial: Trial) -> None:
    before = files_of(trial, 2)
    files = trial.storage.files(trial.task(GAN))
    files.phase(2).generator.write_bytes(files.phase(2).generator.read_bytes()[:-9])
    files.manifest.unlink()
    assert trial.work(GAN) == DONE
    after = files_of(trial, 2)
    assert {name: one[1] for name, one in after.items()} == {
        name: one[1] for name, one in before.items()
    }


@pytest.mark.parametrize(
    ("what", "becomes", "phases"),
    [
        ("samples.png", "samphes.png", []),  # a bit of the file that says what there is
        ('"phase": 1', '"phase": 3', []),
        ('"pictures"', '"pictuses"', [1]),
        ('"files"', '"biles"', [1]),
    ],
)
def test_what_is_said_of_a_kept_phase_is_said_rightly_again(
    trial: Trial, monkeypatch: pytest.MonkeyPatch, what: str, becomes: str, phases: list[int]
) -> None:
    identity = trial.storage.files(trial.task(GAN)).phase(1).identity
    before = identity.read_text()
    assert what in before
    identity.write_text(before.replace(what, becomes))
    trial.storage.files(trial.task(GAN)).manifest.unlink()
    asked = trained(monkeypatch)
    trial.work(GAN)
    assert asked == phases
    assert phases or identity.read_text() == before


def test_a_phase_whose_files_went_while_it_was_written_is_not_ended(
    trial: Trial, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As where the storage was away for a while, and what was written meanwhile is not in it."""
    files = trial.storage.files(trial.task(GAN)).phase(3)
    files.identity.unlink()
    trial.storage.files(trial.task(GAN)).manifest.unlink()
    real = train_gan_stage._write_samples

    def losing(*args: Any) -> float | None:
        files.generator.unlink()
        return real(*args)

    with monkeypatch.context() as patch:
        patch.setattr(train_gan_stage, "_write_samples", losing)
        assert trial.work(GAN) == MISTAKE
    assert not files.identity.exists()
    assert trial.work(GAN) == DONE
    assert files.generator.exists()


def test_a_kept_phases_damaged_log_is_not_shown(
    trial: Trial, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = trial.storage.files(trial.task(GAN))
    files.phase(2).log.write_bytes(files.phase(2).log.read_bytes()[:-9])
    files.manifest.unlink()
    asked = trained(monkeypatch)
    assert trial.work(GAN) == FAILED
    assert asked == [2]


def trained(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The phases that are asked to train from now on; none does."""
    asked: list[int] = []

    class Trained(Exception):
        pass

    def refuse(phase: Phase, **how: object) -> None:
        asked.append(phase.schedule.phase)
        raise Trained

    monkeypatch.setattr(train_gan_stage, "train_phase", refuse)
    return asked


@pytest.mark.parametrize(
    ("change", "first"),
    [
        ({}, None),
        ({"gan": {"max_skipped_fraction": 0.5}}, None),
        ({"gan": {"phase_3": {"images": 40}}}, 3),
        ({"gan": {"phase_2": {"images": 40}}}, 2),
        ({"gan": {"phase_1": {"fade_images": 40}}}, 1),
        ({"gan": {"drift": 0.5}}, 1),
        ({"cohort": {"encoding": {"label_percentile": 90}}}, 1),
        ({"grid": {"group_size": 3}}, 1),
    ],
)
def test_training_begins_at_the_first_phase_that_a_change_concerns(
    trial: Trial, monkeypatch: pytest.MonkeyPatch, change: dict[str, object], first: int | None
) -> None:
    asked = trained(monkeypatch)
    now = trial.changed(**change)
    now.storage.files(now.task(GAN)).manifest.unlink()
    assert now.work(GAN) == (DONE if first is None else FAILED)
    assert asked == ([] if first is None else [first])


def test_another_cohort_is_trained_on_anew(trial: Trial, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = trained(monkeypatch)
    prepare = trial.task("prepare")
    manifest = trial.storage.read_manifest(prepare)
    assert manifest is not None
    trial.storage.write_manifest(prepare, {**manifest, "digest": "of another cohort"})
    assert trial.work(GAN) == FAILED
    assert asked == [1]


def test_a_phase_killed_before_its_last_file_is_trained_anew(
    trial: Trial, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = trained(monkeypatch)
    (trial.storage.files(trial.task(GAN)).phase(2).folder / "phase.json").unlink()
    trial.storage.files(trial.task(GAN)).manifest.unlink()
    assert trial.work(GAN) == FAILED
    assert asked == [2]


def facts(trial: Trial, task_id: str) -> dict[str, Any]:
    manifest = trial.storage.read_manifest(trial.task(task_id))
    assert manifest is not None
    return dict(manifest["facts"])


def test_skipped_updates_and_variety_of_each_phase_are_on_record(finished: Finished) -> None:
    found = facts(finished, GAN)
    assert found["failed_quality"] == []
    assert list(found["phases"]) == ["1", "2", "3"]
    critics = {"1": {"joint"}, "2": {"image"}, "3": {"image", "label"}}
    for phase, one in found["phases"].items():
        assert one["variety"] > 0.1
        assert one["precision"] == settled_precision("auto", "cpu")
        assert one["skipped_updates"].keys() == critics[phase] | {"generator"}
        assert all(skipped == 0 for skipped, _ in one["skipped_updates"].values())
    # 20 images a fade and as many after it, on a ladder of three levels, 4 at a time.
    assert found["phases"]["1"]["skipped_updates"]["generator"] == [0, 25]


def test_a_generator_that_draws_one_picture_is_on_record_with_its_phase(
    trial: Trial, monkeypatch: pytest.MonkeyPatch
) -> None:
    def collapsed(phase: Phase, **how: object) -> PhaseResult:
        assert phase.schedule.phase == 3
        state = phase.gan.generator.state_dict()
        same = {name: torch.zeros_like(value) for name, value in state.items()}
        skipped = {"image": (1, 40), "label": (0, 40), "generator": (0, 40)}
        critics = {"image": phase.gan.critics["image"].network.state_dict()}
        return PhaseResult(same, critics, [{"step": 1, "images": 4}], skipped, "float32")

    monkeypatch.setattr(train_gan_stage, "train_phase", collapsed)
    files = trial.storage.files(trial.task(GAN))
    files.phase(3).identity.unlink()
    files.phase(3).critic("coupling").touch()  # of other settings
    files.manifest.unlink()
    assert trial.work(GAN) == DONE
    assert set(files.phase(3).critics()) == {"image"}
    (said,) = facts(trial, GAN)["failed_quality"]
    assert said.startswith("phase 3 draws one picture, whatever the latent")
    assert facts(trial, GAN)["phases"]["3"] == {
        "skipped_updates": {"image": [1, 40], "label": [0, 40], "generator": [0, 40]},
        "variety": 0.0,
        "precision": "float32",
    }


def test_phases_from_before_facts_were_recorded_are_taken_as_they_are(trial: Trial) -> None:
    files = trial.storage.files(trial.task(GAN)).phase(1)
    files.facts.unlink()
    old = json.loads(files.identity.read_text())
    del old["files"]["facts.json"]
    files.identity.write_text(json.dumps(old))
    trial.storage.files(trial.task(GAN)).manifest.unlink()
    assert trial.work(GAN) == DONE
    assert list(facts(trial, GAN)["phases"]) == ["2", "3"]


def test_a_segmenter_that_finds_nothing_is_on_record(
    finished: Finished, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def nothing(*_: object) -> npt.NDArray[np.uint8]:
        return np.zeros((2, *Cohort(finished.storage.cohort).shape_zhw), np.uint8)

    trial = finished.copied(tmp_path, tasks=["prepare", BASELINE])
    assert facts(trial, BASELINE)["failed_quality"] == []
    monkeypatch.setattr(segmenter_stage, "segment_subjects", nothing)
    trial.storage.files(trial.task(BASELINE)).manifest.unlink()
    assert trial.work(BASELINE) == DONE
    (said,) = facts(trial, BASELINE)["failed_quality"]
    assert said == "predicts nothing: no foreground voxel in any of 2 test subjects"


def test_a_segmenter_that_finds_nothing_in_the_whole_cohort_is_on_record(
    finished: Finished, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def nothing(*_: object) -> npt.NDArray[np.uint8]:
        return np.zeros((8, *Cohort(finished.storage.cohort).shape_zhw), np.uint8)

    trial = finished.copied(tmp_path, tasks=["prepare", BASELINE, COHORT_BASELINE])
    assert facts(trial, COHORT_BASELINE)["failed_quality"] == []
    monkeypatch.setattr(cohort_stage, "segment_subjects", nothing)
    trial.storage.files(trial.task(COHORT_BASELINE)).manifest.unlink()
    assert trial.work(COHORT_BASELINE) == DONE
    (said,) = failed_quality(trial.plan, trial.ledger())
    assert said.startswith(f"{COHORT_BASELINE}: predicts nothing: no foreground voxel in any of 8 ")
    assert said.endswith(" images of the cohort")

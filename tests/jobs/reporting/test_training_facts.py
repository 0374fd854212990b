"""Trainings that went wrong without an error, from manifests to the page's data and `status`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from jobs.reporting.training_facts import failed_quality, skipped_updates, training_note
from tests.jobs.conftest import Asked
from tests.jobs.experiments import BASELINE, GAN, Trial

OTHER_GAN = GAN.replace("fold-0", "fold-1")
EMPTY = "predicts nothing: no foreground voxel in any of 2 test subjects"
ONE_PICTURE = "phase 3 draws one picture"


def phases(*skipped: tuple[int, int]) -> dict[str, Any]:
    """Facts of phases 1, 2, ...: critic's and generator's skipped updates, of 1,200 each."""
    return {
        str(n + 1): {
            "skipped_updates": {"joint": [critic, 1200], "generator": [generator, 1200]},
            "variety": 1.0,
        }
        for n, (critic, generator) in enumerate(skipped)
    }


def with_facts(trial: Trial, task_id: str, **facts: Any) -> None:
    task = trial.task(task_id)
    manifest = trial.storage.read_manifest(task)
    assert manifest is not None
    trial.storage.write_manifest(task, {**manifest, "facts": facts})


@pytest.fixture
def trial(tmp_path: Path) -> Trial:
    """Everything is done, nothing of it is on record."""
    trial = Trial.make(tmp_path, grid={"use_folds": [0, 1]})
    trial.pretend(*(task.id for task in trial.plan.tasks if task.stage != "aggregate"))
    return trial


def test_failures_carry_the_cells_name_and_count_while_done(trial: Trial) -> None:
    assert failed_quality(trial.plan, trial.ledger()) == []
    with_facts(trial, GAN, phases=phases((0, 0)), failed_quality=[ONE_PICTURE])
    with_facts(trial, BASELINE, failed_quality=[EMPTY])
    found = [f"{GAN}: {ONE_PICTURE}", f"{BASELINE}: {EMPTY}"]
    assert failed_quality(trial.plan, trial.ledger()) == found
    now = trial.changed(grid={"use_folds": [0, 1]}, gan={"drift": 0.5})  # the GAN is stale
    assert failed_quality(now.plan, now.ledger()) == found[1:]


def test_skipped_updates_are_told_by_gan_the_sound_and_the_old_as_one(trial: Trial) -> None:
    assert skipped_updates(trial.plan, trial.ledger()) == [("2 GANs", "not on record")]
    with_facts(trial, GAN, phases=phases((0, 0), (0, 0), (0, 0)))
    with_facts(trial, OTHER_GAN, phases=phases((12, 0), (0, 0), (0, 3)))
    assert skipped_updates(trial.plan, trial.ledger()) == [
        (
            OTHER_GAN,
            "phase 1 skipped 12 of 1,200 updates of joint; "
            "phase 3 skipped 3 of 1,200 updates of generator",
        ),
        ("1 GAN", "none skipped"),
    ]
    now = trial.changed(grid={"use_folds": [0, 1]}, gan={"drift": 0.5})
    assert skipped_updates(now.plan, now.ledger()) == []


def test_a_sound_or_an_old_manifest_needs_no_note() -> None:
    assert training_note(None) == ""
    assert training_note({"task": GAN}) == ""
    assert training_note({"facts": {"phases": phases((0, 0)), "failed_quality": []}}) == ""


def test_status_shows_what_is_done_badly(trial: Trial, gansfer: Callable[..., Asked]) -> None:
    assert f"done {GAN}" not in gansfer("status", trial.config).out
    with_facts(trial, GAN, phases=phases((12, 0)), failed_quality=[ONE_PICTURE])
    said = gansfer("status", trial.config).out
    (line,) = [line for line in said.splitlines() if GAN in line]
    assert line.startswith(f"done {GAN}: failed quality: {ONE_PICTURE}; phase 1 skipped 12 of")

"""What the report shows beside results: a picture that was damaged is left out and told."""

from __future__ import annotations

from pathlib import Path

import pytest

from jobs.reporting.files import pictures_of, planned_files
from jobs.store.manifest import file_digests
from tests.jobs.conftest import Finished
from tests.jobs.experiments import GAN, Trial


@pytest.fixture
def trial(tmp_path: Path) -> Trial:
    """A GAN whose one picture is there."""
    trial = Trial.make(tmp_path)
    trial.pretend("prepare", GAN)
    files = trial.storage.files(trial.task(GAN))
    files.phase(1).folder.mkdir()
    files.phase(1).picture("samples").write_bytes(b"a picture")
    return trial


def shown(trial: Trial) -> list[Path]:
    return [
        one.path for one in pictures_of(planned_files(trial.plan, trial.storage, trial.ledger()))
    ]


def test_a_damaged_picture_is_left_out_and_told(
    trial: Trial, caplog: pytest.LogCaptureFixture
) -> None:
    task = trial.task(GAN)
    picture, manifest = (
        trial.storage.files(task).phase(1).picture("samples"),
        trial.storage.read_manifest(task),
    )
    assert manifest is not None
    assert shown(trial) == [picture]  # of an earlier version, without a digest
    digests = file_digests(trial.folder(GAN), ("phase-1/samples.png",))
    trial.storage.write_manifest(task, {**manifest, "shown": digests})
    assert shown(trial) == [picture]
    assert not caplog.text
    picture.write_bytes(b"A picture")
    assert shown(trial) == []
    assert f"{picture} was damaged since it was written and is left out" in caplog.text
    assert trial.ledger().done(task)  # and nothing is computed again


def test_the_manifests_know_all_that_the_report_shows(finished: Finished) -> None:
    files = planned_files(finished.plan, finished.storage, finished.ledger())
    assert files["there"].all() and len(files) > 8
    for row in files.to_dict("records"):
        stage = "train_gan" if row["kind"] in ("samples", "losses") else "synthesise"
        (task,) = finished.plan.of_stage(stage)
        manifest = finished.storage.read_manifest(task)
        assert manifest is not None and row["file"] in manifest["shown"]

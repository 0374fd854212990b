from __future__ import annotations

from pathlib import Path

import pytest

from jobs.experiment_file import parse_experiment
from jobs.manifest import digest_files
from jobs.plan import make_plan
from jobs.scratch import cohort_folder
from jobs.storage import Storage

NAMES = ("subjects.csv", "images-000.h5")


@pytest.fixture
def staged(tmp_path, monkeypatch):
    """A cohort in storage, and a job whose node has an empty disk."""
    experiment = parse_experiment(
        {
            "name": "one",
            "storage": str(tmp_path / "runs"),
            "cohort": {"images": {"kind": "phantom"}},
            "cluster": {"stage_to_scratch": True},
        },
        "test",
    )
    plan, storage = make_plan(experiment), Storage(experiment)
    storage.cohort.mkdir(parents=True)
    for name in NAMES:
        (storage.cohort / name).write_text(name)
    digest = digest_files(storage.cohort, NAMES)
    storage.write_manifest(plan.by_id["prepare"], {"products": list(NAMES), "digest": digest})
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    monkeypatch.setenv("SLURM_TMPDIR", str(scratch))
    monkeypatch.setenv("SLURM_JOB_ID", "1")
    return plan, storage, scratch


def test_shards_are_copied_once(staged):
    plan, storage, scratch = staged
    folder = cohort_folder(plan, storage)
    assert folder.is_relative_to(scratch)
    assert sorted(path.name for path in folder.iterdir()) == sorted(NAMES)
    (storage.cohort / "subjects.csv").unlink()  # a second copy would miss it
    assert cohort_folder(plan, storage) == folder


def test_outside_a_job_and_unasked_they_stay_where_they_are(staged, monkeypatch):
    plan, storage, scratch = staged
    monkeypatch.delenv("SLURM_JOB_ID")
    assert cohort_folder(plan, storage) == storage.cohort
    assert not list(scratch.iterdir())


def test_a_damaged_copy_is_not_used(staged, caplog):
    plan, storage, scratch = staged
    (storage.cohort / "images-000.h5").write_text("damaged since")
    assert cohort_folder(plan, storage) == storage.cohort
    assert "differs from its manifest" in caplog.text
    assert not [
        path for path in Path(scratch).rglob("*") if path.is_file() and path.suffix != ".lock"
    ]

"""`gansfer validate` as a user runs it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from gansfer.errors import UserError
from jobs.checking.validation import check_packages, validate_experiment
from jobs.experiment.loading import load_experiment, parse_experiment
from tests.readers.layouts import experiment_values, folder_cohort, write_folder

ROOT = Path(__file__).resolve().parents[3]


def validate(config: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "jobs.commands.cli", "validate", str(config), "--workers", "2"],
        capture_output=True,
        text=True,
        cwd=ROOT,
        check=False,
    )


def test_all_problems_at_once_and_exit_code_2(tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "data")
    config = tmp_path / "mini.yaml"
    config.write_text(yaml.safe_dump(experiment_values(folder_cohort(folder), tmp_path / "runs")))
    whole = (folder / "images/s0.nii.gz").read_bytes()
    (folder / "images/s0.nii.gz").write_bytes(b"")
    (folder / "labels/s1.nii.gz").unlink()
    table = folder / "people.csv"
    table.write_text(table.read_text().replace(",60,", ",old,"))
    said = validate(config)
    assert said.returncode == 2
    assert [line for line in said.stderr.splitlines() if line.startswith("error: ")] == [
        f"error: {folder}/people.csv: line 5: age_years is 'old', expected a number such as 74.5; "
        "correct the row",
        f"error: {folder}/images/s0.nii.gz: cannot be read (the file has 0 bytes); download it "
        "again",
        f"error: {folder}/labels/s1.nii.gz: no such file; is the download complete?",
    ]
    assert not (tmp_path / "runs").exists()

    (folder / "images/s0.nii.gz").write_bytes(whole)
    (folder / "labels/s1.nii.gz").write_bytes((folder / "labels/s0.nii.gz").read_bytes())
    table.write_text(table.read_text().replace(",old,", ",N/A,"))
    notes = validate_experiment(load_experiment(config), workers=1)
    assert notes == ["4 images, 2 labelled, 4 in the unlabelled pool"]


def test_paths_come_first(tmp_path: Path) -> None:
    values = experiment_values(folder_cohort(tmp_path / "nowhere"), tmp_path / "runs")
    with pytest.raises(UserError) as caught:
        validate_experiment(parse_experiment(values, "mini.yaml"), workers=1)
    assert str(caught.value).splitlines() == [
        f"cohort.images.folder: {tmp_path}/nowhere is not a folder; set it to where the data are",
        f"cohort.images.table: {tmp_path}/nowhere/people.csv is not a file; set it to where the "
        "data are",
    ]


def test_more_labels_asked_for_than_there_are(tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "data", n_labelled=4)
    values = experiment_values(folder_cohort(folder), tmp_path / "runs")
    values["grid"]["label_counts"] = [1, 3]
    with pytest.raises(UserError, match="asks for 3 labelled subjects, but 2 folds of 4 leave 2"):
        validate_experiment(parse_experiment(values, "mini.yaml"), workers=1)


def test_a_package_that_the_tasks_will_lack_is_told_before_anything_runs(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    experiment = load_experiment(ROOT / "configs" / "smoke.yaml")
    check_packages(experiment)
    monkeypatch.setitem(sys.modules, "torch", None)
    monkeypatch.setitem(sys.modules, "h5py", None)
    told = r"has no torch, h5py, and the tasks will run with it; install them with pip install"
    with pytest.raises(UserError, match=told):
        check_packages(experiment)


def test_references_that_are_not_there_hide_nothing(tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "data")
    (folder / "images/s3.nii.gz").write_bytes(b"")
    references = {"kind": "dseg", "folder": str(tmp_path / "nowhere"), "protocol": "freesurfer"}
    values = experiment_values(folder_cohort(folder, references=references), tmp_path / "runs")
    with pytest.raises(UserError) as caught:
        validate_experiment(parse_experiment(values, "mini.yaml"), workers=1)
    assert str(caught.value).splitlines() == [
        f"cohort.references.folder: {tmp_path}/nowhere is not a folder; set it to where the data "
        "are",
        f"{folder}/images/s3.nii.gz: cannot be read (the file has 0 bytes); download it again",
    ]

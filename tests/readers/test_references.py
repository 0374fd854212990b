"""A folder of references: whose each file is, where it lies, and how many there are."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from gansfer.errors import UserError
from gansfer.readers.files.nifti import load_volume
from gansfer.readers.references import ReferenceFolder
from gansfer.subjects import Volume
from jobs.experiment.loading import parse_experiment
from jobs.experiment.plan import make_plan
from jobs.inputs.sources import make_file_source
from tests.readers.layouts import (
    FOLDER_AFFINE,
    FOLDER_SHAPE,
    brain,
    experiment_values,
    folder_cohort,
    two_structures,
    write_folder,
    write_nifti,
)

STRUCTURES = ("hippocampus", "thalamus")


def references(
    folder: Path, pattern: str = "{id}*_MALPEM.nii.gz", **options: bool
) -> ReferenceFolder:
    folder.mkdir(exist_ok=True)
    return ReferenceFolder(folder, STRUCTURES, "freesurfer", pattern, **options)


def moved(*mm: float) -> np.ndarray:
    affine = FOLDER_AFFINE.copy()
    affine[:3, 3] += mm
    return affine


def image_of(tmp_path: Path) -> Volume:
    path = write_nifti(tmp_path / "image.nii.gz", brain(FOLDER_SHAPE), FOLDER_AFFINE)
    return load_volume(path)


@pytest.mark.parametrize(
    ("pattern", "name", "found"),
    [
        ("{id}*_MALPEM.nii.gz", "s10_MALPEM.nii.gz", False),
        ("{id}*_MALPEM.nii.gz", "s1_MALPEM.nii.gz", True),
        ("{id}*_MALPEM.nii.gz", "s1_mpr_n4_MALPEM.nii.gz", True),
        ("*{id}_dseg.nii.gz", "xs1_dseg.nii.gz", False),
        ("*{id}_dseg.nii.gz", "sub-s1_dseg.nii.gz", True),
        ("sub{id}T1.nii.gz", "subs1T1.nii.gz", True),
    ],
)
def test_a_file_is_of_the_session_whose_whole_id_it_bears(
    tmp_path: Path, pattern: str, name: str, found: bool
) -> None:
    path = write_nifti(tmp_path / "r" / name, two_structures(), FOLDER_AFFINE)
    assert references(tmp_path / "r", pattern).path_of("s1") == (path if found else None)


def test_a_file_for_two_sessions_is_refused(tmp_path: Path) -> None:
    path = write_nifti(tmp_path / "r" / "s1_b_MALPEM.nii.gz", two_structures(), FOLDER_AFFINE)
    assert references(tmp_path / "r").survey(["s1", "s1_b"])[0] == [
        f"{path}: matches {{id}}*_MALPEM.nii.gz for s1 and for s1_b, expected one; make the "
        "pattern narrower"
    ]


def test_none_at_all_is_an_error_and_some_missing_a_note(tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "data")
    (tmp_path / "r").mkdir()
    given = {"kind": "dseg", "folder": str(tmp_path / "r"), "protocol": "freesurfer"}
    values = experiment_values(folder_cohort(folder, references=given), tmp_path / "runs")
    cohort = parse_experiment(values, "mini.yaml").cohort
    assert make_file_source(cohort).survey().problems == (
        f"{tmp_path}/r: no file matches {{id}}*_MALPEM.nii.gz for any of 4 images (s0 is the "
        "first); correct folder or pattern, or set references to none",
    )
    write_nifti(tmp_path / "r" / "s1_MALPEM.nii.gz", two_structures(), FOLDER_AFFINE)
    survey = make_file_source(cohort).survey()
    assert survey.problems == ()
    assert survey.notes == (
        f"{tmp_path}/r: 3 of 4 images have no reference (s0 is the first); they are left out "
        "where references are measured",
    )


def test_a_reference_lies_where_its_image_lies(tmp_path: Path) -> None:
    image = image_of(tmp_path)
    path = write_nifti(tmp_path / "r" / "s1_MALPEM.nii.gz", two_structures(), moved(40, 0, 0))
    with pytest.raises(UserError) as caught:
        references(tmp_path / "r").load("s1", image)
    assert str(caught.value) == (
        f"{path}: its header places it 20.0 voxels off the image of s1; set resample: true to "
        "bring it to the image's grid, or give labels on that grid"
    )
    unplaced = replace(image, placed=False)  # as the T88 images, which are Analyze
    assert references(tmp_path / "r").load("s1", unplaced) is not None


def test_a_reference_on_another_grid_is_resampled_where_asked(tmp_path: Path) -> None:
    image = image_of(tmp_path)
    write_nifti(tmp_path / "r" / "s1_MALPEM.nii.gz", two_structures()[2:], moved(-4, 0, 0))
    found = references(tmp_path / "r", resample=True).load("s1", image)
    assert found is not None
    np.testing.assert_array_equal(found > 0, np.isin(two_structures(), (10, 17, 49, 53)))


def test_to_resample_references_is_a_setting_that_old_cohorts_did_not_have(tmp_path: Path) -> None:
    def settings(**options: bool) -> dict:
        given = {"kind": "dseg", "folder": str(tmp_path), **options}
        cohort = folder_cohort(tmp_path, references=given)
        experiment = parse_experiment(experiment_values(cohort, tmp_path / "runs"), "mini.yaml")
        return make_plan(experiment).by_id["prepare"].settings["cohort"]["references"]

    assert "resample" not in settings()
    assert settings(resample=True)["resample"] is True

"""A plain folder with a table: who is found, and what the numbers of its labels become."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gansfer.errors import UserError
from gansfer.readers.folder import list_folder
from gansfer.readers.listed import ListedSource
from gansfer.readers.protocols import LabelProtocol
from tests.readers.layouts import (
    FOLDER_AFFINE,
    FOLDER_SHAPE,
    brain,
    head_volume,
    two_structures,
    write_folder,
    write_nifti,
)

STRUCTURES = ("hippocampus", "thalamus")
FREESURFER = LabelProtocol.named("labels", "freesurfer", STRUCTURES)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write_folder(tmp_path / "data")


def edit(folder: Path, old: str, new: str) -> None:
    table = folder / "people.csv"
    text = table.read_text()
    assert old in text
    table.write_text(text.replace(old, new))


def source(folder: Path, numbers: LabelProtocol = FREESURFER, **options: Any) -> ListedSource:
    listing = list_folder(folder, folder / "people.csv", numbers, numbers, **options)
    return ListedSource(listing, in_common_space=True)


def test_people_and_facts(folder: Path) -> None:
    subjects = source(folder).subjects()
    assert [one.id for one in subjects] == ["s0", "s1", "s2", "s3"]
    assert [one.labelled for one in subjects] == [True, True, False, False]
    assert all(one.in_pool for one in subjects)
    assert (subjects[1].age_years, subjects[1].sex, subjects[1].cdr) == (40, "M", 0.5)


def test_left_and_right_become_one_number_and_white_matter_is_found(folder: Path) -> None:
    raw = source(folder).load("s0")
    assert raw.label is not None and raw.white_matter_mask is not None
    wanted = np.zeros(FOLDER_SHAPE, np.uint8)
    wanted[np.isin(two_structures(), (17, 53))] = 1
    wanted[np.isin(two_structures(), (10, 49))] = 2
    np.testing.assert_array_equal(raw.label, wanted)
    np.testing.assert_array_equal(raw.white_matter_mask, two_structures() == 2)


def test_a_mapping_of_the_users_with_any_names(folder: Path) -> None:
    mapping = {"right": [53, 49], "left": [17], "white_matter": [10]}
    numbers = LabelProtocol.named("labels", mapping, ("left", "right"))
    raw = source(folder, numbers).load("s0")
    assert raw.label is not None and raw.white_matter_mask is not None
    assert (raw.label[two_structures() == 17] == 1).all()
    assert (raw.label[np.isin(two_structures(), (53, 49))] == 2).all()
    np.testing.assert_array_equal(raw.white_matter_mask, two_structures() == 10)


@pytest.mark.parametrize("protocol", ["neuromorphometrics", "malpem", "freesurfer", "gansfer"])
def test_no_number_of_any_protocol_is_lost_or_swapped(protocol: str) -> None:
    from gansfer.structures import PAPER_STRUCTURES, PROTOCOLS

    numbers = LabelProtocol.named("labels", protocol, PAPER_STRUCTURES)
    for value, name in enumerate(PAPER_STRUCTURES, start=1):
        assert numbers.numbers_of(value) == sorted(PROTOCOLS[protocol][name])


def test_several_sessions_of_a_person_have_one_label(folder: Path) -> None:
    for n in (0, 1):
        edit(folder, f"s{n},,", f"s{n},anna,")
    edit(folder, "s2,,", "s2,anna,")
    by_id = {one.id: one for one in source(folder).subjects()}
    assert [one.id for one in by_id.values() if one.labelled] == ["s0"]
    assert (by_id["s1"].labelled_as, by_id["s1"].repeat_of) == ("s0", "s0")
    assert (by_id["s2"].labelled_as, by_id["s2"].repeat_of) == ("s0", "s0")
    assert (by_id["s3"].labelled_as, by_id["s3"].repeat_of) == (None, None)
    assert source(folder).load("s1").label is None


def test_references_and_the_pool(folder: Path) -> None:
    write_nifti(folder / "labels" / "ref.nii.gz", two_structures(), FOLDER_AFFINE)
    edit(folder, "images/s3.nii.gz,,,,60,M,2,", "images/s3.nii.gz,,,labels/ref.nii.gz,60,M,2,no")
    raw = source(folder).load("s3")
    assert raw.reference is not None and raw.label is None
    assert not raw.subject.in_pool
    assert np.bincount(raw.reference.ravel())[1:].tolist() == [96, 48]


def test_labels_on_another_grid_are_resampled_when_asked(folder: Path) -> None:
    fine = np.kron(two_structures(), np.ones((2, 2, 2), np.int16))
    affine = FOLDER_AFFINE @ np.diag([0.5, 0.5, 0.5, 1.0])
    affine[:3, 3] += FOLDER_AFFINE[:3, :3] @ [-0.25, -0.25, -0.25]
    write_nifti(folder / "labels" / "s0.nii.gz", fine, affine)
    with pytest.raises(UserError, match="set resample: true to bring it to the image's grid"):
        source(folder).load("s0")
    raw = source(folder, resample_labels=True).load("s0")
    np.testing.assert_array_equal(raw.label, source(folder).load("s1").label)


def test_a_segmentation_of_the_whole_brain_is_its_mask(folder: Path) -> None:
    big = np.diag([-5.0, 5, 5, 1])
    whole = np.where(brain(FOLDER_SHAPE) != 0, 1000, 0).astype(np.int16)
    whole[two_structures() > 0] = two_structures()[two_structures() > 0]
    whole[20, 20, 10] = 0  # a hole
    write_nifti(folder / "images" / "s0.nii.gz", head_volume(FOLDER_SHAPE), big)
    write_nifti(folder / "labels" / "s0.nii.gz", whole, big)
    raw = source(folder).load("s0")
    np.testing.assert_array_equal(raw.brain_mask, brain(FOLDER_SHAPE) != 0)

    edit(folder, "s0,,", "s0,anna,")
    edit(folder, "s1,,", "s1,anna,")
    for kind in ("images", "labels"):
        (folder / kind / "s0.nii.gz").rename(folder / kind / "s1.nii.gz")
    second = source(folder).load("s1")
    assert second.label is None  # a person is labelled once
    np.testing.assert_array_equal(second.brain_mask, brain(FOLDER_SHAPE) != 0)


def test_columns_that_are_nearly_read_are_noted(tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "data")
    table = folder / "people.csv"
    wrong = {"age_years": "age", "cdr": "CDR", "in_pool": "scanner", "reference": "refrence"}
    header, *rows = table.read_text().splitlines()
    for name, other in wrong.items():
        header = header.replace(name, other)
    table.write_text("\n".join([header, *rows]) + "\n")
    listing = list_folder(folder, table, None, None)
    assert listing.notes == tuple(
        f"{table}: column '{wrong[name]}' is not read; if it is {name}, name it {name}"
        for name in ("reference", "age_years", "cdr")
    )
    assert (
        list_folder(write_folder(tmp_path / "b"), tmp_path / "b/people.csv", None, None).notes == ()
    )


def test_a_template_among_the_images_needs_no_row(folder: Path) -> None:
    template = write_nifti(folder / "images/template.nii.gz", brain(FOLDER_SHAPE), FOLDER_AFFINE)
    table = folder / "people.csv"
    assert list_folder(folder, table, None, None).problems == (
        f"{template}: is in no row of {table}; add a row, or move the file away",
    )
    assert list_folder(folder, table, None, None, template=template).problems == ()

"""The wall between training and test: what a cell may read, and what it never asks for."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from gansfer.cohort.encode import fit_code
from gansfer.cohort.shards import Cohort
from gansfer.cohort.training_data import (
    TrainingData,
    fit_group_code,
    labelled_folds,
    roles_in_cell,
)
from gansfer.cohort.writing import write_cohort
from gansfer.preprocessing.preprocess import PreparedSubject
from gansfer.settings import EncodingSettings, RoiSettings
from gansfer.subjects import Subject

ROI = RoiSettings(size_mm=(8, 8, 6), voxel_mm=2.0)
N_LABELLED = 6


class Watched(Cohort):
    """A cohort that remembers whose labels and white matter were asked for."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.labels_of: set[str] = set()

    def labels(self, ids: Sequence[str]) -> npt.NDArray[np.uint8]:
        self.labels_of |= set(ids)
        return super().labels(ids)

    def white_matter(self, ids: Sequence[str]) -> npt.NDArray[np.float32]:
        self.labels_of |= set(ids)  # may come from white-matter labels
        return super().white_matter(ids)

    def references(self, ids: Sequence[str]) -> Any:
        raise AssertionError(f"a reference of {ids} was asked for")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six labelled people; images of each in the pool under another id; two more; a repeat."""
    people = [Subject(f"L{k}", labelled=True) for k in range(N_LABELLED)]
    people += [Subject(f"T{k}", in_pool=True, labelled_as=f"L{k}") for k in range(N_LABELLED)]
    people += [Subject("U0", in_pool=True), Subject("U1", in_pool=True)]
    people += [Subject("R0", in_pool=True, repeat_of="T0", labelled_as="L0")]
    rng = np.random.default_rng(0)
    made = tmp_path_factory.mktemp("cohort")
    prepared = [
        PreparedSubject(
            subject=one,
            image_zhw=rng.normal(0, 1, ROI.shape_zhw).astype(np.float32),
            label_zhw=rng.integers(0, 3, ROI.shape_zhw).astype(np.uint8) if one.labelled else None,
            reference_zhw=rng.integers(0, 3, ROI.shape_zhw).astype(np.uint8),
            white_matter=3.0 + k,
            white_matter_source="labels",
            intensity_mean=100.0,
            intensity_sd=10.0,
        )
        for k, one in enumerate(people)
    ]
    write_cohort(made, prepared, structures=("a", "b"), roi=ROI, software="test")
    return made


def data(
    folder: Path, fold: int, labels: int, group: int | None = None, exclude: bool = False
) -> TrainingData:
    cohort = Watched(folder)
    roles = roles_in_cell(
        cohort.subjects,
        labelled_folds(cohort.subjects, 3, seed=0)[fold],
        labels,
        group,
        group_size=2,
        exclude_test_from_pool=exclude,
    )
    return TrainingData(cohort, roles)


def test_training_sets_are_nested_and_never_hold_a_test_subject(folder: Path) -> None:
    tested: list[str] = []
    for fold in range(3):
        one, two, four = (data(folder, fold, labels).roles.training_ids for labels in (1, 2, 4))
        assert (len(one), len(two), len(four)) == (1, 2, 4)
        assert one == two[:1]
        assert two == four[:2]
        test_ids = data(folder, fold, 1).roles.test_ids
        assert not set(four) & set(test_ids)
        tested += test_ids
    assert sorted(tested) == [f"L{k}" for k in range(N_LABELLED)]


def test_folds_are_of_labelled_subjects_only(folder: Path) -> None:
    for fold in labelled_folds(Cohort(folder).subjects, 3, seed=0):
        assert {*fold.train_ids, *fold.test_ids} == {f"L{k}" for k in range(N_LABELLED)}


def test_groups_divide_the_training_set(folder: Path) -> None:
    first, second = (data(folder, 1, 4, group).roles.group_ids for group in (0, 1))
    assert (len(first), len(second)) == (2, 2)
    whole = data(folder, 1, 4).roles
    assert (*first, *second) == whole.training_ids == whole.group_ids


def test_the_papers_pool_holds_every_pool_image(folder: Path) -> None:
    pool = data(folder, 0, 1).roles.pool_ids
    assert pool == (*(f"T{k}" for k in range(N_LABELLED)), "U0", "U1", "R0")


@pytest.mark.parametrize("fold", [0, 1, 2])
def test_the_test_peoples_images_can_be_kept_out_of_the_pool(folder: Path, fold: int) -> None:
    kept_out = data(folder, fold, 1, exclude=True)
    test_numbers = {one.removeprefix("L") for one in kept_out.roles.test_ids}
    expected = [f"T{k}" for k in range(N_LABELLED) if str(k) not in test_numbers]
    expected += ["U0", "U1"] + ([] if "0" in test_numbers else ["R0"])
    assert list(kept_out.roles.pool_ids) == expected
    assert len(kept_out.pool_images_mzhw) == len(expected)


def test_a_labelled_subject_of_the_pool_is_kept_out_by_its_own_id(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    prepared = [
        PreparedSubject(
            Subject(f"P{k}", labelled=k < N_LABELLED, in_pool=True),
            rng.normal(0, 1, ROI.shape_zhw).astype(np.float32),
            np.ones(ROI.shape_zhw, np.uint8) if k < N_LABELLED else None,
            None,
            3.0,
            "mixture",
            100.0,
            10.0,
        )
        for k in range(8)
    ]
    write_cohort(tmp_path, prepared, structures=("a",), roi=ROI, software="test")
    kept_out = data(tmp_path, 0, 1, exclude=True)
    assert {*kept_out.roles.pool_ids} == {f"P{k}" for k in range(8)} - {*kept_out.roles.test_ids}


@pytest.mark.parametrize("group", [0, 1])
def test_only_labels_of_the_training_set_are_ever_read(folder: Path, group: int) -> None:
    cell = data(folder, 2, 4, group)
    assert isinstance(cell.cohort, Watched)
    _ = cell.group, cell.pool_images_mzhw, cell.training_images_nzhw, cell.known_images_khw
    assert cell.cohort.labels_of == set(cell.roles.group_ids)
    _ = cell.training_labels_nzhw
    assert cell.cohort.labels_of == set(cell.roles.training_ids)


def test_the_code_is_of_the_group_alone(folder: Path) -> None:
    cell, cohort = data(folder, 2, 4, 1), Cohort(folder)
    ids = cell.roles.training_ids[2:]
    encoding = EncodingSettings(
        mr_percentiles=(2.0, 97.0),
        label_percentile=90.0,
        level_percentile=98.0,
        least_contrast=0.9,
    )
    code = fit_group_code(cell.group, cell.pool_images_mzhw, ("a", "b"), encoding)
    assert code == fit_code(
        cohort.images(ids),
        cohort.labels(ids),
        cohort.white_matter(ids),
        cohort.images(cell.roles.pool_ids),
        ("a", "b"),
        (2.0, 97.0),
        90.0,
        98.0,
        0.9,
    )


def test_the_encoded_slices_are_of_the_right_people(folder: Path) -> None:
    cell = data(folder, 2, 4, 1)
    code = fit_group_code(cell.group, cell.pool_images_mzhw, ("a", "b"), EncodingSettings())
    channels_kchw, clipped_c = cell.group.encoded(code)
    z, h, w = ROI.shape_zhw
    assert channels_kchw.shape == (2 * z, 3, h, w)
    assert len(clipped_c) == 3
    image_khw, _ = code.decode(channels_kchw)
    original = cell.cohort.images(cell.roles.group_ids).reshape(-1, h, w)
    assert np.abs(np.median(image_khw - original)) < 1e-5


def test_known_are_all_slices_of_the_pool_and_of_all_available_labelled_subjects(
    folder: Path,
) -> None:
    cell = data(folder, 2, 4, 1)
    known = cell.cohort.images([*cell.roles.pool_ids, *cell.roles.training_ids])
    assert np.array_equal(cell.known_images_khw, known.reshape(-1, *ROI.shape_zhw[1:]))

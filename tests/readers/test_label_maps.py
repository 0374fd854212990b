"""Label maps come onto their image's grid, or are refused in one line."""

from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from gansfer.errors import UserError
from gansfer.readers.label_maps import load_labels, map_labels
from gansfer.subjects import Volume

VALUE_OF = {10: 1, 49: 1, 17: 2, 53: 2}


def saved(path: Path, array: np.ndarray, affine: np.ndarray | None = None) -> Path:
    nib.save(nib.Nifti1Image(array, np.eye(4) if affine is None else affine), path)
    return path


def numbers(shape: tuple[int, ...] = (4, 5, 6)) -> np.ndarray:
    return np.arange(np.prod(shape), dtype=np.int16).reshape(shape)


def image(shape: tuple[int, ...] = (4, 5, 6)) -> Volume:
    return Volume(np.ones(shape, np.int16), np.diag([-1.0, 1, 1, 1]))


def test_labels_are_turned_to_the_images_axes(tmp_path: Path) -> None:
    path = saved(tmp_path / "l.nii.gz", numbers(), np.diag([1.0, 1, 1, 1]))
    np.testing.assert_array_equal(load_labels(path, image(), "one", VALUE_OF), numbers()[::-1])


def test_labels_on_another_grid(tmp_path: Path) -> None:
    path = saved(tmp_path / "l.nii.gz", numbers((5, 5, 6)))
    with pytest.raises(UserError, match=r"shape \(5, 5, 6\) for the image of one of \(4, 5, 6\)"):
        load_labels(path, image(), "one", VALUE_OF)


def test_an_image_is_no_label_map(tmp_path: Path) -> None:
    path = saved(tmp_path / "l.nii.gz", numbers().astype(np.float32) / 7)
    with pytest.raises(
        UserError,
        match=r"the value 8\.42857 is no label number \(0, 1, 2 \.\.\.\); is this an image",
    ):
        load_labels(path, image(), "one", VALUE_OF)


def test_labels_are_mapped_and_others_dropped() -> None:
    numbers_xyz = np.array([[[0, 47, 48, 59, 7]]])
    table = {47: 1, 48: 1, 59: 2, 300: 3}
    brain_xyz = np.ones(numbers_xyz.shape, bool)
    label_xyz = map_labels(Path("l"), numbers_xyz, table, brain_xyz)
    assert label_xyz.dtype == np.uint8
    assert label_xyz.ravel().tolist() == [0, 1, 1, 2, 0]


def test_another_protocol_and_another_subject_are_noticed() -> None:
    numbers_xyz = np.array([[[0, 47, 48, 59, 7]]])
    brain_xyz = np.array([[[1, 1, 0, 0, 1]]], bool)
    with pytest.raises(UserError, match=r"holds numbers 7, 47, 48, 59 \.\.\., none of 17, 53"):
        map_labels(Path("l"), numbers_xyz, {17: 1, 53: 1}, brain_xyz)
    with pytest.raises(UserError, match="only 33% of the labels lie in the image's brain"):
        map_labels(Path("l"), numbers_xyz, {47: 1, 48: 1, 59: 2}, brain_xyz)

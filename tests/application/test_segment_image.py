"""The whole path: an image's file, the region, the network, and back on the image's own grid."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import nibabel as nib
import numpy as np
import numpy.typing as npt
import pytest
from nibabel.orientations import axcodes2ornt, io_orientation, ornt_transform
from scipy import ndimage

from gansfer.application.segment_image import SegmentedImage, segment_image
from gansfer.phantom.phantom_source import PhantomSource
from gansfer.readers.listed import Entry, ListedSource, Listing
from gansfer.settings import RoiSettings
from gansfer.structures import PAPER_STRUCTURES, protocol_table
from gansfer.subjects import RawSubject, Volume
from tests.application.conftest import TESTED, Trained

Affine = npt.NDArray[np.float64]


def dice(one: npt.NDArray, other: npt.NDArray) -> float:
    return (
        2
        * np.count_nonzero((one > 0) & (other > 0))
        / (np.count_nonzero(one) + np.count_nonzero(other))
    )


def segmented(
    trained: Trained, folder: Path, image: nib.Nifti1Image, *, registered: bool = False
) -> SegmentedImage:
    """The result for an image, and its mask, as files."""
    nib.save(image, folder / "new.nii.gz")
    inside = (np.asarray(image.dataobj) > 0).astype(np.uint8)
    nib.save(nib.Nifti1Image(inside, image.affine), folder / "mask.nii.gz")
    entry = Entry("new", "new", folder / "new.nii.gz", mask=folder / "mask.nii.gz")
    source = ListedSource(Listing((entry,)), in_common_space=not registered)
    return segment_image(source.load("new"), trained.model)


def ours(written_xyz: npt.NDArray[np.integer]) -> npt.NDArray[np.uint8]:
    """Our labels of a map in FreeSurfer's numbers; every number must be one of them."""
    value_of = {0: 0, **protocol_table("freesurfer", PAPER_STRUCTURES)}
    return np.vectorize(value_of.__getitem__, otypes=[np.uint8])(written_xyz)


def file_of(raw: RawSubject) -> nib.Nifti1Image:
    return nib.Nifti1Image(np.asarray(raw.image.array_xyz), raw.image.affine_ras)


@pytest.mark.parametrize("axes", ["RAS", "LPS", "ASR", "ILA"])
def test_a_test_subject_is_segmented_as_in_the_run_whatever_its_axes(
    trained: Trained, tmp_path: Path, axes: str
) -> None:
    raw = trained.source.load(TESTED)
    image = file_of(raw)
    turn = ornt_transform(io_orientation(image.affine), axcodes2ornt(axes))
    result = segmented(trained, tmp_path, image.as_reoriented(turn))
    run_zhw, prepared = trained.run_prediction(), trained.prepared[TESTED]
    np.testing.assert_array_equal(result.label_zhw, run_zhw)
    np.testing.assert_array_equal(result.shown_zhw, run_zhw)
    assert prepared.label_zhw is not None and raw.label is not None
    assert dice(run_zhw, prepared.label_zhw) > 0.5, "else the next lines say little"
    # On its own grid the reference must be met as well as in the region, voxel for voxel.
    back = nib.Nifti1Image(ours(result.written_xyz), result.affine_ras)
    again = ornt_transform(io_orientation(back.affine), io_orientation(image.affine))
    own_xyz = np.asarray(back.as_reoriented(again).dataobj)
    assert own_xyz.shape == raw.label.shape
    assert dice(own_xyz, raw.label) == pytest.approx(dice(run_zhw, prepared.label_zhw), abs=0.005)


def oblique() -> Affine:
    """Axes that run left, up and back, turned by 20 and 15 degrees."""
    a, b = np.deg2rad(20), np.deg2rad(15)
    about_z = np.array([[np.cos(a), -np.sin(a), 0], [np.sin(a), np.cos(a), 0], [0, 0, 1]])
    about_x = np.array([[1, 0, 0], [0, np.cos(b), -np.sin(b)], [0, np.sin(b), np.cos(b)]])
    affine = np.eye(4)
    affine[:3, :3] = about_z @ about_x @ np.array([[-1.0, 0, 0], [0, 0, -1], [0, 1, 0]]) * 2.0
    return affine


def test_an_oblique_grid_of_finer_voxels_meets_its_own_reference(
    trained: Trained, tmp_path: Path
) -> None:
    """The same scan at 2.5 mm, upright and turned: the network meets the same 4 mm of both."""
    fine = PhantomSource(4, 1, seed=0, roi=RoiSettings(voxel_mm=2.5)).load(TESTED)
    assert fine.label is not None and fine.brain_mask is not None
    upright = segmented(trained, tmp_path, file_of(fine))
    shape, affine = (80, 64, 80), oblique()
    middle_ras = fine.image.affine_ras @ [*(np.array(fine.label.shape) / 2), 1]
    affine[:3, 3] = middle_ras[:3] - affine[:3, :3] @ (np.array(shape) / 2)
    back = np.linalg.inv(fine.image.affine_ras) @ affine

    def turned(array_xyz: npt.NDArray, order: int) -> npt.NDArray:
        return np.asarray(
            ndimage.affine_transform(array_xyz, back[:3, :3], back[:3, 3], shape, order=order)
        )

    array = turned(np.asarray(fine.image.array_xyz, np.float32), 3)
    array = np.where(turned(fine.brain_mask, 0), np.maximum(array, 1), 0)
    result = segmented(trained, tmp_path, nib.Nifti1Image(array, affine))
    reference_zhw = trained.prepared[TESTED].label_zhw
    assert reference_zhw is not None
    upright_dice = dice(upright.label_zhw, reference_zhw)
    assert dice(result.label_zhw, reference_zhw) == pytest.approx(upright_dice, abs=0.02)
    own_dice = dice(upright.written_xyz, fine.label)
    assert dice(result.written_xyz, turned(fine.label, 0)) == pytest.approx(own_dice, abs=0.02)
    # Were it written on a grid that is mirrored, it would still overlap a symmetric brain.
    sides = result.written_xyz == 51, result.written_xyz == 12  # putamen
    x_mm = [(affine @ [*np.argwhere(one).mean(axis=0), 1])[0] for one in sides]
    assert x_mm[0] > 10 > -10 > x_mm[1]


def test_an_image_elsewhere_is_registered_and_segmented_where_it_lies(
    trained: Trained, tmp_path: Path
) -> None:
    raw = trained.source.load(TESTED)
    assert raw.label is not None
    angle = np.deg2rad(8)
    native_from_common = np.array(
        [
            [1.04 * np.cos(angle), -np.sin(angle), 0, 40],
            [np.sin(angle), 0.97 * np.cos(angle), 0, -30],
            [0, 0, 1.02, 55],
            [0, 0, 0, 1],
        ]
    )
    moved = nib.Nifti1Image(
        np.asarray(raw.image.array_xyz), native_from_common @ raw.image.affine_ras
    )
    others = [trained.source.load(one).image for one in trained.prepared if one != TESTED]
    mean_xyz = np.mean([np.asarray(one.array_xyz, np.float32) for one in others], axis=0)
    mean_xyz[mean_xyz < 0.25 * mean_xyz.max()] = 0
    template = Volume(mean_xyz, raw.image.affine_ras)
    registering = replace(trained, model=replace(trained.model, template=template))
    result = segmented(registering, tmp_path, moved, registered=True)
    assert result.similarity is not None and result.similarity > 0.6
    np.testing.assert_allclose(result.common_from_native @ native_from_common, np.eye(4), atol=4)
    here = dice(trained.run_prediction(), raw_label_in_region(trained))
    assert dice(result.written_xyz, raw.label) > here - 0.1
    # Its own millimetres, which are 1.04 * 0.97 * 1.02 of the common space's.
    voxel_mm3 = 4.0**3 * abs(np.linalg.det(native_from_common[:3, :3]))
    n_voxels = np.count_nonzero(result.written_xyz)
    assert sum(result.volume_mm3.values()) == pytest.approx(n_voxels * voxel_mm3, rel=1e-5)


def raw_label_in_region(trained: Trained) -> npt.NDArray[np.uint8]:
    label_zhw = trained.prepared[TESTED].label_zhw
    assert label_zhw is not None
    return label_zhw


def test_an_image_of_another_contrast_is_said_to_be_unlike_the_cohort(
    trained: Trained, tmp_path: Path
) -> None:
    raw = trained.source.load(TESTED)
    array = np.asarray(raw.image.array_xyz, np.float32)
    inverted = np.where(array > 0, array.max() * 1.1 - array, 0)
    result = segmented(trained, tmp_path, nib.Nifti1Image(inverted, raw.image.affine_ras))
    assert any("correlation" in one for one in result.warnings)
    same = segmented(trained, tmp_path, file_of(raw))
    assert not any("correlation" in one for one in same.warnings)

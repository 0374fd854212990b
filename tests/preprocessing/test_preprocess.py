"""Geometry and normalisation on volumes whose answer is drawn by hand."""

from dataclasses import replace

import numpy as np
import pytest
from scipy import ndimage

from gansfer.errors import UserError
from gansfer.preprocessing.preprocess import mixture_white_matter, prepare_subject
from gansfer.preprocessing.roi_check import roi_affine
from gansfer.settings import RoiSettings
from gansfer.subjects import RawSubject, Subject, Volume

ROI = RoiSettings(size_mm=(8, 8, 6), centre_mm=(0.5, -0.5, 0.5), voxel_mm=1.0)
COARSE = RoiSettings(size_mm=(8, 8, 6), centre_mm=(0.5, -0.5, 0.5), voxel_mm=2.0)
SHAPE = (24, 26, 22)


def las_affine(shape: tuple[int, ...] = SHAPE, voxel_mm: float = 1.0) -> np.ndarray:
    """Voxel axes left, anterior, superior; voxel shape // 2 is the origin."""
    affine = np.diag([-voxel_mm, voxel_mm, voxel_mm, 1.0])
    affine[:3, 3] = -affine[:3, :3] @ (np.array(shape) // 2)
    return affine


def raw_subject(seed: int = 0) -> RawSubject:
    rng = np.random.default_rng(seed)
    array_xyz = np.zeros(SHAPE, np.int16)
    array_xyz[2:-2, 2:-2, 2:-2] = rng.integers(100, 1000, np.array(SHAPE) - 4)
    label_xyz = np.zeros(SHAPE, np.uint8)
    label_xyz[10:13, 11:15, 10:12] = 1
    label_xyz[13:15, 11:15, 10:12] = 2
    subject = Subject("one", labelled=True)
    return RawSubject(subject, Volume(array_xyz, las_affine()), label=label_xyz)


def test_region_axes_run_up_backwards_and_to_the_left() -> None:
    affine = roi_affine(ROI)
    first_mm = affine @ [0, 0, 0, 1]
    last_mm = affine @ [5, 7, 7, 1]
    np.testing.assert_allclose(first_mm[:3], [4, 3, -2])  # right, anterior, inferior
    np.testing.assert_allclose(last_mm[:3], [-3, -4, 3])  # left, posterior, superior
    np.testing.assert_allclose((first_mm + last_mm)[:3] / 2, ROI.centre_mm)


def test_slices_closer_than_pixels_lie_about_the_same_centre() -> None:
    roi = COARSE.model_copy(update={"slice_mm": 0.5})
    assert roi.shape_zhw == (12, 4, 4)
    affine = roi_affine(roi)
    first_mm, next_mm = affine @ [0, 0, 0, 1], affine @ [1, 0, 0, 1]
    np.testing.assert_allclose((next_mm - first_mm)[:3], [0, 0, 0.5])
    np.testing.assert_allclose((first_mm + affine @ [11, 3, 3, 1])[:3] / 2, roi.centre_mm)


def test_coinciding_grids_are_copied_voxel_by_voxel() -> None:
    raw = raw_subject()
    prepared = prepare_subject(raw, ROI)
    image_xyz = raw.image.array_xyz.astype(float)
    brain = image_xyz[image_xyz != 0]
    for z, h, w in np.ndindex(6, 8, 8):
        x_mm, y_mm, z_mm = 4 - w, 3 - h, -2 + z
        voxel = (12 - x_mm, 13 + y_mm, 11 + z_mm)
        wanted = (image_xyz[voxel] - brain.mean()) / brain.std()
        assert prepared.image_zhw[z, h, w] == pytest.approx(wanted, abs=1e-5)
        assert prepared.label_zhw is not None
        assert prepared.label_zhw[z, h, w] == raw.label[voxel]  # type: ignore[index]


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 0, 1)])
@pytest.mark.parametrize("flips", [(1, 1, 1), (-1, 1, -1)])
def test_storage_order_of_the_file_does_not_matter(
    order: tuple[int, int, int], flips: tuple[int, int, int]
) -> None:
    raw = raw_subject()
    turn = np.zeros((4, 4))
    turn[3, 3] = 1
    array_xyz, label_xyz = raw.image.array_xyz, raw.label
    cut = tuple(slice(None, None, flip) for flip in flips)
    stored, stored_label = array_xyz.transpose(order)[cut], label_xyz.transpose(order)[cut]  # type: ignore[union-attr]
    for new_axis, (old_axis, flip) in enumerate(zip(order, flips, strict=True)):
        turn[old_axis, new_axis] = flip
        turn[old_axis, 3] = 0 if flip == 1 else SHAPE[old_axis] - 1
    other = replace(raw, image=Volume(stored, las_affine() @ turn), label=stored_label)
    one, two = prepare_subject(raw, ROI), prepare_subject(other, ROI)
    np.testing.assert_allclose(one.image_zhw, two.image_zhw, atol=1e-6)
    np.testing.assert_array_equal(one.label_zhw, two.label_zhw)


def test_zscore_is_over_the_whole_brain_and_background_is_the_zscore_of_zero() -> None:
    raw = raw_subject()
    roi = RoiSettings(size_mm=(24, 24, 22), centre_mm=(0.5, -0.5, -0.5))
    prepared = prepare_subject(raw, roi)
    inside = prepared.image_zhw != prepared.image_zhw.min()
    background = (0 - prepared.intensity_mean) / prepared.intensity_sd
    assert prepared.image_zhw.min() == np.float32(background)
    assert np.count_nonzero(~inside) > 100
    brain = raw.image.array_xyz[raw.image.array_xyz != 0]
    assert prepared.intensity_mean == pytest.approx(brain.mean(), rel=1e-6)
    assert prepared.intensity_sd == pytest.approx(brain.std(), rel=1e-6)


def test_brain_mask_of_its_own_is_used() -> None:
    raw = raw_subject()
    mask_xyz = raw.image.array_xyz != 0
    mask_xyz[:11] = False
    prepared = prepare_subject(replace(raw, brain_mask=mask_xyz), ROI)
    assert prepared.intensity_mean == pytest.approx(raw.image.array_xyz[mask_xyz].mean(), rel=1e-6)
    background = np.float32((0 - prepared.intensity_mean) / prepared.intensity_sd)
    assert (prepared.image_zhw[:, :, :3] == background).all()  # patient's right: x index 8..10
    assert (prepared.image_zhw[:, :, 3:] != background).all()


@pytest.mark.parametrize("slice_mm", [None, 1.0, 3.0])
def test_larger_voxels_average_what_they_cover(slice_mm: float | None) -> None:
    raw = raw_subject()
    roi = COARSE.model_copy(update={"slice_mm": slice_mm})
    raw = replace(raw, subject=Subject("one"), label=None)
    fine, coarse = prepare_subject(raw, ROI), prepare_subject(raw, roi)
    deep = round(slice_mm or 2)
    blocks = fine.image_zhw.reshape(6 // deep, deep, 4, 2, 4, 2).mean(axis=(1, 3, 5))
    np.testing.assert_allclose(coarse.image_zhw, blocks, atol=1e-5)


@pytest.mark.parametrize("deep", [1, 2])
def test_larger_voxels_take_the_label_that_fills_most_of_them(deep: int) -> None:
    raw = raw_subject()
    rng = np.random.default_rng(2)
    label_xyz = ndimage.zoom(rng.integers(0, 3, (8, 9, 8)), 3, order=0)[:24, :26, :22]
    label_xyz = label_xyz.astype(np.uint8)
    roi = COARSE.model_copy(update={"slice_mm": float(deep)})
    fine = prepare_subject(replace(raw, label=label_xyz), ROI).label_zhw
    coarse = prepare_subject(replace(raw, label=label_xyz), roi).label_zhw
    assert fine is not None and coarse is not None
    n_clear = 0
    for z, h, w in np.ndindex(coarse.shape):
        block = fine[deep * z : deep * (z + 1), 2 * h : 2 * h + 2, 2 * w : 2 * w + 2]
        filled = [np.count_nonzero(block == value) for value in range(3)]
        if sorted(filled)[-1] > sorted(filled)[-2]:
            assert coarse[z, h, w] == np.argmax(filled)
            n_clear += 1
    assert n_clear > 30


def test_known_shift_moves_the_image() -> None:
    raw = replace(raw_subject(), in_common_space=False)
    shift = np.eye(4)
    shift[:3, 3] = (1, -2, 1)  # one right, two back, one up
    moved = prepare_subject(raw, ROI, shift)
    still = prepare_subject(replace(raw, in_common_space=True), ROI)
    np.testing.assert_allclose(
        moved.image_zhw[1:, 2:, :-1], still.image_zhw[:-1, :-2, 1:], atol=1e-6
    )


def test_smooth_image_is_interpolated_accurately_and_labels_follow() -> None:
    grid = np.stack(np.meshgrid(*[np.arange(n) for n in SHAPE], indexing="ij"))
    smooth = 500 + 200 * np.sin(grid[0] / 3) * np.cos(grid[1] / 4) + 10 * grid[2]
    ball = ((grid - np.array(SHAPE)[:, None, None, None] / 2) ** 2).sum(0) < 9
    raw = RawSubject(
        Subject("s", labelled=True), Volume(smooth, las_affine()), label=ball.astype(np.uint8)
    )
    shift = np.eye(4)
    shift[0, 3] = 0.3
    prepared = prepare_subject(replace(raw, in_common_space=False), ROI, shift)
    for z, h, w in [(0, 0, 0), (3, 4, 5), (5, 7, 7)]:
        x, y, k = 12 - (4 - w - 0.3), 13 + 3 - h, 11 - 2 + z
        wanted = 500 + 200 * np.sin(x / 3) * np.cos(y / 4) + 10 * k
        got = prepared.image_zhw[z, h, w] * prepared.intensity_sd + prepared.intensity_mean
        assert got == pytest.approx(wanted, abs=0.5)
    assert prepared.label_zhw is not None
    assert np.count_nonzero(prepared.label_zhw) == pytest.approx(ball.sum(), rel=0.15)


def test_a_shift_between_voxels_keeps_edges_where_they_are() -> None:
    array_xyz = np.zeros(SHAPE, np.int16)
    array_xyz[2:13, 2:-2, 2:-2] = 500  # brain up to x index 12, a structure of two halves in it
    array_xyz[3, 3, 3] = 600
    label_xyz = np.zeros(SHAPE, np.uint8)
    label_xyz[9:11, 8:18, 8:15] = 2
    label_xyz[11:13, 8:18, 8:15] = 1
    raw = RawSubject(
        Subject("s", labelled=True),
        Volume(array_xyz, las_affine()),
        label=label_xyz,
        white_matter_mask=array_xyz != 0,
        in_common_space=False,
    )
    shift = np.eye(4)
    shift[0, 3] = 0.4  # to the right: column w is voxel 12 - (4 - w - 0.4) = 8.4 + w
    prepared = prepare_subject(raw, ROI, shift)
    assert prepared.label_zhw is not None
    background = np.float32(-prepared.intensity_mean / prepared.intensity_sd)
    row = prepared.image_zhw[3, 4]
    assert (row[:5] != background).all()  # voxels 8.4 ... 12.4: inside, the last by 0.6
    assert (row[5:] == background).all()
    assert prepared.label_zhw[3, 4].tolist() == [0, 2, 2, 1, 1, 0, 0, 0]


def test_labels_outside_the_region_are_counted() -> None:
    raw = raw_subject()
    label_xyz = np.zeros(SHAPE, np.uint8)
    label_xyz[12, 13, 11] = 1  # the origin: inside
    label_xyz[12, 2:6, 11] = 1  # far behind
    assert prepare_subject(replace(raw, label=label_xyz), ROI).n_label_voxels_outside_roi == 4
    label_xyz[12, 13, 11] = 0
    with pytest.raises(UserError, match=r"one: no labelled voxel in the region .*4 outside"):
        prepare_subject(replace(raw, label=label_xyz), ROI)


def test_white_matter_comes_from_labels_or_the_brightest_class() -> None:
    rng = np.random.default_rng(0)
    tissue = rng.choice([200.0, 600.0, 1000.0], SHAPE, p=[0.2, 0.45, 0.35])
    array_xyz = tissue + rng.normal(0, 40, SHAPE)
    array_xyz[:2, :5] = 2500.0  # vessels
    raw = replace(raw_subject(), image=Volume(array_xyz, las_affine()))
    for mask, source in ((None, "mixture"), (tissue == 1000, "labels")):
        prepared = prepare_subject(replace(raw, white_matter_mask=mask), ROI)
        value = prepared.white_matter * prepared.intensity_sd + prepared.intensity_mean
        assert value == pytest.approx(1000, abs=25)
        assert prepared.white_matter_source == source


def test_mixture_has_no_seed() -> None:
    voxels = np.random.default_rng(1).normal(0, 1, 50_000).astype(np.float32)
    assert mixture_white_matter(voxels) == mixture_white_matter(voxels[::-1])


def test_one_line_for_each_mistake() -> None:
    raw = raw_subject()
    with pytest.raises(UserError, match="one: image is in its own space; register it"):
        prepare_subject(replace(raw, in_common_space=False), ROI)
    empty = Volume(np.zeros(SHAPE, np.int16), las_affine())
    with pytest.raises(UserError, match="one: 0 brain voxels"):
        prepare_subject(replace(raw, image=empty), ROI)
    flat = Volume(np.full(SHAPE, 7, np.int16), las_affine())
    with pytest.raises(UserError, match="one: every brain voxel is 7"):
        prepare_subject(replace(raw, image=flat), ROI)
    with pytest.raises(UserError, match=r"one: label map of shape \(2, 2, 2\) for an image of"):
        prepare_subject(replace(raw, label=np.ones((2, 2, 2), np.uint8)), ROI)

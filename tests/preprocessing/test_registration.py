"""A known affine is found again, always the same."""

import numpy as np
import pytest
import SimpleITK as sitk  # noqa: N813 (its own documentation names it so)
from scipy import ndimage

from gansfer.errors import UserError
from gansfer.preprocessing.registration import (
    AffineResult,
    mean_template,
    register_affine,
    template_members,
)
from gansfer.subjects import Subject, Volume

SHAPE = (44, 54, 46)
SPACING_MM = 3.0
CENTRE_MM = np.array([20.0, -30.0, 50.0])


def template() -> Volume:
    """A lopsided ellipsoid with dark and bright blobs, 3 mm, axes left, anterior, superior."""
    rng = np.random.default_rng(4)
    grid = np.stack(np.meshgrid(*[np.linspace(-1, 1, n) for n in SHAPE], indexing="ij"))
    inside = grid[0] ** 2 / 0.45 + grid[1] ** 2 / 0.6 + (grid[2] + 0.2 * grid[1]) ** 2 / 0.4 < 1
    blobs = ndimage.gaussian_filter(rng.normal(0, 1, SHAPE), 2.5)
    array_xyz = np.where(inside, 1000 + 250 * blobs / blobs.std(), 0).astype(np.float32)
    affine = np.diag([-SPACING_MM, SPACING_MM, SPACING_MM, 1.0])
    affine[:3, 3] = CENTRE_MM - affine[:3, :3] @ (np.array(SHAPE) / 2)
    return Volume(array_xyz, affine)


def known_affine() -> np.ndarray:
    """Common from native: some degrees, some per cent, and far away."""
    angle = np.deg2rad(9)
    turn = np.eye(4)
    turn[:3, :3] = [
        [np.cos(angle), -np.sin(angle), 0],
        [np.sin(angle), np.cos(angle), 0.05],
        [0, -0.06, 1],
    ]
    turn[:3, :3] = turn[:3, :3] @ np.diag([1.08, 0.94, 1.05])
    turn[:3, 3] = (60, -90, 140)
    return turn


def native(fixed: Volume, common_from_native: np.ndarray) -> Volume:
    """The template as a scanner of another pose and voxel order would store it."""
    affine = np.diag([2.5, -2.5, 2.5, 1.0])
    shape = np.array([60, 64, 60])
    centre = np.linalg.inv(common_from_native) @ [*CENTRE_MM, 1]
    affine[:3, 3] = centre[:3] - affine[:3, :3] @ (shape / 2)
    fixed_from_native = np.linalg.inv(fixed.affine_ras) @ common_from_native @ affine
    array_xyz = ndimage.affine_transform(
        fixed.array_xyz, fixed_from_native[:3, :3], fixed_from_native[:3, 3], tuple(shape), order=1
    )
    noise = np.random.default_rng(5).normal(0, 20, shape)
    return Volume(np.where(array_xyz > 300, 3 * array_xyz + noise, 0), affine)


@pytest.fixture(scope="module")
def found() -> AffineResult:
    fixed = template()
    return register_affine(native(fixed, known_affine()), None, fixed)


def test_a_known_affine_is_found_to_half_a_millimetre(found: AffineResult) -> None:
    fixed = template()
    at = np.argwhere(np.asarray(fixed.array_xyz, float) > 0)[::50]
    common_mm = np.c_[at, np.ones(len(at))] @ fixed.affine_ras.T
    native_mm = common_mm @ np.linalg.inv(known_affine()).T
    error_mm = np.linalg.norm((native_mm @ found.common_from_native.T - common_mm)[:, :3], axis=1)
    assert error_mm.mean() < 0.5
    assert error_mm.max() < 1.0
    assert found.similarity > 0.95


def test_the_same_is_found_with_any_number_of_threads(found: AffineResult) -> None:
    fixed = template()
    before = sitk.ProcessObject.GetGlobalDefaultNumberOfThreads()
    try:
        sitk.ProcessObject.SetGlobalDefaultNumberOfThreads(3)
        again = register_affine(native(fixed, known_affine()), None, fixed)
        assert sitk.ProcessObject.GetGlobalDefaultNumberOfThreads() == 3
    finally:
        sitk.ProcessObject.SetGlobalDefaultNumberOfThreads(before)
    np.testing.assert_array_equal(again.common_from_native, found.common_from_native)
    assert again.similarity == found.similarity


def test_what_is_no_brain_is_refused() -> None:
    rng = np.random.default_rng(0)
    noise = Volume(rng.uniform(1, 2, (40, 40, 40)).astype(np.float32), np.diag([3.0, 3, 3, 1]))
    with pytest.raises(
        UserError, match=r"registration: similarity .* is the image brain-extracted"
    ):
        register_affine(noise, None, template())


def test_template_is_the_mean_of_images_of_any_gain() -> None:
    one = template()
    two = Volume(one.array_xyz * 5, one.affine_ras)
    mean = mean_template(iter([one, two]))
    array_xyz = np.asarray(one.array_xyz, float)
    brain = array_xyz > 0
    wanted = array_xyz[brain] / array_xyz[brain].mean()
    np.testing.assert_allclose(np.asarray(mean.array_xyz, float)[brain], wanted, rtol=1e-5)
    assert not mean.array_xyz[~brain].any()


def test_template_is_made_of_first_sessions_of_the_pool() -> None:
    people = [Subject(f"p{k}", in_pool=True) for k in range(10)]
    others = [Subject("l", labelled=True, in_pool=True), Subject("r", in_pool=True, repeat_of="p0")]
    assert template_members(others + people, 4) == ["p0", "p2", "p5", "p7"]
    assert template_members(others + people) == [one.id for one in people]
    assert template_members(others) == []


def test_template_of_nothing_or_of_two_grids_is_refused() -> None:
    with pytest.raises(UserError, match="no image in the common space"):
        mean_template([])
    one = template()
    with pytest.raises(UserError, match=r"image 2 of shape .* is on another grid"):
        mean_template([one, Volume(one.array_xyz[1:], one.affine_ras)])


def test_a_pose_that_is_nearly_right_is_refined() -> None:
    fixed = template()
    moving = native(fixed, known_affine())
    start = known_affine()
    start[:3, 3] += (3, -2, 2)
    refined = register_affine(moving, None, fixed, start)
    at_mm = np.array([[-40.0, -80, 20, 1], [60, -10, 70, 1], [20, -30, 50, 1]]).T
    native_mm = np.linalg.inv(known_affine()) @ at_mm
    off_mm = np.linalg.norm((refined.common_from_native @ native_mm - at_mm)[:3], axis=0)
    assert off_mm.max() < 0.5
    assert refined.similarity > 0.97

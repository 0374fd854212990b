"""Labels of the region on an image's grid: copied where grids agree, by share where they do not."""

from __future__ import annotations

import numpy as np

from gansfer.application.own_grid import to_own_grid


def region() -> np.ndarray:
    return np.random.default_rng(1).integers(0, 4, (5, 6, 7)).astype(np.uint8)


def test_voxels_are_copied_where_the_grids_agree() -> None:
    voxel_from_roi = np.eye(4)
    voxel_from_roi[:3, 3] = (2, 3, 1)
    label_xyz = to_own_grid(region(), voxel_from_roi, (12, 12, 12))
    np.testing.assert_array_equal(label_xyz[2:7, 3:9, 1:8], region())
    assert np.count_nonzero(label_xyz) == np.count_nonzero(region())


def test_axes_that_run_otherwise_are_turned() -> None:
    # z -> second axis backwards, h -> third, w -> first
    voxel_from_roi = np.array([[0, 0, 1, 0], [-1, 0, 0, 4], [0, 1, 0, 0], [0, 0, 0, 1.0]])
    label_xyz = to_own_grid(region(), voxel_from_roi, (7, 5, 6))
    np.testing.assert_array_equal(label_xyz, region().transpose(2, 0, 1)[:, ::-1])


def test_a_finer_grid_has_the_same_volume() -> None:
    label_zhw = np.zeros((12, 12, 12), np.uint8)
    label_zhw[3:9, 3:9, 3:9] = 2
    voxel_from_roi = np.diag([3.0, 3.0, 3.0, 1.0])
    voxel_from_roi[:3, 3] = 7
    label_xyz = to_own_grid(label_zhw, voxel_from_roi, (50, 50, 50))
    assert set(np.unique(label_xyz)) == {0, 2}
    assert abs(np.count_nonzero(label_xyz) / 27 / 6**3 - 1) < 0.1
    at = np.argwhere(label_xyz)
    np.testing.assert_allclose(at.mean(axis=0), 7 + 3 * 5.5, atol=0.1)


def test_a_region_that_is_cut_or_elsewhere_gives_what_is_there() -> None:
    voxel_from_roi = np.eye(4)
    voxel_from_roi[:3, 3] = (-2, 0, 0)
    label_xyz = to_own_grid(region(), voxel_from_roi, (5, 6, 7))
    np.testing.assert_array_equal(label_xyz[:3], region()[2:])
    assert not label_xyz[3:].any()
    voxel_from_roi[:3, 3] = 100
    assert not to_own_grid(region(), voxel_from_roi, (5, 6, 7)).any()

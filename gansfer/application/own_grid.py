"""A label map of the region of interest, back on the grid of the image that it is of.

Axes legend: x y z are voxel axes of the image; Z H W slices, rows and columns of the region.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from nibabel.affines import apply_affine

from gansfer.resampling import box_corners, resample_labels

Affine = npt.NDArray[np.float64]
LabelMap = npt.NDArray[np.uint8]


def to_own_grid(
    label_zhw: LabelMap, voxel_from_roi: Affine, shape_xyz: tuple[int, int, int]
) -> LabelMap:
    """The label map on the image's grid; background outside the region.

    A voxel takes the label that has the largest share of its place, as in the way there
    (`resample_labels`): the nearest voxel's where the grids are alike, smoother outlines where the
    image is finer than the region.

    Args:
        label_zhw: 0 and 1..S.
        voxel_from_roi: [4, 4], (z, h, w) index of the region -> voxel index of the image.
        shape_xyz: of the image.
    """
    label_xyz = np.zeros(shape_xyz, np.uint8)
    # Where the region lies in the image: all else is background, and need not be resampled.
    corner_83 = box_corners([n + 2 for n in label_zhw.shape]) - 1
    place_83 = apply_affine(voxel_from_roi, corner_83)
    low = np.clip(np.floor(place_83.min(axis=0)).astype(int), 0, shape_xyz)
    high = np.clip(np.ceil(place_83.max(axis=0)).astype(int) + 1, low, shape_xyz)
    if (high == low).any():
        return label_xyz
    moved = np.asarray(np.linalg.inv(voxel_from_roi), np.float64)
    moved[:3, 3] = apply_affine(moved, low)
    n_x, n_y, n_z = (int(n) for n in high - low)
    box = tuple(slice(a, b) for a, b in zip(low, high, strict=True))
    label_xyz[box] = resample_labels(label_zhw, moved, (n_x, n_y, n_z))
    return label_xyz

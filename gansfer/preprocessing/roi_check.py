"""The region of interest: where it lies, whether it holds the labels, and if not, which box would.

Axes legend: x y z are voxel axes of a file or RAS millimetres; Z H W are slices, rows and columns
of the region.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from nibabel.affines import apply_affine

from gansfer.settings import RoiSettings

Affine = npt.NDArray[np.float64]
LabelMap = npt.NDArray[np.uint8]

# Room round the labels on each side, so that no structure touches the border; half a voxel more,
# because the middle is moved onto the grid.
MARGIN_MM = 2.0


@dataclass(frozen=True)
class LabelExtent:
    """Where one subject's labels lie.

    Attributes:
        subject_id: the subject's id.
        n_voxels: labelled voxels.
        n_outside: those of them outside the region.
        box_mm: what they span in the common space: lowest x, y, z, highest x, y, z.
    """

    subject_id: str
    n_voxels: int
    n_outside: int
    box_mm: tuple[float, ...]

    @property
    def fraction_outside(self) -> float:
        """Share of the labelled voxels outside the region."""
        return self.n_outside / self.n_voxels if self.n_voxels else 0.0


def roi_affine(roi: RoiSettings) -> Affine:
    """Affine [4, 4] from a (z, h, w) index of the region to RAS millimetres of the common space."""
    n_z, n_h, n_w = roi.shape_zhw
    slice_mm, row_mm, column_mm = roi.spacing_zhw_mm
    x_mm, y_mm, z_mm = roi.centre_mm
    affine = np.zeros((4, 4))
    affine[0, 2] = -column_mm  # columns run from the patient's right (+x) to left
    affine[1, 1] = -row_mm  # rows run from anterior (+y) to posterior
    affine[2, 0] = slice_mm  # slices run upwards
    # The centre lies between the middle voxels of an even number: half a voxel from their centres.
    affine[:3, 3] = (
        x_mm + column_mm * (n_w - 1) / 2,
        y_mm + row_mm * (n_h - 1) / 2,
        z_mm - slice_mm * (n_z - 1) / 2,
    )
    affine[3, 3] = 1.0
    return affine


def label_extent(
    subject_id: str, label_xyz: LabelMap, common_from_voxel: Affine, roi: RoiSettings
) -> LabelExtent:
    """Where the labelled voxels lie, and how many of them have their centre outside the region.

    Args:
        subject_id: the subject's id.
        label_xyz: 0 background; at least one voxel is labelled.
        common_from_voxel: [4, 4], voxel index -> RAS mm of the common space.
        roi: the region.
    """
    place_n3 = np.argwhere(label_xyz > 0)
    place_mm_n3 = apply_affine(common_from_voxel, place_n3)
    # A voxel is a box: its corners lie further out than its centre.
    half_mm = np.abs(common_from_voxel[:3, :3]).sum(axis=1) / 2
    low_mm, high_mm = place_mm_n3.min(axis=0) - half_mm, place_mm_n3.max(axis=0) + half_mm
    voxel_from_roi = np.linalg.inv(common_from_voxel) @ roi_affine(roi)
    in_roi_n3 = apply_affine(np.linalg.inv(voxel_from_roi), place_n3)
    inside_n = ((in_roi_n3 >= -0.5) & (in_roi_n3 <= np.array(roi.shape_zhw) - 0.5)).all(axis=1)
    return LabelExtent(
        subject_id,
        n_voxels=len(place_n3),
        n_outside=int(np.count_nonzero(~inside_n)),
        box_mm=tuple(float(mm) for mm in (*low_mm, *high_mm)),
    )


def roi_problems(extents: Sequence[LabelExtent], roi: RoiSettings, max_outside: float) -> list[str]:
    """One line a subject with too many labelled voxels outside, each with the box that fits all.

    Args:
        extents: every labelled subject.
        roi: the region.
        max_outside: share of a subject's labelled voxels that may lie outside.
    """
    if not extents:
        return []
    fitting = fitting_roi([one.box_mm for one in extents], roi)
    size = ", ".join(f"{mm:g}" for mm in fitting.size_mm)
    voxel = f"voxel_mm: {roi.voxel_mm:g}"
    if roi.slice_mm is not None:
        voxel += f", slice_mm: {roi.slice_mm:g}"
    centre = ", ".join(f"{mm:g}" for mm in fitting.centre_mm)
    return [
        f"{one.subject_id}: {one.n_outside} of {one.n_voxels} labelled voxels "
        f"({one.fraction_outside:.1%}) are outside the region of interest, at most "
        f"{max_outside:.1%} may be; every label fits into cohort.roi: "
        f"{{size_mm: [{size}], centre_mm: [{centre}], {voxel}}}"
        for one in extents
        if one.fraction_outside > max_outside
    ]


def fitting_roi(boxes_mm: Sequence[Sequence[float]], roi: RoiSettings) -> RoiSettings:
    """The region that holds all boxes: the same size about their middle, or a larger one.

    A larger one has slices of a whole number of 16 voxels (the GAN's ladder doubles a small square)
    and keeps the voxels on the grid that the given region has.
    """
    step_mm = roi.spacing_xyz_mm
    margin_mm = [MARGIN_MM + step / 2 for step in step_mm]
    low_mm = [min(box[axis] for box in boxes_mm) - margin_mm[axis] for axis in range(3)]
    high_mm = [max(box[axis + 3] for box in boxes_mm) + margin_mm[axis] for axis in range(3)]
    wanted = [math.ceil((high_mm[axis] - low_mm[axis]) / step_mm[axis]) for axis in range(3)]
    n_z, n_h, _ = roi.shape_zhw
    side = max(wanted[0], wanted[1])
    side = n_h if side <= n_h else -(-side // 16) * 16
    height = n_z if wanted[2] <= n_z else wanted[2] + wanted[2] % 2
    size_mm = (side * step_mm[0], side * step_mm[1], height * step_mm[2])
    middle_mm = [(low_mm[axis] + high_mm[axis]) / 2 for axis in range(3)]
    centre_mm = [
        _on_grid(
            middle_mm[axis], size_mm[axis], roi.centre_mm[axis], roi.size_mm[axis], step_mm[axis]
        )
        for axis in range(3)
    ]
    return roi.model_copy(update={"size_mm": size_mm, "centre_mm": tuple(centre_mm)})


def _on_grid(
    middle_mm: float, size_mm: float, old_middle_mm: float, old_size_mm: float, step_mm: float
) -> float:
    """The middle nearest to the wanted one that keeps voxels where the old region has them."""
    shift = (size_mm - old_size_mm) / 2
    steps = round((middle_mm - old_middle_mm - shift) / step_mm)
    return old_middle_mm + shift + steps * step_mm

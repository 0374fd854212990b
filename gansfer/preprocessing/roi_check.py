"""Does the region of interest hold the labels? If not, which box would."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from gansfer.settings import RoiSettings

# Room round the labels on each side, so that no structure touches the border; half a voxel more,
# because the middle is moved onto the grid.
MARGIN_MM = 2.0


@dataclass(frozen=True)
class LabelExtent:
    """Where one subject's labels lie.

    Attributes:
        subject_id: who.
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
    centre = ", ".join(f"{mm:g}" for mm in fitting.centre_mm)
    return [
        f"{one.subject_id}: {one.n_outside} of {one.n_voxels} labelled voxels "
        f"({one.fraction_outside:.1%}) are outside the region of interest, at most "
        f"{max_outside:.1%} may be; every label fits into cohort.roi: "
        f"{{size_mm: [{size}], centre_mm: [{centre}], voxel_mm: {roi.voxel_mm:g}}}"
        for one in extents
        if one.fraction_outside > max_outside
    ]


def fitting_roi(boxes_mm: Sequence[Sequence[float]], roi: RoiSettings) -> RoiSettings:
    """The region that holds all boxes: the same size about their middle, or a larger one.

    A larger one has slices of a whole number of 16 voxels (the GAN's ladder doubles a small square)
    and keeps the voxels on the grid that the given region has.
    """
    margin_mm = MARGIN_MM + roi.voxel_mm / 2
    low_mm = [min(box[axis] for box in boxes_mm) - margin_mm for axis in range(3)]
    high_mm = [max(box[axis + 3] for box in boxes_mm) + margin_mm for axis in range(3)]
    wanted = [math.ceil((high_mm[axis] - low_mm[axis]) / roi.voxel_mm) for axis in range(3)]
    n_z, n_h, _ = roi.shape_zhw
    side = max(wanted[0], wanted[1])
    side = n_h if side <= n_h else -(-side // 16) * 16
    height = n_z if wanted[2] <= n_z else wanted[2] + wanted[2] % 2
    size_mm = (side * roi.voxel_mm, side * roi.voxel_mm, height * roi.voxel_mm)
    middle_mm = [(low_mm[axis] + high_mm[axis]) / 2 for axis in range(3)]
    centre_mm = [
        _on_grid(middle_mm[axis], size_mm[axis], roi.centre_mm[axis], roi.size_mm[axis], roi)
        for axis in range(3)
    ]
    return roi.model_copy(update={"size_mm": size_mm, "centre_mm": tuple(centre_mm)})


def _on_grid(
    middle_mm: float, size_mm: float, old_middle_mm: float, old_size_mm: float, roi: RoiSettings
) -> float:
    """The middle nearest to the wanted one that keeps voxels where the old region has them."""
    shift = (size_mm - old_size_mm) / 2
    steps = round((middle_mm - old_middle_mm - shift) / roi.voxel_mm)
    return old_middle_mm + shift + steps * roi.voxel_mm

"""The box that fits holds every label, on the grid that the region has."""

import numpy as np
import pytest

from gansfer.preprocessing.roi_check import LabelExtent, fitting_roi, roi_problems
from gansfer.settings import RoiSettings

ROI = RoiSettings()


@pytest.mark.parametrize(
    ("voxel_mm", "slice_mm"), [(1.0, None), (2.0, None), (2.0, 1.0), (2.0, 3.0)]
)
@pytest.mark.parametrize("seed", range(4))
def test_every_box_lies_in_the_proposed_one(
    voxel_mm: float, slice_mm: float | None, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    low = rng.uniform(-70, 0, (5, 3))
    boxes = np.c_[low, low + rng.uniform(5, 70, (5, 3))].tolist()
    roi = RoiSettings(voxel_mm=voxel_mm, slice_mm=slice_mm)
    found = fitting_roi(boxes, roi)
    RoiSettings.model_validate(found.model_dump())
    for axis in range(3):
        half_mm = found.size_mm[axis] / 2
        assert min(box[axis] for box in boxes) >= found.centre_mm[axis] - half_mm
        assert max(box[axis + 3] for box in boxes) <= found.centre_mm[axis] + half_mm
        steps = found.centre_mm[axis] - half_mm - ROI.centre_mm[axis] + ROI.size_mm[axis] / 2
        step_mm = roi.spacing_xyz_mm[axis]
        assert steps / step_mm == pytest.approx(round(steps / step_mm))
    assert found.shape_zhw[1] % 16 == 0


def test_a_box_that_would_fit_elsewhere_keeps_its_size() -> None:
    found = fitting_roi([(-30, -60, -20, 30, 5, 30)], ROI)
    assert found.size_mm == ROI.size_mm
    assert found.centre_mm == (0.5, -27.5, 4.5) or found.centre_mm == (-0.5, -27.5, 4.5)


def test_only_subjects_beyond_the_threshold_are_told() -> None:
    extents = [
        LabelExtent("a", 1000, 10, (-30, -40, -20, 30, 20, 20)),
        LabelExtent("b", 1000, 11, (-30, -40, -20, 30, 20, 33)),
    ]
    (line,) = roi_problems(extents, ROI, 0.01)
    assert line == (
        "b: 11 of 1000 labelled voxels (1.1%) are outside the region of interest, at most 1.0% may "
        "be; every label fits into cohort.roi: {size_mm: [80, 80, 60], centre_mm: [-0.5, -10.5, "
        "6.5], voxel_mm: 1}"
    )
    thick = ROI.model_copy(update={"slice_mm": 2.0})
    assert roi_problems(extents, thick, 0.01)[0].endswith("voxel_mm: 1, slice_mm: 2}")
    assert roi_problems(extents, ROI, 0.02) == []
    assert roi_problems([], ROI, 0.02) == []

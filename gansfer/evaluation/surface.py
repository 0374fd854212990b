"""How far a segmentation's surface lies from its reference's, in millimetres.

Axes legend: Z slices, H rows, W columns; M surface voxels.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from gansfer.evaluation.overlap import MetricRow, check_label_maps

Bools = npt.NDArray[np.bool_]


def surface_table(
    subject: str,
    label_zhw: npt.NDArray[np.integer],
    reference_zhw: npt.NDArray[np.integer],
    structures: Sequence[str],
    spacing_zhw_mm: tuple[float, float, float],
) -> list[MetricRow]:
    """Hausdorff distance (95th percentile), mean surface distance and misses of one subject.

    The paper reports DSC only; these stand beside it. Metrics: "hd95_mm", the larger of the two
    directions' 95th percentiles; "asd_mm", the mean over both surfaces' voxels; "missed", 1 where
    a structure of the reference was not predicted at all, else 0. A missed structure is infinitely
    far away: its distances are inf, so that it can worsen a mean or median but never improve one.
    A structure absent from the reference has no value (None) in all three.

    Args:
        subject: id for the rows.
        label_zhw: the segmentation.
        reference_zhw: labels on the same grid.
        structures: names, in the order of the label values.
        spacing_zhw_mm: slice, row and column spacing.

    Raises:
        ValueError: the shapes differ, or a label value has no structure.
    """
    check_label_maps(label_zhw, reference_zhw, len(structures))
    rows = []
    for value, name in enumerate(structures, start=1):
        predicted_zhw, true_zhw = label_zhw == value, reference_zhw == value
        hd95_mm: float | None = None
        asd_mm: float | None = None
        missed: float | None = None
        if true_zhw.any():
            missed = float(not predicted_zhw.any())
            hd95_mm, asd_mm = surface_distances(predicted_zhw, true_zhw, spacing_zhw_mm)
        rows += [
            MetricRow(subject, name, "hd95_mm", hd95_mm),
            MetricRow(subject, name, "asd_mm", asd_mm),
            MetricRow(subject, name, "missed", missed),
        ]
    return rows


def surface_distances(
    predicted_zhw: Bools, true_zhw: Bools, spacing_zhw_mm: tuple[float, float, float]
) -> tuple[float, float]:
    """(95th-percentile Hausdorff, average symmetric surface distance) in mm; inf if one is empty.

    Args:
        predicted_zhw: one object.
        true_zhw: the other; swapping the two changes nothing.
        spacing_zhw_mm: slice, row and column spacing.
    """
    if not (predicted_zhw.any() and true_zhw.any()):
        return math.inf, math.inf
    box = ndimage.find_objects((predicted_zhw | true_zhw).astype(np.uint8))[0]
    predicted_surface_zhw, true_surface_zhw = _surface(predicted_zhw[box]), _surface(true_zhw[box])
    to_true_m = _distances_mm(predicted_surface_zhw, true_surface_zhw, spacing_zhw_mm)
    to_predicted_m = _distances_mm(true_surface_zhw, predicted_surface_zhw, spacing_zhw_mm)
    hd95_mm = max(np.percentile(to_true_m, 95), np.percentile(to_predicted_m, 95))
    asd_mm = (to_true_m.sum() + to_predicted_m.sum()) / (to_true_m.size + to_predicted_m.size)
    return float(hd95_mm), float(asd_mm)


def _surface(object_zhw: Bools) -> Bools:
    """Voxels of the object with a face on the outside; the end of the array is outside."""
    return object_zhw & ~ndimage.binary_erosion(object_zhw)


def _distances_mm(
    from_zhw: Bools, to_zhw: Bools, spacing_zhw_mm: tuple[float, float, float]
) -> npt.NDArray[np.float64]:
    distance_mm_zhw = ndimage.distance_transform_edt(~to_zhw, sampling=spacing_zhw_mm)
    return distance_mm_zhw[from_zhw]

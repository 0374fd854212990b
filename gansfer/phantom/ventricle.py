"""The lateral ventricle of the phantom: a tapered tube through a few landmarks, which widens.

It runs from the occipital horn through the atrium and the body to the frontal horn; the temporal
horn, the lower limb of the C, is one of `shapes.TUBES`. As there, the parameters are round
numbers from general anatomical knowledge, not measurements.

Axes legend: T steps along y.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy.interpolate import PchipInterpolator

from gansfer.phantom.shapes import EMPTY_MM, STEP_MM, ellipse_axes

VENTRICLE_Y_T = np.arange(-75.0, 33.0 + STEP_MM / 2, STEP_MM)
# Landmarks of a young healthy adult: y, lateral, height, half the long and the short axis (mm),
# tilt of the long axis from upright towards lateral (degrees). The atrium is 10 mm wide.
LANDMARKS: tuple[tuple[float, float, float, float, float, float], ...] = (
    (-68, 27, 4, 0, 0, 150),  # tip of the occipital horn
    (-40, 23, 10, 8, 5, 150),  # atrium, its lower edge leaning outward
    (-12, 9, 22, 7, 2.5, 65),  # body, flat under the corpus callosum
    (4, 5, 16, 8, 3.5, 20),  # foramen of Monro
    (18, 8, 11, 7, 2.5, 30),  # frontal horn
    (30, 14, 8, 0, 0, 20),  # its tip
)
# By how much the ventricle of an old subject with dementia is wider, all round, at its widest.
WIDENING_MM = 6.0
# Widening leaves the septum and the floor about where they are: the middle moves (lateral, up).
MOVE_PER_WIDENING = (0.7, 0.3)


def ventricle_axes(
    expansion: float,
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Coronal ellipses of the lateral ventricle.

    Args:
        expansion: 0 for the average young adult, 1 for an old one with dementia; below 0 it
            narrows.

    Returns:
        centres [T, 2] (lateral, height; mm) and semi-axis matrices [T, 3] (mm) as of
        `ellipse_axes`, at `VENTRICLE_Y_T`. Past the tips the semi-axes are almost 0.
    """
    y, *columns = np.asarray(LANDMARKS, dtype=np.float64).T
    at_t = np.clip(VENTRICLE_Y_T, y[0], y[-1])
    lateral, height, long_t, short_t, degrees_t = PchipInterpolator(y, np.stack(columns, 1))(at_t).T
    narrowing = max(1.0 + min(expansion, 0.0), 0.3)
    long_t, short_t = np.maximum(long_t, EMPTY_MM), np.maximum(short_t, EMPTY_MM)
    axes = ellipse_axes(long_t * narrowing, short_t * narrowing, degrees_t)
    width_t = np.sqrt(long_t * short_t) - EMPTY_MM
    wider_t = max(expansion, 0.0) * WIDENING_MM * np.sqrt(width_t / width_t.max())
    axes[:, [0, 2]] += wider_t[:, None]
    centre = np.stack([lateral, height], axis=1)
    return centre + wider_t[:, None] * np.asarray(MOVE_PER_WIDENING), axes


def ventricle_volume_mm3(expansion: float) -> float:
    """Volume of both lateral ventricles without their temporal horns, mm3."""
    xx, xz, zz = ventricle_axes(expansion)[1].T
    return float(2.0 * np.pi * STEP_MM * np.sum(xx * zz - xz**2))

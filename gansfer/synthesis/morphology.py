"""Shapes in plane: discs, closing, holes, specks and spurs.

Axes legend: K slices, H rows, W columns. Every function treats each slice by itself.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy import ndimage

Bools = npt.NDArray[np.bool_]

# Neighbours in plane, none across slices: by edges, and by edges and corners.
_BY_EDGE = ndimage.generate_binary_structure(2, 1)[None]
_BY_CORNER_TOO = np.zeros((3, 3, 3), bool)
_BY_CORNER_TOO[1] = True


def disk(radius_mm: float, spacing_hw_mm: tuple[float, float]) -> Bools:
    """The pixels whose centre is within `radius_mm` of the middle one: a structuring element.

    1 mm at 1 mm pixels is the 3 x 3 cross. A radius below the spacing gives the single middle
    pixel, with which opening and closing change nothing: so no structure that is two or three
    pixels wide at 2 mm (accumbens) vanishes by a radius meant for 1 mm.

    Args:
        radius_mm: radius, 0 or more.
        spacing_hw_mm: row and column spacing.
    """
    reach_h, reach_w = (int(radius_mm / side_mm + 1e-6) for side_mm in spacing_hw_mm)
    row_mm = np.arange(-reach_h, reach_h + 1)[:, None] * spacing_hw_mm[0]
    column_mm = np.arange(-reach_w, reach_w + 1)[None, :] * spacing_hw_mm[1]
    return row_mm**2 + column_mm**2 <= radius_mm**2 * (1.0 + 1e-6) + 1e-12


def close_gaps(own_khw: Bools, footprint: Bools) -> Bools:
    """Closing in plane, on a field enlarged by the footprint's reach: true up to the border."""
    if footprint.size == 1:
        return own_khw
    reach_h, reach_w = footprint.shape[0] // 2, footprint.shape[1] // 2
    padded_khw = np.pad(own_khw, ((0, 0), (reach_h, reach_h), (reach_w, reach_w)))
    closed_khw = ndimage.binary_closing(padded_khw, footprint[None])
    height, width = own_khw.shape[1:]
    return closed_khw[:, reach_h : reach_h + height, reach_w : reach_w + width]


def fill_holes(own_khw: Bools) -> Bools:
    """Fill what each slice's background (4-connected) cannot reach from the border."""
    return ndimage.binary_fill_holes(own_khw, _BY_EDGE)


def drop_spurs(
    own_khw: Bools, width_mm: float, length_mm: float, spacing_hw_mm: tuple[float, float]
) -> Bools:
    """Drop thin parts that reach out far from a thicker one; beyond the border is background.

    What an opening by a square of `width_mm` would remove is thin. A thin part goes, as a whole,
    where some pixel of it is more than `length_mm` from the thick part that it grows from, within
    the structure. Short ones, such as corners, stay, and so does a component that is thin
    everywhere: the opening alone takes a fifth of accumbens at 1 mm.

    Args:
        own_khw: one structure.
        width_mm: side of the square; up to the pixel's, nothing is thin.
        length_mm: longest thin part that is kept, in steps from pixel to pixel by their edges.
        spacing_hw_mm: row and column spacing.
    """
    side_h, side_w = (max(1, round(width_mm / side_mm)) for side_mm in spacing_hw_mm)
    if side_h * side_w == 1:
        return own_khw.copy()
    thick_khw = ndimage.binary_opening(own_khw, np.ones((1, side_h, side_w), bool))
    thin_khw = own_khw & ~thick_khw
    near_khw = thick_khw
    steps = int(length_mm / min(spacing_hw_mm) + 1e-6)
    if steps:
        near_khw = ndimage.binary_dilation(thick_khw, _BY_EDGE, iterations=steps, mask=own_khw)
    part_khw, n_parts = ndimage.label(thin_khw, _BY_CORNER_TOO)
    attached_p, far_p = np.zeros(n_parts + 1, bool), np.zeros(n_parts + 1, bool)
    attached_p[part_khw[ndimage.binary_dilation(thick_khw, _BY_CORNER_TOO)]] = True
    far_p[part_khw[thin_khw & ~near_khw]] = True
    spur_p = attached_p & far_p
    spur_p[0] = False
    return own_khw & ~spur_p[part_khw]


def drop_specks(own_khw: Bools, least_area_mm2: float, spacing_hw_mm: tuple[float, float]) -> Bools:
    """Drop components (joined by edges or corners) of less than `least_area_mm2`."""
    part_khw, n_parts = ndimage.label(own_khw, _BY_CORNER_TOO)
    area_mm2_p = np.bincount(part_khw.ravel(), minlength=n_parts + 1) * float(
        np.prod(spacing_hw_mm)
    )
    large_p = area_mm2_p >= least_area_mm2 * (1.0 - 1e-9)
    return own_khw & large_p[part_khw]

"""Whether generated label maps have structures of a real size, in a real place.

Axes legend: K slices of a set, S structures, H rows, W columns.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import stats

Labels = npt.NDArray[np.integer]
Numbers = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Shapes:
    """One structure in each slice of a set that has it.

    Attributes:
        area_mm2: [M] of the M slices with the structure.
        row_mm: [M] of its centroid, from the first row.
        column_mm: [M] of its centroid, from the first column.
        n_slices: of the set, with the structure or without.
    """

    area_mm2: Numbers
    row_mm: Numbers
    column_mm: Numbers
    n_slices: int

    @property
    def present_fraction(self) -> float:
        """Slices that have the structure."""
        return len(self.area_mm2) / self.n_slices

    @property
    def mean_area_mm2(self) -> float:
        """Mean over ALL slices; times the depth of the region, a volume."""
        return float(self.area_mm2.sum() / self.n_slices)


def shapes(
    label_khw: Labels, n_structures: int, spacing_hw_mm: tuple[float, float]
) -> list[Shapes]:
    """Area and centroid of each structure in each slice.

    Args:
        label_khw: [K, H, W] label maps, 0 background and 1..S.
        n_structures: S.
        spacing_hw_mm: row and column spacing.

    Returns:
        One for each structure, in order.
    """
    _, h, w = label_khw.shape
    row_mm_h = np.arange(h) * spacing_hw_mm[0]
    column_mm_w = np.arange(w) * spacing_hw_mm[1]
    found = []
    for s in range(n_structures):
        inside_khw = label_khw == s + 1
        count_kh = inside_khw.sum(axis=2)
        count_kw = inside_khw.sum(axis=1)
        count_k = count_kh.sum(axis=1)
        there_k = count_k > 0
        n_m = count_k[there_k]
        found.append(
            Shapes(
                area_mm2=n_m * float(spacing_hw_mm[0] * spacing_hw_mm[1]),
                row_mm=count_kh[there_k] @ row_mm_h / n_m,
                column_mm=count_kw[there_k] @ column_mm_w / n_m,
                n_slices=len(label_khw),
            )
        )
    return found


def area_distance_mm2(real: Shapes, made: Shapes) -> float:
    """Wasserstein distance of two areas' distributions; NaN where a set lacks the structure."""
    if not len(real.area_mm2) or not len(made.area_mm2):
        return float("nan")
    return float(stats.wasserstein_distance(real.area_mm2, made.area_mm2))


def centroid_shift_mm(real: Shapes, made: Shapes) -> float:
    """Distance between two sets' mean centroids; NaN where a set lacks the structure."""
    if not len(real.area_mm2) or not len(made.area_mm2):
        return float("nan")
    return float(
        np.hypot(
            made.row_mm.mean() - real.row_mm.mean(), made.column_mm.mean() - real.column_mm.mean()
        )
    )


def dice_of_pairs(a_khw: Labels, b_khw: Labels, n_structures: int) -> Numbers:
    """Dice [K, S] of each structure in pairs of slices; NaN where neither has it.

    Args:
        a_khw: [K, H, W] label maps, such as generated ones.
        b_khw: [K, H, W] the maps they are compared with, such as those of the nearest real slices.
        n_structures: S.
    """
    dice_ks = np.full((len(a_khw), n_structures), np.nan)
    for s in range(n_structures):
        a_in, b_in = a_khw == s + 1, b_khw == s + 1
        total_k = a_in.sum(axis=(1, 2)) + b_in.sum(axis=(1, 2))
        there_k = total_k > 0
        both_k = (a_in & b_in).sum(axis=(1, 2))
        dice_ks[there_k, s] = 2.0 * both_k[there_k] / total_k[there_k]
    return dice_ks

from __future__ import annotations

import numpy as np
import pytest

from gansfer.quality.plausibility import (
    area_distance_mm2,
    centroid_shift_mm,
    dice_of_pairs,
    shapes,
)


def _label(row: int, column: int, side: int, value: int = 1) -> np.ndarray:
    label_hw = np.zeros((12, 12), np.uint8)
    label_hw[row : row + side, column : column + side] = value
    return label_hw


def test_area_and_place_of_squares_drawn_by_hand() -> None:
    label_khw = np.stack([_label(2, 4, 3), _label(0, 0, 1), np.zeros((12, 12), np.uint8)])
    one, absent = shapes(label_khw, 2, spacing_hw_mm=(2.0, 0.5))
    assert one.area_mm2.tolist() == [9.0, 1.0]
    assert one.row_mm.tolist() == [6.0, 0.0]
    assert one.column_mm.tolist() == [2.5, 0.0]
    assert one.present_fraction == pytest.approx(2 / 3)
    assert one.mean_area_mm2 == pytest.approx(10 / 3)
    assert absent.present_fraction == 0
    assert len(absent.area_mm2) == 0


def test_distances_between_sets() -> None:
    (real,) = shapes(np.stack([_label(2, 2, 2)] * 3), 1, (1.0, 1.0))
    (made,) = shapes(np.stack([_label(5, 6, 2)] * 4), 1, (1.0, 1.0))
    (larger,) = shapes(np.stack([_label(2, 2, 4)] * 4), 1, (1.0, 1.0))
    (none,) = shapes(np.zeros((2, 12, 12), np.uint8), 1, (1.0, 1.0))
    assert centroid_shift_mm(real, made) == pytest.approx(5.0)
    assert area_distance_mm2(real, made) == 0
    assert area_distance_mm2(real, larger) == 12
    assert np.isnan(area_distance_mm2(real, none))
    assert np.isnan(centroid_shift_mm(none, made))


def test_dice_counts_a_missing_structure_and_leaves_out_what_neither_has() -> None:
    a = np.stack([_label(0, 0, 2), _label(0, 0, 2), np.zeros((12, 12), np.uint8)])
    b = np.stack([_label(0, 1, 2), np.zeros((12, 12), np.uint8), np.zeros((12, 12), np.uint8)])
    dice_ks = dice_of_pairs(a, b, 2)
    assert dice_ks[:2, 0].tolist() == [0.5, 0.0]
    assert np.isnan(dice_ks[2, 0])
    assert np.isnan(dice_ks[:, 1]).all()

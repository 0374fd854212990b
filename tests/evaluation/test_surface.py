import math

import numpy as np
import pytest
from scipy.spatial.distance import cdist

from gansfer.evaluation.surface import surface_distances, surface_table


def _surface_points_mm(
    object_zhw: np.ndarray, spacing_zhw_mm: tuple[float, float, float]
) -> np.ndarray:
    points = []
    for z, h, w in np.argwhere(object_zhw):
        around = [(z - 1, h, w), (z + 1, h, w), (z, h - 1, w), (z, h + 1, w), (z, h, w - 1)]
        around.append((z, h, w + 1))
        sizes = object_zhw.shape
        if any(
            min(p) < 0 or any(i >= n for i, n in zip(p, sizes, strict=True)) or not object_zhw[p]
            for p in around
        ):
            points.append((z, h, w))
    return np.array(points) * spacing_zhw_mm


def test_equals_a_slow_oracle_on_an_anisotropic_grid() -> None:
    spacing_zhw_mm = (3.0, 1.0, 0.5)
    rng = np.random.default_rng(0)
    a_zhw = np.zeros((8, 12, 12), bool)
    b_zhw = np.zeros((8, 12, 12), bool)
    a_zhw[1:5, 2:9, 3:9] = True
    b_zhw[2:7, 3:11, 1:8] = True
    a_zhw ^= rng.random(a_zhw.shape) < 0.02
    gap_mm = cdist(
        _surface_points_mm(a_zhw, spacing_zhw_mm), _surface_points_mm(b_zhw, spacing_zhw_mm)
    )
    there, back = gap_mm.min(axis=1), gap_mm.min(axis=0)
    hd95_mm, asd_mm = surface_distances(a_zhw, b_zhw, spacing_zhw_mm)
    assert hd95_mm == pytest.approx(max(np.percentile(there, 95), np.percentile(back, 95)))
    assert asd_mm == pytest.approx(np.concatenate([there, back]).mean())
    assert surface_distances(b_zhw, a_zhw, spacing_zhw_mm) == pytest.approx((hd95_mm, asd_mm))


def test_by_hand_two_voxels() -> None:
    a_zhw = np.zeros((1, 1, 6), bool)
    b_zhw = a_zhw.copy()
    a_zhw[0, 0, 1] = b_zhw[0, 0, 4] = True
    assert surface_distances(a_zhw, b_zhw, (1.0, 1.0, 2.0)) == (6.0, 6.0)


def test_larger_direction_counts_and_the_mean_is_over_both_surfaces() -> None:
    a_zhw = np.zeros((1, 1, 6), bool)
    b_zhw = a_zhw.copy()
    a_zhw[0, 0, 1] = b_zhw[0, 0, [1, 4]] = True
    # From a: 0 mm. From b: 0 and 6 mm, whose 95th percentile is 5.7.
    for pair in ((a_zhw, b_zhw), (b_zhw, a_zhw)):
        assert surface_distances(*pair, (1.0, 1.0, 2.0)) == pytest.approx((5.7, 2.0))


def test_missed_is_infinite_and_absent_is_undefined() -> None:
    label_zhw = np.array([[[1, 0, 3, 0]]])
    reference = np.array([[[1, 2, 0, 0]]])
    rows = surface_table("s", label_zhw, reference, ("a", "b", "c"), (1, 1, 1))
    values = {(row.structure, row.metric): row.value for row in rows}
    assert values == {
        ("a", "hd95_mm"): 0.0,
        ("a", "asd_mm"): 0.0,
        ("a", "missed"): 0.0,
        ("b", "hd95_mm"): math.inf,
        ("b", "asd_mm"): math.inf,
        ("b", "missed"): 1.0,
        ("c", "hd95_mm"): None,
        ("c", "asd_mm"): None,
        ("c", "missed"): None,
    }

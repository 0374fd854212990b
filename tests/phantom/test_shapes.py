"""Tubes: their sections, ends and depth."""

from __future__ import annotations

import numpy as np
import pytest

from gansfer.phantom.shapes import Loft, Tube, tube_sections, width_profile


def test_a_tube_with_rounded_ends_is_an_ellipsoid() -> None:
    tube = Tube((20, -10, 5), (20, 10, 5), (0, 0), (6, 4), (90, 90), (0.5, 0.5))
    rng = np.random.default_rng(0)
    x, y, z = (rng.uniform(-12, 12, 20_000).astype(np.float32) for _ in range(3))
    rho = np.sqrt((x / 6) ** 2 + (y / 10) ** 2 + (z / 4) ** 2)
    depth = Loft.from_tube(tube).depth_mm(x + 20, y, z + 5)
    sure = abs(rho - 1) > 0.03
    assert np.array_equal((depth > 0)[sure], (rho < 1)[sure])


def test_depth_is_a_distance_across_a_round_tube() -> None:
    loft = Loft.from_tube(Tube((20, -10, 0), (20, 10, 0), (0, 0), (5, 5), (0, 0)))
    lateral = np.array([20, 23, 25, 28], dtype=np.float32)
    depth = loft.depth_mm(lateral, np.zeros_like(lateral), np.zeros_like(lateral))
    assert depth == pytest.approx([5, 2, 0, -3], abs=0.02)


def test_width_is_largest_towards_the_blunt_end_and_zero_at_both() -> None:
    along = np.linspace(-0.2, 1.2, 1401)
    width = width_profile(along, (0.9, 0.3))
    assert width.max() == pytest.approx(1.0)
    assert along[width.argmax()] == pytest.approx(0.75, abs=0.001)
    assert (width[(along <= 0) | (along >= 1)] == 0).all()


def test_centreline_bends_by_the_bow_and_the_long_axis_turns() -> None:
    tube = Tube((10, 0, 0), (20, 40, 8), (2, -3), (6, 3), (0, 90))
    centre, axes = tube_sections(tube, np.array([0.0, 20.0, 40.0]))
    assert centre == pytest.approx(np.array([[10, 0], [17, 1], [20, 8]]))
    # At 45 degrees the ellipse leans outward: the long axis runs up and laterally.
    assert axes[1] == pytest.approx([4.5, 1.5, 4.5])

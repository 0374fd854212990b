"""How smooth random fields are made."""

from __future__ import annotations

import numpy as np
from scipy.interpolate import BSpline

from gansfer.phantom.anatomy import lattice_field
from gansfer.phantom.individual import HEAD_MM


def test_lattice_field_agrees_with_scipy() -> None:
    rng = np.random.default_rng(0)
    lattice = rng.normal(size=(14, 14, 14)).astype(np.float32)
    spacing_mm = 2 * HEAD_MM / 10
    x_mm, y_mm, z_mm = np.array([[-70, 3.3], [0.0, 41], [-12.5, 77]], np.float32)
    axes_mm = (x_mm, y_mm, z_mm)
    expected = lattice.astype(float)
    for axis, line_mm in enumerate(axes_mm):
        knots = -HEAD_MM + spacing_mm * (np.arange(18) - 3)
        spline = BSpline(knots, expected, 3, axis=axis)
        expected = spline(line_mm.astype(float))
    found = lattice_field(lattice, spacing_mm, axes_mm)
    assert np.allclose(found, expected, atol=1e-5)

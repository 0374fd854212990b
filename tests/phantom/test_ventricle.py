"""The lateral ventricle: its size, and how it widens."""

from __future__ import annotations

import numpy as np
import pytest

from gansfer.phantom.individual import draw_individual
from gansfer.phantom.ventricle import (
    VENTRICLE_Y_T,
    ventricle_axes,
    ventricle_volume_mm3,
)


def test_volumes() -> None:
    assert ventricle_volume_mm3(0.0) == pytest.approx(13_000, rel=0.15)
    assert ventricle_volume_mm3(1.0) == pytest.approx(60_000, rel=0.15)
    volumes = [ventricle_volume_mm3(e) for e in np.linspace(-0.6, 1.8, 13)]
    assert (np.diff(volumes) > 0).all()


def test_people_have_more_of_it_when_old_and_demented() -> None:
    young, old = (
        np.mean([ventricle_volume_mm3(draw_individual(rng, *who).ventricle) for rng in rngs])
        for who, rngs in (
            (who, [np.random.default_rng(seed) for seed in range(6)])
            for who in ((20.0, 0.0), (80.0, 1.0))
        )
    )
    assert 9_000 < young < 18_000
    assert old > 45_000


def test_widening_moves_the_outer_wall_most() -> None:
    walls = []
    for expansion in (0.0, 1.0):
        centre, axes = ventricle_axes(expansion)
        half_width = np.hypot(axes[:, 0], axes[:, 1])
        walls.append((centre[:, 0] - half_width, centre[:, 0] + half_width))
    body = (VENTRICLE_Y_T > -20) & (VENTRICLE_Y_T < 10)
    inner, outer = np.subtract(walls[1], walls[0])[:, body]
    assert (outer > 5.0).all()
    assert (np.abs(inner) < 3.0).all()

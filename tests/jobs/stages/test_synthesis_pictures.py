"""What is written above the pictures of a cell's synthetic slices."""

from __future__ import annotations

import numpy as np

from jobs.stages.synthesis_pictures import _how_alike


def test_fig_7_says_how_alike_the_most_alike_are_beside_random_pairs() -> None:
    value_n = np.array([0.0, 0.5, 9.0, 6.0, 7.5, 3.0, 99.0])
    image_nhw = value_n[:, None, None] * np.ones((7, 4, 4))
    finite_n = value_n < 99
    title = _how_alike(image_nhw, finite_n, np.array([[0, 1], [3, 4]]))
    assert "The 2 latents most alike after phase 1, of 7" in title
    assert "difference 0.50 and 1.50, of random pairs 4.50" in title

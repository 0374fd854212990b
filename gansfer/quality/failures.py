"""Ends that are no results: a generator that draws one picture, a segmenter that finds nothing.

Both train to their end without an error. Each test gives a sentence to be put on record, or None.
None of it is in the paper.

Axes legend: N subjects or real slices, K generated slices, Z slices, H rows, W columns.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy.spatial.distance import pdist

Floats = npt.NDArray[np.floating]

# Real slices are at 1. GANs after a few dozen images, noise still, were at 0.4 to 3; one picture
# with a trace of the latent left is below 0.01.
COLLAPSED_BELOW = 0.1
# Of the real slices, spread evenly: 20,000 pairs.
_MOST_SLICES = 200


def variety_ratio(generated_khw: Floats, real_nhw: Floats) -> float | None:
    """How unlike each other generated slices are, as a multiple of how unlike real ones are.

    A set's variety is the median, over all pairs, of the RMS difference of their pixels: a few
    slices that differ from the rest do not hide that the rest are one.

    Args:
        generated_khw: [K, H, W] MR channel of slices of different latents.
        real_nhw: [N, H, W] real slices in the same units.

    Returns:
        0 where all generated slices are the same, or where fewer than two are finite; None where
        the real slices have no variety to be judged by.
    """
    finite_k = np.isfinite(generated_khw).all(axis=(1, 2))
    real = _median_difference(real_nhw)
    if not real > 0:
        return None
    return _median_difference(generated_khw[finite_k]) / real


def generator_failure(variety: float | None) -> str | None:
    """Says that a generator has collapsed, by its `variety_ratio`."""
    if variety is None or variety >= COLLAPSED_BELOW:
        return None
    return (
        f"draws one picture, whatever the latent: its slices differ by {variety:.2g} of what real "
        f"slices do, at least {COLLAPSED_BELOW:g} wanted"
    )


def segmenter_failure(
    label_nzhw: npt.NDArray[np.uint8], subjects: str = "test subjects"
) -> str | None:
    """Says that a segmenter finds no structure in any of the subjects [N, Z, H, W].

    Args:
        label_nzhw: its label maps.
        subjects: what the sentence is to call them.
    """
    if label_nzhw.any():
        return None
    return f"predicts nothing: no foreground voxel in any of {len(label_nzhw)} {subjects}"


def _median_difference(image_nhw: Floats) -> float:
    n = len(image_nhw)
    if n < 2:
        return 0.0
    chosen = np.linspace(0, n - 1, min(n, _MOST_SLICES)).round().astype(int)
    flat_np = image_nhw[chosen].reshape(len(chosen), -1).astype(np.float64)
    return float(np.median(pdist(flat_np)) / np.sqrt(flat_np.shape[1]))

"""How near generated slices are to real ones, and how much of their variety they show.

Two measures that need no pretrained network, because there is none for slices with label channels:
the sliced Wasserstein distance of each channel on a Laplacian pyramid, and precision, recall,
density and coverage in a fixed embedding. None of it is in the paper.

Axes legend: K slices of a set, H rows, W columns, D dimensions of a descriptor or embedding.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import ndimage
from scipy.spatial.distance import cdist
from sklearn.decomposition import PCA

Floats = npt.NDArray[np.floating]

# Burt and Adelson's (1983) binomial filter, as in the PGGAN paper's measure.
_BINOMIAL = np.array([1.0, 4.0, 6.0, 4.0, 1.0]) / 16.0
_PATCH_PX = 7
_SMALLEST_PX = 10


@dataclass(frozen=True)
class Variety:
    """Four fractions: of the generated slices that look real, and of the real that are reached.

    Attributes:
        precision: generated slices inside the real ones' neighbourhoods.
        recall: real slices inside the generated ones' neighbourhoods.
        density: how many real neighbourhoods a generated slice is in, by how many expected.
        coverage: real slices whose neighbourhood holds a generated one.
    """

    precision: float
    recall: float
    density: float
    coverage: float


def laplacian_pyramid(image_khw: Floats) -> list[Floats]:
    """Bands of a stack of slices, fine to coarse, halved down to 10 px; the last is what is left.

    Args:
        image_khw: [K, H, W], any units.

    Returns:
        [K, H / 2^i, W / 2^i] each; by upsampling and adding, the slices come back.
    """
    bands = []
    rest_khw: Floats = image_khw.astype(np.float32)
    while min(rest_khw.shape[1:]) >= 2 * _SMALLEST_PX and not any(
        side % 2 for side in rest_khw.shape[1:]
    ):
        coarse_khw = _blur(rest_khw, _BINOMIAL)[:, ::2, ::2]
        bands.append(rest_khw - pyramid_up(coarse_khw))
        rest_khw = coarse_khw
    return [*bands, rest_khw]


def pyramid_up(image_khw: Floats) -> Floats:
    """Twice the rows and columns, by the pyramid's own filter."""
    k, h, w = image_khw.shape
    large_khw = np.zeros((k, 2 * h, 2 * w), np.float32)
    large_khw[:, ::2, ::2] = image_khw
    return _blur(large_khw, 2.0 * _BINOMIAL)


def sliced_wasserstein(
    real_khw: Floats,
    made_khw: Floats,
    seed: int,
    patches_per_slice: int = 64,
    n_directions: int = 64,
) -> dict[int, float]:
    """Distance between the 7 x 7 patches of two sets, at each scale of a pyramid.

    The PGGAN paper's measure (Karras 2018, section 5), for one channel. Both sets are scaled by
    the mean and deviation of the REAL patches, where theirs scales each by its own: a difference
    in contrast is a difference here. The patches lie at the same places in both sets.

    Args:
        real_khw: [K, H, W] one channel of real slices.
        made_khw: [K, H, W] the same channel of as many generated ones.
        seed: of places and directions.
        patches_per_slice: of each slice and scale.
        n_directions: one-dimensional projections that are averaged.

    Returns:
        px of the scale -> distance, in deviations of the real patches; NaN where the real ones
        have none.

    Raises:
        ValueError: the sets have another shape or number of slices.
    """
    if real_khw.shape != made_khw.shape:
        raise ValueError(
            f"cannot compare {real_khw.shape} with {made_khw.shape}: give as many slices of a size"
        )
    random = np.random.default_rng(seed)
    found = {}
    for real_band_khw, made_band_khw in zip(
        laplacian_pyramid(real_khw), laplacian_pyramid(made_khw), strict=True
    ):
        k, h, w = real_band_khw.shape
        place_3m = (
            np.repeat(np.arange(k), patches_per_slice),
            random.integers(h - _PATCH_PX + 1, size=k * patches_per_slice),
            random.integers(w - _PATCH_PX + 1, size=k * patches_per_slice),
        )
        direction_dn = random.normal(size=(_PATCH_PX**2, n_directions)).astype(np.float32)
        direction_dn /= np.linalg.norm(direction_dn, axis=0)
        real_md, made_md = (_patches(band, place_3m) for band in (real_band_khw, made_band_khw))
        deviation = float(real_md.std())
        if not deviation > 0:
            found[h] = float("nan")
            continue
        real_mn, made_mn = (
            np.sort((patch_md - real_md.mean()) / deviation @ direction_dn, axis=0)
            for patch_md in (real_md, made_md)
        )
        found[h] = float(np.abs(real_mn - made_mn).mean(dtype=np.float64))
    return found


def embedding_of(real_khw: Floats, dimensions: int = 32) -> PCA:
    """The fixed embedding: principal components of real slices, not whitened.

    Distances in it are those between the slices without their finest detail.

    Args:
        real_khw: [K, H, W] real slices that it is fitted to.
        dimensions: D; fewer where there are fewer slices or pixels.
    """
    flat_kp = real_khw.reshape(len(real_khw), -1).astype(np.float32)
    solver = "randomized" if min(flat_kp.shape) > 4 * dimensions else "full"
    return PCA(min(dimensions, *flat_kp.shape), svd_solver=solver, random_state=0).fit(flat_kp)


def embedded(embedding: PCA, image_khw: Floats) -> npt.NDArray[np.float64]:
    """Places [K, D] of slices in an embedding."""
    flat_kp = image_khw.reshape(len(image_khw), -1).astype(np.float32)
    return np.asarray(embedding.transform(flat_kp), np.float64)


def variety(real_kd: Floats, made_kd: Floats, neighbours: int = 5) -> Variety:
    """Precision and recall (Kynkäänniemi 2019), density and coverage (Naeem 2020).

    A neighbourhood is the ball that reaches a point's fifth nearest other one of its own set.
    The number of points changes all four: compare only sets of one size.

    Args:
        real_kd: [K, D] real points.
        made_kd: [K, D] generated points.
        neighbours: that a ball reaches.

    Raises:
        ValueError: a set is too small to have that many.
    """
    if min(len(real_kd), len(made_kd)) <= neighbours:
        raise ValueError(
            f"{len(real_kd)} real and {len(made_kd)} generated points, "
            f"expected more than {neighbours} of each"
        )
    distance_rm = cdist(real_kd, made_kd)
    inside_rm = distance_rm < _radius(real_kd, neighbours)[:, None]
    around_rm = distance_rm < _radius(made_kd, neighbours)[None]
    return Variety(
        precision=float(inside_rm.any(axis=0).mean()),
        recall=float(around_rm.any(axis=1).mean()),
        density=float(inside_rm.sum(axis=0).mean() / neighbours),
        coverage=float(inside_rm.any(axis=1).mean()),
    )


def _radius(point_kd: Floats, neighbours: int) -> Floats:
    distance_kk = cdist(point_kd, point_kd)
    return np.partition(distance_kk, neighbours, axis=1)[:, neighbours]


def _blur(image_khw: Floats, kernel: Floats) -> Floats:
    for axis in (1, 2):
        image_khw = ndimage.convolve1d(image_khw, kernel, axis=axis, mode="mirror")
    return image_khw


def _patches(
    band_khw: Floats, place_3m: tuple[npt.NDArray, npt.NDArray, npt.NDArray]
) -> npt.NDArray[np.float32]:
    """The patches [M, 49] whose first pixel is at (slice, row, column)."""
    window_khwpp = np.lib.stride_tricks.sliding_window_view(
        band_khw, (_PATCH_PX, _PATCH_PX), axis=(1, 2)
    )
    return window_khwpp[place_3m].reshape(-1, _PATCH_PX**2).astype(np.float32)

"""Latents that one generator maps to nearly the same slice (IV.A, Fig. 7).

Legend: N latents searched, K latents of a region, R regions, H W rows and columns, P = H * W.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

# Rows of the distance matrix at a time: 512 x 4,096 float32 numbers are 8 MB.
_ROWS_AT_ONCE = 512


def similar_regions(
    image_nhw: npt.NDArray[np.floating],
    n_latents: int = 9,
    n_regions: int = 2,
    eligible_n: npt.NDArray[np.bool_] | None = None,
) -> npt.NDArray[np.int64]:
    """Search the latents for those whose slices nearly coincide, in several places (Fig. 7).

    A region is a latent, its centre, with the K - 1 others whose slices are nearest to its own;
    it is as tight as the farthest of them is near. The tightest region comes first. Each further
    one is the tightest whose centre is at least half as far from every centre before it as any
    latent that may be a centre, so that it shows another part of the brain. Paper silent on the
    search.

    Args:
        image_nhw: [N, H, W] MR channel of each latent's slice after phase 1.
        n_latents: K, the centre included.
        n_regions: R.
        eligible_n: [N] which slices may be a centre; None: all.

    Returns:
        [R, K] indices into N, each region's centre first, then by distance.

    Raises:
        ValueError: fewer than K latents, or fewer than R that may be a centre.
    """
    n = len(image_nhw)
    eligible = np.flatnonzero(np.ones(n, bool) if eligible_n is None else eligible_n)
    if n < n_latents or len(eligible) < n_regions:
        raise ValueError(
            f"cannot find {n_regions} regions of {n_latents} among {n} latents, "
            f"{len(eligible)} of which may be a centre"
        )
    flat_np = image_nhw.reshape(n, -1).astype(np.float32)
    flat_np = flat_np - flat_np.mean(axis=0)
    tightness_e = np.concatenate(
        [
            np.partition(
                _square_distances(flat_np[eligible[start : start + _ROWS_AT_ONCE]], flat_np),
                n_latents - 1,
                axis=1,
            )[:, n_latents - 1]
            for start in range(0, len(eligible), _ROWS_AT_ONCE)
        ]
    )
    centres = _centres(flat_np[eligible], tightness_e, n_regions)
    return np.stack([_nearest(flat_np, int(eligible[centre]), n_latents) for centre in centres])


def median_distance(image_nhw: npt.NDArray[np.floating]) -> float:
    """How unlike slices are: the median, over all pairs, of the RMS difference of their pixels.

    Args:
        image_nhw: [N, H, W] slices.

    Returns:
        In the images' own unit; NaN with fewer than two.
    """
    flat_np = image_nhw.reshape(len(image_nhw), -1).astype(np.float32)
    mean_square_nn = _square_distances(flat_np, flat_np) / flat_np.shape[1]
    pair_m = mean_square_nn[np.triu_indices(len(flat_np), 1)]
    return float(np.median(np.sqrt(np.maximum(pair_m, 0)))) if pair_m.size else float("nan")


def _centres(
    flat_ep: npt.NDArray[np.float32], tightness_e: npt.NDArray[np.floating], n_regions: int
) -> list[int]:
    centres = [int(tightness_e.argmin())]
    apart_e = np.full(len(flat_ep), np.inf, np.float32)
    while len(centres) < n_regions:
        from_last_e = _square_distances(flat_ep[centres[-1:]], flat_ep)[0]
        apart_e = np.minimum(apart_e, from_last_e)
        apart_e[centres] = -1.0
        # Distances are squared: half as far is a quarter.
        far_e = apart_e >= 0.25 * apart_e.max()
        centres.append(int(np.where(far_e, tightness_e, np.inf).argmin()))
    return centres


def _nearest(flat_np: npt.NDArray[np.float32], centre: int, k: int) -> npt.NDArray[np.int64]:
    square_n = np.square(flat_np - flat_np[centre]).sum(axis=1)
    square_n[centre] = -1.0  # first, even if another slice is the same to the bit
    return np.argsort(square_n, kind="stable")[:k].astype(np.int64)


def _square_distances(
    a_mp: npt.NDArray[np.float32], b_np: npt.NDArray[np.float32]
) -> npt.NDArray[np.float32]:
    square_mn = a_mp @ b_np.T
    square_mn *= -2.0
    square_mn += np.einsum("np,np->n", b_np, b_np)
    square_mn += np.einsum("mp,mp->m", a_mp, a_mp)[:, None]
    return square_mn

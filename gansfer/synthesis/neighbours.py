"""The nearest real image of each generated one (III.B): slice numbers and realism scores.

Axes legend: K generated slices (queries), N real slices or training subjects, Z slices of a volume
(inferior to superior), H rows, W columns.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from gansfer.progress import Silent, StopRequested, Watch
from gansfer.volumes import as_slices

Floats = npt.NDArray[np.floating]

# Pairs whose exact distance is computed at once: 512 x 6,400 float64 pixels are 26 MB.
_PAIRS_AT_ONCE = 512


def nearest(
    query_khw: Floats,
    reference_nhw: Floats,
    *,
    block: int = 2048,
    watch: Watch | None = None,
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float64]]:
    """Index of, and Euclidean distance to, the reference image nearest to each query (III.B).

    Distances are screened in float32 by |a|^2 + |b|^2 - 2ab (one matrix product per block, both
    sides centred on the mean reference), which cancels badly for near images. Every pair within
    the rounding error of the best is then measured exactly, in float64, so neither the winner nor
    its distance carries that error. Of equally near references the first wins. A query that is not
    finite has no neighbour: index -1, distance infinite.

    Args:
        query_khw: [K, H, W] images, any float type.
        reference_nhw: [N, H, W] images, any float type.
        block: images of each side in memory at once; changes memory and speed, not the result.
        watch: told of each finished block.

    Raises:
        ValueError: no reference, images of another size, or a reference that is not finite.
        StopRequested: the watch asked to stop; nothing is kept, the search starts over.
    """
    if len(reference_nhw) == 0 or query_khw.shape[1:] != reference_nhw.shape[1:]:
        raise ValueError(
            f"cannot compare queries {query_khw.shape} with references {reference_nhw.shape}"
        )
    watch = watch or Silent()
    query_kp = query_khw.reshape(len(query_khw), -1)
    reference_np = reference_nhw.reshape(len(reference_nhw), -1)
    centre_p = reference_np.mean(axis=0, dtype=np.float64).astype(np.float32)
    if not np.isfinite(centre_p).all():
        raise ValueError("a reference image has values that are not finite")
    index_k = np.full(len(query_kp), -1, np.int64)
    square_k = np.full(len(query_kp), np.inf)
    starts = [
        (k, n) for n in range(0, len(reference_np), block) for k in range(0, len(query_kp), block)
    ]
    for done, (k, n) in enumerate(starts, start=1):
        if watch.stopping():
            raise StopRequested
        here = slice(k, k + block)
        _improve(
            query_kp[here], reference_np[n : n + block], n, centre_p, index_k[here], square_k[here]
        )
        watch.report(done, len(starts), "blocks", "nearest images")
    return index_k, np.sqrt(square_k)


def nearest_slice_number(
    query_khw: Floats, numbered_nzhw: Floats, *, watch: Watch | None = None
) -> npt.NDArray[np.int64]:
    """Slice number (0-based z) of each generated slice: that of the nearest real one (III.B).

    A query that is not finite gets some valid number; its realism score is what rejects it.

    Args:
        query_khw: [K, H, W] MR channel of generated slices, in the training images' units.
        numbered_nzhw: [N, Z, H, W] real MR of the common space, with labels or without. The
            labelled ones alone, being young, misplace slices with wide ventricles.
        watch: told of each finished block.
    """
    n_slices = numbered_nzhw.shape[1]
    index_k, _ = nearest(query_khw, as_slices(numbered_nzhw), watch=watch)
    return index_k % n_slices


def _improve(
    query_kp: Floats,
    reference_np: Floats,
    offset: int,
    centre_p: npt.NDArray[np.float32],
    index_k: npt.NDArray[np.int64],
    square_k: npt.NDArray[np.float64],
) -> None:
    """Update the winners (`index_k`, `square_k`, in place) with one block of references."""
    a_kp = query_kp.astype(np.float32) - centre_p
    b_np = reference_np.astype(np.float32) - centre_p
    a_k = np.einsum("kp,kp->k", a_kp, a_kp, dtype=np.float64)
    b_n = np.einsum("np,np->n", b_np, b_np, dtype=np.float64)
    screen_kn = a_kp @ b_np.T
    screen_kn *= -2.0
    screen_kn += b_n.astype(np.float32)
    screen_kn += a_k.astype(np.float32)[:, None]
    # Rounding of a float32 product of P terms: about sqrt(P) eps |a||b|; taken fourfold.
    eps = float(np.finfo(np.float32).eps)
    slack_k = 4.0 * eps * np.sqrt(a_kp.shape[1]) * (a_k + b_n.max())
    limit_k = np.minimum(square_k, screen_kn.min(axis=1)) + 2.0 * slack_k
    k_pairs, n_pairs = np.nonzero(screen_kn <= limit_k[:, None])
    for start in range(0, len(k_pairs), _PAIRS_AT_ONCE):
        k_some = k_pairs[start : start + _PAIRS_AT_ONCE]
        n_some = n_pairs[start : start + _PAIRS_AT_ONCE]
        gap_mp = query_kp[k_some].astype(np.float64) - reference_np[n_some]
        square_m = np.einsum("mp,mp->m", gap_mp, gap_mp)
        # Nearest first, then lowest reference: the first entry of each query is its winner.
        order = np.lexsort((n_some, square_m, k_some))
        k_first, first = np.unique(k_some[order], return_index=True)
        winner = order[first]
        better = square_m[winner] < square_k[k_first]
        square_k[k_first[better]] = square_m[winner[better]]
        index_k[k_first[better]] = n_some[winner[better]] + offset

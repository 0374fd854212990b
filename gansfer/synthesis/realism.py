"""Which generated slices are realistic enough to keep (III.B).

Axes legend: K generated slices.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from gansfer.errors import UserError


def keep(score_k: npt.NDArray[np.floating], percentile: float = 75.0) -> npt.NDArray[np.bool_]:
    """True for the slices whose score is at or below the given percentile of all scores (III.B).

    Args:
        score_k: [K] distance of the MR channel to the nearest image of the full data set; a slice
            whose score is not finite (a diverged generator) is never kept.
        percentile: 0 < percentile <= 100; the paper removes scores above the 75th.

    Raises:
        UserError: there are slices, but none has a finite score.
    """
    finite_k = np.isfinite(score_k)
    if len(score_k) == 0:
        return finite_k
    if not finite_k.any():
        raise UserError(
            f"realism scores: none of {len(score_k)} generated slices has a finite score, expected "
            "distances; the generator has diverged, look at its losses and train it again"
        )
    return finite_k & (score_k <= np.percentile(score_k[finite_k], percentile))

"""What a segmenter is trained on, as pools of slices: real ones, and generated ones (III.C, III.E).

Legend: N subjects, Z slices of each, K generated slices, H W rows and columns.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from gansfer.segmentation.patches import Pool
from gansfer.volumes import as_slices


def real_pool(image_nzhw: npt.NDArray[np.float32], label_nzhw: npt.NDArray[np.uint8]) -> Pool:
    """All slices of the labelled training subjects.

    Args:
        image_nzhw: [N, Z, H, W], z-scored.
        label_nzhw: [N, Z, H, W] their label maps.
    """
    n, z = image_nzhw.shape[:2]
    return Pool(as_slices(image_nzhw), as_slices(label_nzhw), np.repeat(np.arange(n), z))


def synthetic_pool(image_khw: npt.NDArray[np.floating], label_khw: npt.NDArray[np.uint8]) -> Pool:
    """Retained slices, each a subject of its own: all are drawn equally often.

    Args:
        image_khw: [K, H, W], z-scored.
        label_khw: [K, H, W] their label maps.
    """
    return Pool(image_khw.astype(np.float32), label_khw, np.arange(len(label_khw)))


def joined(first: Pool | None, second: Pool | None) -> Pool | None:
    """The slices of both pools as one, whose subjects stay apart; None where there is neither."""
    if first is None or second is None:
        return first or second
    return Pool(
        np.concatenate([first.image_nhw, second.image_nhw]),
        np.concatenate([first.label_nhw, second.label_nhw]),
        np.concatenate([first.subject_n, second.subject_n + first.subject_n.max() + 1]),
    )

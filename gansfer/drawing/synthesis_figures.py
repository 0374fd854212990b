"""How generated slices become a data set: Fig. 3 (postprocessing) and Fig. 4 (rejected slices).

Legend: S structures, K slices, H W rows and columns.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from gansfer.drawing.slices import grey_window, slice_table
from gansfer.drawing.style import structure_title

_CONTRAST = "B masked contrast"


def postprocessing_figure(
    path: Path,
    image_hw: npt.NDArray[np.floating],
    contrast_shw: npt.NDArray[np.floating],
    mask_by_step: Mapping[str, npt.NDArray[np.bool_]],
    structures: Sequence[str],
    shown: Sequence[str],
    title: str,
) -> None:
    """Fig. 3: one generated slice's structures (rows) after each postprocessing step (columns).

    Args:
        path: the PNG; the PDF goes beside it.
        image_hw: [H, W] MR channel of the slice.
        contrast_shw: [S, H, W] generated contrast inside the masks: the second column, B.
        mask_by_step: name of a step, in order -> [S, H, W] pixels of each structure after it.
        structures: names, in order.
        shown: the structures to show.
        title: above the picture.
    """
    index = [list(structures).index(name) for name in shown]
    label_rchw = np.stack(
        [np.stack([mask_shw[k] * (k + 1) for mask_shw in mask_by_step.values()]) for k in index]
    )
    image_rchw = np.broadcast_to(image_hw, label_rchw.shape).astype(np.float32)
    black, white = grey_window(image_hw)
    contrast_rhw = np.clip(contrast_shw[index].astype(np.float32), 0, None)
    brightest_r11 = np.maximum(contrast_rhw.max(axis=(1, 2), keepdims=True), 1e-6)
    grey_rhw = black + (white - black) * contrast_rhw / brightest_r11
    slice_table(
        path,
        np.insert(image_rchw, 1, grey_rhw, axis=1),
        np.insert(label_rchw.astype(np.int64), 1, 0, axis=1),
        structures,
        title,
        row_titles=[structure_title(name) for name in shown],
        column_titles=np.insert(np.array(list(mask_by_step), object), 1, _CONTRAST).tolist(),
        also_pdf=True,
    )


def rejected_figure(
    path: Path,
    image_khw: npt.NDArray[np.floating],
    score_k: npt.NDArray[np.floating],
    title: str,
) -> None:
    """Fig. 4: generated slices that the realism filter removed, the farthest first.

    Args:
        path: the PNG; the PDF goes beside it.
        image_khw: [K, H, W] rejected slices.
        score_k: [K] their distance to the nearest real slice.
        title: above the picture.
    """
    order = np.argsort(-score_k, kind="stable")
    slice_table(
        path,
        image_khw[order][None],
        None,
        (),
        title,
        column_titles=[f"distance {score:.1f}" for score in score_k[order]],
        also_pdf=True,
    )

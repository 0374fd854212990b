"""Segment whole slices with a trained DeepMedic, tile by tile (III.C).

Legend: N slices, B of them at a time, K classes, H rows, W columns. Tiles do not blend, and the
place of a tile decides where the low-resolution pathways pick, so the tile's side changes the
result slightly: it is a fixed setting.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from gansfer.errors import UserError
from gansfer.progress import StopRequested, Watch
from gansfer.segmentation.deepmedic import build
from gansfer.segmentation.patches import take
from gansfer.segmentation.presets import MARGIN_PX
from gansfer.settings import SegmenterSettings


def segment_slices(
    state: Mapping[str, Tensor],
    image_nhw: npt.NDArray[np.float32],
    settings: SegmenterSettings,
    n_classes: int,
    *,
    watch: Watch,
    device: torch.device | str = "cpu",
    batch_slices: int = 8,
) -> npt.NDArray[np.uint8]:
    """The label map of every slice: [N, H, W], 0 background, k + 1 for structure k.

    Args:
        state: the trained network's state dict.
        image_nhw: [N, H, W], z-scored intensities.
        settings: the preset and the tile's side are used.
        n_classes: structures + 1.
        watch: told of progress; asked whether to stop.
        device: where the network runs.
        batch_slices: slices segmented together; changes speed and memory only.

    Raises:
        StopRequested: the watch asked for it.
        UserError: the slices are too small to be padded by reflection.
    """
    n_slices, height, width = image_nhw.shape
    if min(height, width) <= MARGIN_PX:
        raise UserError(
            f"slices to segment: {height} x {width} px, at least {MARGIN_PX + 1} wanted by the "
            "padding; use smaller voxels"
        )
    net = build(settings.preset, n_classes, generator=torch.Generator()).to(device)
    net.load_state_dict(dict(state))
    output_px = settings.inference_output_px
    side_px = net.preset.patch_px(output_px)
    corners = [
        (top, left)
        for top in tile_starts(height, output_px)
        for left in tile_starts(width, output_px)
    ]
    # Beyond the far edge there is always room for one whole tile, also around a small slice.
    before_px = (side_px - output_px) // 2
    row_p = torch.arange(-before_px, max(height, output_px) + before_px, device=device)
    column_p = torch.arange(-before_px, max(width, output_px) + before_px, device=device)
    label_nhw = np.empty(image_nhw.shape, dtype=np.uint8)
    with torch.inference_mode():
        for first in range(0, n_slices, batch_slices):
            if watch.stopping():
                raise StopRequested
            image_bhw = torch.from_numpy(image_nhw[first : first + batch_slices]).to(device)
            every_b = torch.arange(len(image_bhw), device=device)
            canvas_b1hw = take(image_bhw, every_b, row_p[None], column_p[None])[:, None]
            high_bchw = net.high(canvas_b1hw)  # once for all tiles, which overlap in it
            label_bhw = torch.empty(
                (len(image_bhw), max(height, output_px), max(width, output_px)),
                dtype=torch.uint8,
                device=device,
            )
            for top, left in corners:
                patch_b1hw = canvas_b1hw[..., top : top + side_px, left : left + side_px]
                tile = (..., slice(top, top + output_px), slice(left, left + output_px))
                label_bhw[tile] = net.join(high_bchw[tile], patch_b1hw).argmax(dim=1)
            label_nhw[first : first + batch_slices] = label_bhw[:, :height, :width].cpu().numpy()
            watch.report(min(first + batch_slices, n_slices), n_slices, "slices")
    return label_nhw


def tile_starts(length_px: int, output_px: int) -> list[int]:
    """First pixels of the tiles along one side; the last tile is moved back to end at the edge."""
    if length_px <= output_px:
        return [0]
    return [*range(0, length_px - output_px, output_px), length_px - output_px]

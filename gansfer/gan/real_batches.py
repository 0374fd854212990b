"""Batches of real slices, downsampled and faded as the networks are.

Axes legend: B batch, N slices, C channels, H rows, W columns.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from gansfer.gan.layers import double_side, halve_side

_PIECE = 1024  # slices averaged at a time, so that float32 copies stay small


def downsample(slices_nchw: Tensor, px: int) -> Tensor:
    """Box-average slices to a side of `px`; type and device are kept.

    Args:
        slices_nchw: [N, C, H, H] with H a multiple of `px`.
        px: the side wanted.
    """
    factor = slices_nchw.shape[-1] // px
    if factor == 1:
        return slices_nchw
    pieces = [
        F.avg_pool2d(piece.float(), factor).to(piece.dtype) for piece in slices_nchw.split(_PIECE)
    ]
    return torch.cat(pieces)


def draw_real_batch(
    sources_nchw: Sequence[Tensor], minibatch: int, alpha: float, random: torch.Generator
) -> Tensor:
    """A minibatch of real slices, in equal parts from each source.

    Args:
        sources_nchw: sets of slices at the level's side; an odd slice comes from the first.
        minibatch: B.
        alpha: weight of the newest level; below 1, slices are blended with their halved and
            doubled version, as the networks blend theirs.
        random: the stream to draw from, on the slices' device; with replacement.

    Returns:
        [B, C, H, W] float32.

    Source: official PGGAN; the equal mix is phase 3's (II.B).
    """
    n = len(sources_nchw)
    parts = []
    for k, source_nchw in enumerate(sources_nchw):
        share = minibatch // n + (k < minibatch % n)
        chosen = torch.randint(len(source_nchw), (share,), generator=random, device=random.device)
        parts.append(source_nchw.index_select(0, chosen))
    real_bchw = torch.cat(parts).float()
    if alpha == 1.0:
        return real_bchw
    return torch.lerp(double_side(halve_side(real_bchw)), real_bchw, alpha)

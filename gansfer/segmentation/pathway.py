"""The building blocks of DeepMedic: batch norm with a rolling mean, PReLU, dropout, convolution.

Legend: B batch, C channels, H rows, W columns, o maps out, i maps in, r rows taken as batch.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

ROLLING_BATCHES = 60  # batch norm at inference averages this many batches (official default)
PRELU_INIT = 0.01
NORM_EPSILON = 1e-5  # official: the smallest float, which lets a constant channel explode


@dataclass(frozen=True)
class TrainingStep:
    """What one forward pass in training needs beyond the patch.

    Attributes:
        batch: number of this batch, from 0; says where its statistics are kept.
        generator: source of the dropout masks, on the network's device.
    """

    batch: int
    generator: torch.Generator


class _Prelu(torch.autograd.Function):
    """PReLU with one slope for each channel; its gradient is 4x quicker than torch's on a CPU.

    In bfloat16, of which torch's own kernel makes no vectors, so is its value.
    """

    @staticmethod
    def forward(ctx: Any, x_bchw: Tensor, slope_c: Tensor) -> Tensor:
        ctx.save_for_backward(x_bchw, slope_c)
        if x_bchw.dtype is not torch.bfloat16:
            return F.prelu(x_bchw, slope_c)
        slope_c11 = slope_c.to(x_bchw.dtype)[:, None, None]
        return torch.addcmul(x_bchw.clamp_min(0), x_bchw.clamp_max(0), slope_c11)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, Tensor]:
        x_bchw, slope_c = ctx.saved_tensors
        positive = torch.ops.aten.threshold_backward(grads[0], x_bchw, 0)
        negative = grads[0] - positive
        slope_c11 = slope_c.to(x_bchw.dtype)[:, None, None]
        grad_x = torch.addcmul(positive, negative, slope_c11)
        return grad_x, (negative * x_bchw).sum((0, 2, 3), dtype=slope_c.dtype)


class RollingNorm(nn.Module):
    """Batch normalisation; at inference with the mean statistics of the last 60 batches.

    While training, each batch's statistics go to a row of a ring that is no part of the state
    dict; `settle` averages the ring into `mean` and `var`.
    """

    mean: Tensor
    var: Tensor
    ring_mean: Tensor
    ring_inverse_sd: Tensor

    def __init__(self, n_maps: int) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(n_maps))
        self.shift = nn.Parameter(torch.zeros(n_maps))
        self.register_buffer("mean", torch.zeros(n_maps))
        self.register_buffer("var", torch.ones(n_maps))
        ring = torch.zeros(ROLLING_BATCHES, n_maps)
        self.register_buffer("ring_mean", ring, persistent=False)
        self.register_buffer("ring_inverse_sd", ring.clone(), persistent=False)

    def forward(self, x_bchw: Tensor, step: TrainingStep | None) -> Tensor:
        """Normalise with the batch's statistics (training) or the settled ones."""
        if step is None:
            return F.batch_norm(
                x_bchw, self.mean, self.var, self.scale, self.shift, eps=NORM_EPSILON
            )
        normed_bchw, mean_c, inverse_sd_c = torch.native_batch_norm(
            x_bchw, self.scale, self.shift, None, None, True, 0.0, NORM_EPSILON
        )
        row = step.batch % ROLLING_BATCHES
        self.ring_mean[row] = mean_c.detach()
        self.ring_inverse_sd[row] = inverse_sd_c.detach()
        return normed_bchw

    def rings(self) -> tuple[Tensor, Tensor]:
        """The kept statistics, which a resumed training needs."""
        return self.ring_mean, self.ring_inverse_sd

    @torch.no_grad()
    def settle(self, n_batches: int) -> None:
        """Average the statistics of the last (at most 60) of `n_batches` batches."""
        n_rows = min(n_batches, ROLLING_BATCHES)
        self.mean.copy_(self.ring_mean[:n_rows].mean(0))
        self.var.copy_((self.ring_inverse_sd[:n_rows] ** -2 - NORM_EPSILON).mean(0))


class Block(nn.Module):
    """Batch norm -> PReLU -> dropout -> convolution; a pathway's first block only adds a bias.

    Dropout is the official one: units are dropped in training and not scaled; at inference all
    are multiplied by the keep probability (through the kernel, which is the same).
    """

    def __init__(
        self, n_in: int, n_out: int, kernel: int, *, first: bool, edge_pad: bool, dropout: float
    ) -> None:
        super().__init__()
        self.bias = nn.Parameter(torch.zeros(n_in)) if first else None
        self.norm = None if first else RollingNorm(n_in)
        self.slope = None if first else nn.Parameter(torch.full((n_in,), PRELU_INIT))
        self.kernel = nn.Parameter(
            torch.empty(n_out, n_in, kernel, kernel).contiguous(memory_format=torch.channels_last)
        )
        self.pad_px = kernel // 2 if edge_pad else 0
        self.keep = 1.0 - dropout

    def initialise(self, generator: torch.Generator | None) -> None:
        """Draw the kernel from N(0, 2 / fan_in)."""
        fan_in = self.kernel[0].numel()
        nn.init.normal_(self.kernel, std=(2.0 / fan_in) ** 0.5, generator=generator)

    def forward(self, x_bchw: Tensor, step: TrainingStep | None) -> Tensor:
        """Apply the block; each spatial side shrinks by kernel - 1 unless edge-padded."""
        if self.norm is None or self.slope is None:
            assert self.bias is not None
            x_bchw = x_bchw + self.bias[:, None, None]
        else:
            x_bchw = _Prelu.apply(self.norm(x_bchw, step), self.slope)
        kernel: Tensor = self.kernel
        if self.keep < 1.0:
            if step is None:
                kernel = kernel * self.keep
            else:
                x_bchw = x_bchw * dropout_mask(x_bchw, self.keep, step.generator)
        if self.pad_px:
            x_bchw = F.pad(x_bchw, (self.pad_px,) * 4, mode="replicate")
        return F.conv2d(x_bchw, kernel) if kernel.shape[2] > 1 else pointwise(x_bchw, kernel)


class Pathway(nn.Module):
    """A chain of blocks; some outputs get the input of the block before added (a residual)."""

    def __init__(self, blocks: Sequence[Block], residual_layers: Sequence[int]) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(blocks)
        self.residual_indices = {layer - 1 for layer in residual_layers}

    def forward(self, x_bchw: Tensor, step: TrainingStep | None) -> Tensor:
        """Apply the blocks in order."""
        previous_bchw = x_bchw
        for index, block in enumerate(self.blocks):
            out_bchw = block(x_bchw, step)
            if index in self.residual_indices:
                out_bchw = out_bchw + fit_residual(previous_bchw, out_bchw.shape)
            previous_bchw, x_bchw = x_bchw, out_bchw
        return x_bchw


def fit_residual(earlier_bchw: Tensor, shape: Sequence[int]) -> Tensor:
    """Crop an earlier map to the centre and append zero channels, to be added to a later one."""
    _, n_maps, height, width = shape
    top = (earlier_bchw.shape[2] - height) // 2
    left = (earlier_bchw.shape[3] - width) // 2
    centre = earlier_bchw[:, :, top : top + height, left : left + width]
    missing = n_maps - earlier_bchw.shape[1]
    return F.pad(centre, (0, 0, 0, 0, 0, missing)) if missing else centre


def pointwise(x_bchw: Tensor, kernel_oi11: Tensor) -> Tensor:
    """A 1x1 convolution with rows given as batch: torch's quick CPU kernel wants a batch of 16."""
    b, c, h, w = x_bchw.shape
    x_rc1w = x_bchw.permute(0, 2, 3, 1).reshape(b * h, 1, w, c).permute(0, 3, 1, 2)
    out_ro1w = F.conv2d(x_rc1w, kernel_oi11)
    return out_ro1w.permute(0, 2, 3, 1).reshape(b, h, w, -1).permute(0, 3, 1, 2)


def dropout_mask(x_bchw: Tensor, keep: float, generator: torch.Generator) -> Tensor:
    """Ones with probability `keep`, else zeros, in the shape and layout of `x_bchw`."""
    b, c, h, w = x_bchw.shape
    drawn = torch.rand((b, h, w, c), generator=generator, device=x_bchw.device)
    return drawn.add_(keep).floor_().permute(0, 3, 1, 2).to(x_bchw.dtype)

"""The blocks of the generator and of the critic, one for each level of the ladder.

Axes legend: B batch, C channels, H rows, W columns, L latent.
"""

from __future__ import annotations

from torch import Tensor, nn

from gansfer.gan.layers import (
    EqualConv,
    EqualDense,
    EqualDenseToMap,
    at_least_float32,
    channels_last,
    full_precision,
    leaky,
    minibatch_stddev,
    pixel_norm,
)


class GeneratorStart(nn.Module):
    """The first block: latent to a map of `base_px`, then one 3x3 convolution."""

    def __init__(self, latent_size: int, width: int, base_px: int) -> None:
        super().__init__()
        self.dense = EqualDenseToMap(latent_size, width, base_px)
        self.conv = EqualConv(width, width)

    def forward(self, latent_bl: Tensor) -> Tensor:
        """[B, L] -> [B, width, base_px, base_px]."""
        features = channels_last(pixel_norm(leaky(self.dense(pixel_norm(latent_bl)))))
        return pixel_norm(leaky(self.conv(features)))


class GeneratorBlock(nn.Module):
    """A growing block: twice the side, two 3x3 convolutions."""

    def __init__(self, inputs: int, width: int, fused: bool) -> None:
        super().__init__()
        self.conv_up = EqualConv(inputs, width, scaling="up", fused=fused)
        self.conv = EqualConv(width, width)

    def forward(self, features_bchw: Tensor) -> Tensor:
        """[B, inputs, H, W] -> [B, width, 2H, 2W]."""
        features = pixel_norm(leaky(self.conv_up(features_bchw)))
        return pixel_norm(leaky(self.conv(features)))


class CriticBlock(nn.Module):
    """A shrinking block: two 3x3 convolutions, half the side."""

    def __init__(self, width: int, outputs: int, fused: bool) -> None:
        super().__init__()
        self.conv = EqualConv(width, width)
        self.conv_down = EqualConv(width, outputs, scaling="down", fused=fused)

    def forward(self, features_bchw: Tensor) -> Tensor:
        """[B, width, H, W] -> [B, outputs, H/2, W/2]."""
        return leaky(self.conv_down(leaky(self.conv(features_bchw))))


class CriticEnd(nn.Module):
    """The last block: minibatch standard deviation, a 3x3 convolution, two dense layers."""

    def __init__(self, width: int, base_px: int, stddev_group: int) -> None:
        super().__init__()
        self.conv = EqualConv(width + 1, width)
        self.dense = EqualDense(width * base_px**2, width)
        self.score = EqualDense(width, 1, gain=1.0)
        self.stddev_group = stddev_group

    def forward(self, features_bchw: Tensor, sets: int) -> Tensor:
        """[B, width, base_px, base_px] -> [B] float32."""
        features = minibatch_stddev(features_bchw, self.stddev_group, sets)
        features = leaky(self.conv(features))
        with full_precision(features):
            hidden_bi = leaky(self.dense(at_least_float32(features).flatten(1)))
            return self.score(hidden_bi).flatten()

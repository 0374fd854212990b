"""The building parts of a progressive GAN: equalised layers, norms and x2 scaling.

Axes legend: B batch, C channels, H rows, W columns, L latent, O and I a layer's output and input
channels. Facts are those of the official PGGAN implementation (the paper's [11]).
"""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from math import sqrt

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from gansfer.gan.convolution import conv2d

_LEAK = 0.2
_EPSILON = 1e-8


def at_least_float32(values: Tensor) -> Tensor:
    """Half precision becomes float32; float32 and float64 stay."""
    return values.to(torch.promote_types(values.dtype, torch.float32))


def full_precision(values: Tensor) -> AbstractContextManager[None]:
    """A context without mixed precision on the device of `values` (which may be "meta")."""
    kind = values.device.type
    available = torch.amp.is_autocast_available(kind)
    return torch.autocast(kind, enabled=False) if available else nullcontext()


def leaky(features: Tensor) -> Tensor:
    """Leaky ReLU with PGGAN's slope 0.2."""
    return F.leaky_relu(features, _LEAK)


def pixel_norm(features: Tensor) -> Tensor:
    """Divide each pixel's feature vector by its root mean square, in float32.

    Args:
        features: [B, C, ...], any float type; the type is kept.
    """
    precise = at_least_float32(features)
    scale = torch.rsqrt(precise.square().mean(dim=1, keepdim=True) + _EPSILON)
    return (precise * scale).to(features.dtype)


def minibatch_stddev(features_bchw: Tensor, group: int, sets: int = 1) -> Tensor:
    """Append one map that says how much the samples of a group differ.

    Groups are strided, as in the official code: with M groups, sample i is in group i mod M. The
    official code needs a minibatch divisible by the group; here the group becomes the largest
    divisor of the minibatch that is not above `group`.

    Args:
        features_bchw: [sets * B, C, H, W].
        group: samples in a group.
        sets: minibatches that lie one after another in the batch; none sees another.

    Returns:
        [sets * B, C + 1, H, W].
    """
    total, channels, height, width = features_bchw.shape
    minibatch = total // sets
    size = next(n for n in range(min(group, minibatch), 0, -1) if minibatch % n == 0)
    grouped = at_least_float32(features_bchw).reshape(
        sets, size, minibatch // size, channels, height, width
    )
    centred = grouped - grouped.mean(dim=1, keepdim=True)
    variance = centred.square().mean(dim=1)  # on a CPU 30 times as fast as Tensor.var
    spread_sm = torch.sqrt(variance + _EPSILON).mean(dim=(2, 3, 4))
    map_b1hw = (
        spread_sm[:, None, :]
        .expand(sets, size, minibatch // size)
        .reshape(total, 1, 1, 1)
        .expand(total, 1, height, width)
    )
    return torch.cat([features_bchw, map_b1hw.to(features_bchw.dtype)], dim=1)


def double_side(image_bchw: Tensor) -> Tensor:
    """Double the side by repeating pixels."""
    return F.interpolate(image_bchw, scale_factor=2, mode="nearest")


def halve_side(image_bchw: Tensor) -> Tensor:
    """Halve the side by averaging 2 x 2 boxes."""
    return F.avg_pool2d(image_bchw, 2)


def channels_last(features_bchw: Tensor) -> Tensor:
    """The same numbers with channels last in memory, which convolutions are faster on."""
    return features_bchw.contiguous(memory_format=torch.channels_last)


class EqualDense(nn.Module):
    """A dense layer at an equalised learning rate: weights N(0, 1), scaled at run time.

    Args:
        inputs: features in.
        outputs: features out.
        gain: the scale is gain / sqrt(inputs).
    """

    def __init__(self, inputs: int, outputs: int, *, gain: float = sqrt(2.0)) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(outputs, inputs))
        self.bias = nn.Parameter(torch.zeros(outputs))
        self.scale = gain / sqrt(inputs)

    def forward(self, features_bi: Tensor) -> Tensor:
        """[B, I] -> [B, O]."""
        return F.linear(features_bi, self.weight * self.scale, self.bias)


class EqualDenseToMap(nn.Module):
    """The generator's first layer: latent to a small map, with one bias per channel.

    Args:
        latent_size: L.
        channels: C of the map.
        side_px: H = W of the map.
    """

    def __init__(self, latent_size: int, channels: int, side_px: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(channels * side_px**2, latent_size))
        self.bias = nn.Parameter(torch.zeros(channels))
        self.scale = sqrt(2.0) / 4.0 / sqrt(latent_size)
        self.side_px = side_px

    def forward(self, latent_bl: Tensor) -> Tensor:
        """[B, L] -> [B, C, H, W]."""
        flat = F.linear(latent_bl, self.weight * self.scale)
        features_bchw = flat.unflatten(1, (len(self.bias), self.side_px, self.side_px))
        return features_bchw + self.bias[:, None, None].to(flat.dtype)


class EqualConv(nn.Module):
    """A same-size convolution at an equalised learning rate, optionally with x2 scaling.

    The scaling may be fused with the convolution into one 4x4 strided one, as the official code
    does; the result is the same up to rounding, and so are the parameters.

    Args:
        inputs: I.
        outputs: O.
        kernel_px: 3, or 1.
        gain: the scale is gain / sqrt(inputs * kernel_px^2).
        scaling: "up" doubles the side before the convolution; "down" halves it after the
            convolution and before the bias.
        fused: fuse the scaling (3x3 only).
    """

    spread: Tensor

    def __init__(
        self,
        inputs: int,
        outputs: int,
        kernel_px: int = 3,
        *,
        gain: float = sqrt(2.0),
        scaling: str = "none",
        fused: bool = True,
    ) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(outputs, inputs, kernel_px, kernel_px))
        self.bias = nn.Parameter(torch.zeros(outputs))
        self.scale = gain / sqrt(inputs * kernel_px**2)
        self.padding = kernel_px // 2
        self.scaling = scaling
        self.fused = fused and scaling != "none"
        if self.fused:
            self.register_buffer("spread", _spread(scaling) * self.scale, persistent=False)

    def forward(self, features_bchw: Tensor) -> Tensor:
        """[B, I, H, W] -> [B, O, H', W']."""
        if self.fused:
            return self._fused(features_bchw)
        weight = self.weight * self.scale
        if self.scaling == "down":
            no_bias = torch.zeros_like(self.bias)
            pooled = halve_side(conv2d(features_bchw, weight, no_bias, stride=1, padding=1))
            return pooled + self.bias[:, None, None].to(pooled.dtype)
        if self.scaling == "up":
            features_bchw = double_side(features_bchw)
        return conv2d(features_bchw, weight, self.bias, stride=1, padding=self.padding)

    def _fused(self, features_bchw: Tensor) -> Tensor:
        with full_precision(features_bchw):
            weight_oi44 = (self.weight.flatten(2) @ self.spread).unflatten(2, (4, 4))
        if self.scaling == "down":
            return conv2d(features_bchw, weight_oi44, self.bias, stride=2, padding=1)
        weight_io44 = weight_oi44.transpose(0, 1)
        return F.conv_transpose2d(features_bchw, weight_io44, self.bias, stride=2, padding=1)


def _spread(scaling: str) -> Tensor:
    """The matrix that makes a fused 4x4 kernel of a 3x3 one: [9, 16].

    Scaling up, a repeated pixel meets neighbouring taps; scaling down, a tap meets 2 x 2 pixels of
    weight 1/4. Both are sums of the 3x3 kernel over 2 x 2 places; a transposed convolution, which
    scales up, reads its kernel backwards.
    """
    spread = torch.zeros(3, 3, 4, 4)
    for row in range(3):
        for column in range(3):
            spread[row, column, row : row + 2, column : column + 2] = 1.0
    spread = spread.flip(0, 1) if scaling == "up" else spread / 4.0
    return spread.reshape(9, 16)

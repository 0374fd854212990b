"""A 2-D convolution whose second derivatives cost no more than its first.

The gradient penalty differentiates the critic twice. PyTorch's own second derivative of a
convolution asks for a convolution with a kernel as large as the image, which is slow on a CPU and
far slower on a GPU; here a weight's gradient is an operation of its own, whose gradients are plain
convolutions again. The idea is that of StyleGAN2-ADA's `conv2d_gradfix`.

Axes legend: B batch, I and O input and output channels, H rows, W columns, K kernel side.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, NamedTuple

import torch
from torch import Tensor

_inputs_only: ContextVar[bool] = ContextVar("inputs_only", default=False)


class _Geometry(NamedTuple):
    stride: int
    padding: int
    transposed: bool

    def turned(self) -> _Geometry:
        return self._replace(transposed=not self.transposed)


def conv2d(
    features_bihw: Tensor, weight_oikk: Tensor, bias_o: Tensor, *, stride: int, padding: int
) -> Tensor:
    """As `torch.nn.functional.conv2d`, mixed precision included.

    Args:
        features_bihw: [B, I, H, W]; H and W must be divisible by `stride`.
        weight_oikk: [O, I, K, K].
        bias_o: [O].
        stride: 1 or 2.
        padding: zeros on each side.
    """
    device = features_bihw.device.type
    if torch.amp.is_autocast_available(device) and torch.is_autocast_enabled(device):
        lower = torch.get_autocast_dtype(device)
        features_bihw, weight_oikk = features_bihw.to(lower), weight_oikk.to(lower)
        bias_o = bias_o.to(lower)
    return _Conv.apply(features_bihw, weight_oikk, bias_o, _Geometry(stride, padding, False))


@contextmanager
def inputs_only() -> Iterator[None]:
    """Within it, a backward pass gives no gradient to the weights of `conv2d`.

    For the gradient penalty's inner gradient, which is by the image alone: a custom operation
    cannot see which gradients were asked for.
    """
    token = _inputs_only.set(True)
    try:
        yield
    finally:
        _inputs_only.reset(token)


class _Conv(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, features: Tensor, weight: Tensor, bias: Tensor | None, geometry: _Geometry
    ) -> Tensor:
        ctx.save_for_backward(features, weight)
        ctx.geometry = geometry
        stride, padding, transposed = geometry
        return torch.convolution(
            features, weight, bias, [stride] * 2, [padding] * 2, [1, 1], transposed, [0, 0], 1
        )

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        (gradient,) = gradients
        features, weight = ctx.saved_tensors
        wanted = list(ctx.needs_input_grad[:3])
        if _inputs_only.get():
            wanted[1:] = False, False
        if not torch.is_grad_enabled():  # nobody will differentiate again: all three at once
            return *_backward(gradient, features, weight, ctx.geometry, wanted), None
        by_features = by_weight = by_bias = None
        if wanted[0]:
            by_features = _Conv.apply(gradient, weight, None, ctx.geometry.turned())
        if wanted[1]:
            by_weight = _WeightGradient.apply(gradient, features, weight, ctx.geometry)
        if wanted[2]:
            by_bias = gradient.sum((0, 2, 3))
        return by_features, by_weight, by_bias, None


class _WeightGradient(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, gradient: Tensor, features: Tensor, weight: Tensor, geometry: _Geometry
    ) -> Tensor:
        ctx.save_for_backward(gradient, features)
        ctx.geometry = geometry
        return _backward(gradient, features, weight, geometry, [False, True, False])[1]

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        (by_weight,) = gradients
        gradient, features = ctx.saved_tensors
        by_gradient = by_features = None
        if ctx.needs_input_grad[0]:
            by_gradient = _Conv.apply(features, by_weight, None, ctx.geometry)
        if ctx.needs_input_grad[1]:
            by_features = _Conv.apply(gradient, by_weight, None, ctx.geometry.turned())
        return by_gradient, by_features, None, None


def _backward(
    gradient: Tensor, features: Tensor, weight: Tensor, geometry: _Geometry, wanted: list[bool]
) -> tuple[Tensor, ...]:
    """Gradients by features, weight and bias, where wanted."""
    stride, padding, transposed = geometry
    return torch.ops.aten.convolution_backward(
        gradient,
        features,
        weight,
        [weight.shape[1 if transposed else 0]] if wanted[2] else None,
        [stride] * 2,
        [padding] * 2,
        [1, 1],
        transposed,
        [0, 0],
        1,
        wanted,
    )

"""The convolution against PyTorch's own, through second derivatives."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from gansfer.gan.convolution import conv2d, inputs_only


def _operands(kernel_px: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    random = torch.Generator().manual_seed(0)
    shapes = [(2, 3, 6, 6), (4, 3, kernel_px, kernel_px), (4,)]
    image, weight, bias = (
        torch.randn(shape, generator=random, dtype=torch.float64).requires_grad_()
        for shape in shapes
    )
    return image, weight, bias


@pytest.mark.parametrize(("kernel_px", "stride", "padding"), [(3, 1, 1), (1, 1, 0), (4, 2, 1)])
def test_first_and_second_derivatives_are_right(kernel_px: int, stride: int, padding: int) -> None:
    image, weight, bias = _operands(kernel_px)

    def convolved(*operands: torch.Tensor) -> torch.Tensor:
        return conv2d(*operands, stride=stride, padding=padding)

    theirs = F.conv2d(image, weight, bias, stride=stride, padding=padding)
    torch.testing.assert_close(convolved(image, weight, bias), theirs)
    assert torch.autograd.gradcheck(convolved, (image, weight, bias))
    assert torch.autograd.gradgradcheck(convolved, (image, weight, bias))


def test_weights_get_no_gradient_where_only_inputs_are_asked_for() -> None:
    image, weight, bias = _operands(3)
    total = conv2d(image, weight, bias, stride=1, padding=1).sum()
    with inputs_only():
        by_image, by_weight = torch.autograd.grad(
            total, (image, weight), allow_unused=True, retain_graph=True
        )
    assert by_image is not None
    assert by_weight is None
    assert torch.autograd.grad(total, weight)[0] is not None


def test_mixed_precision_computes_in_bfloat16_and_gives_float32_gradients() -> None:
    image, weight, bias = (operand.detach().float().requires_grad_() for operand in _operands(3))
    with torch.autocast("cpu", torch.bfloat16):
        out = conv2d(image, weight, bias, stride=1, padding=1)
    assert out.dtype == torch.bfloat16
    gradients = torch.autograd.grad(out.float().square().sum(), (image, weight, bias))
    wanted = torch.autograd.grad(
        F.conv2d(image, weight, bias, padding=1).square().sum(), (image, weight, bias)
    )
    for got, right in zip(gradients, wanted, strict=True):
        assert got.dtype == torch.float32
        assert (got - right).norm() < 0.02 * right.norm()

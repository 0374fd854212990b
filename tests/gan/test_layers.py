"""Layers against plain NumPy, written from the official implementation's facts.

Axes legend: B batch, C channels, H rows, W columns, O and I output and input channels.
"""

from __future__ import annotations

from math import sqrt

import numpy as np
import numpy.typing as npt
import pytest
import torch

from gansfer.gan.layers import (
    EqualConv,
    EqualDense,
    EqualDenseToMap,
    double_side,
    halve_side,
    minibatch_stddev,
    pixel_norm,
)

Array = npt.NDArray[np.float64]


def _numbers(*shape: int, seed: int = 0) -> Array:
    return np.random.default_rng(seed).normal(size=shape)


def _convolve(image_bihw: Array, weight_oikk: Array) -> Array:
    """Same-size correlation with zeros around, one tap at a time."""
    k = weight_oikk.shape[-1]
    height, width = image_bihw.shape[2:]
    padded = np.pad(image_bihw, ((0, 0), (0, 0), (k // 2, k // 2), (k // 2, k // 2)))
    out = np.zeros((len(image_bihw), len(weight_oikk), height, width))
    for r in range(k):
        for c in range(k):
            window = padded[:, :, r : r + height, c : c + width]
            out += np.einsum("bihw,oi->bohw", window, weight_oikk[:, :, r, c])
    return out


def _with_numbers(
    layer: EqualConv | EqualDense | EqualDenseToMap, seed: int = 1
) -> tuple[Array, Array]:
    """Put random weights and biases into a float64 layer; return them."""
    layer.double()
    weight = _numbers(*layer.weight.shape, seed=seed)
    bias = _numbers(*layer.bias.shape, seed=seed + 1)
    with torch.no_grad():
        layer.weight.copy_(torch.from_numpy(weight))
        layer.bias.copy_(torch.from_numpy(bias))
    return weight, bias


@pytest.mark.parametrize(("kernel_px", "gain"), [(3, sqrt(2)), (1, 1.0)])
def test_convolution_is_scaled_by_gain_over_root_fan_in_and_its_bias_is_not(
    kernel_px: int, gain: float
) -> None:
    layer = EqualConv(3, 4, kernel_px, gain=gain)
    weight, bias = _with_numbers(layer)
    image = _numbers(2, 3, 6, 6)
    wanted = _convolve(image, weight * gain / np.sqrt(3 * kernel_px**2)) + bias[:, None, None]
    np.testing.assert_allclose(layer(torch.from_numpy(image)).detach().numpy(), wanted)


def test_weights_start_standard_normal_and_biases_zero() -> None:
    torch.manual_seed(0)
    for layer in (EqualConv(32, 32), EqualDense(64, 64), EqualDenseToMap(64, 8, 5)):
        assert abs(layer.weight.mean()) < 0.05
        assert abs(layer.weight.std() - 1) < 0.05
        assert not layer.bias.any()


def test_dense_layers_are_scaled() -> None:
    latent = _numbers(2, 6)
    dense = EqualDense(6, 3, gain=1.0)
    weight, bias = _with_numbers(dense)
    wanted = latent @ (weight / sqrt(6)).T + bias
    np.testing.assert_allclose(dense(torch.from_numpy(latent)).detach().numpy(), wanted)

    first = EqualDenseToMap(6, 4, 5)
    weight, bias = _with_numbers(first)
    flat = latent @ (weight * sqrt(2) / 4 / sqrt(6)).T
    wanted = flat.reshape(2, 4, 5, 5) + bias[:, None, None]
    np.testing.assert_allclose(first(torch.from_numpy(latent)).detach().numpy(), wanted)


def test_up_scaling_convolution_is_repeat_then_convolve_fused_or_not() -> None:
    fused, plain = (EqualConv(3, 4, scaling="up", fused=fused) for fused in (True, False))
    weight, bias = _with_numbers(fused)
    _with_numbers(plain)
    image = _numbers(2, 3, 5, 5)
    doubled = image.repeat(2, axis=2).repeat(2, axis=3)
    wanted = _convolve(doubled, weight * sqrt(2) / sqrt(27)) + bias[:, None, None]
    for layer in (fused, plain):
        np.testing.assert_allclose(
            layer(torch.from_numpy(image)).detach().numpy(), wanted, rtol=1e-5, atol=1e-6
        )


def test_down_scaling_convolution_is_convolve_then_average_then_bias_fused_or_not() -> None:
    fused, plain = (EqualConv(3, 4, scaling="down", fused=fused) for fused in (True, False))
    weight, bias = _with_numbers(fused)
    _with_numbers(plain)
    image = _numbers(2, 3, 6, 6)
    full = _convolve(image, weight * sqrt(2) / sqrt(27))
    pooled = full.reshape(2, 4, 3, 2, 3, 2).mean(axis=(3, 5))
    for layer in (fused, plain):
        np.testing.assert_allclose(
            layer(torch.from_numpy(image)).detach().numpy(),
            pooled + bias[:, None, None],
            rtol=1e-5,
            atol=1e-6,
        )


def test_pixel_norm_divides_by_the_root_mean_square_over_channels() -> None:
    features = _numbers(2, 5, 3, 3)
    wanted = features / np.sqrt((features**2).mean(axis=1, keepdims=True) + 1e-8)
    np.testing.assert_allclose(pixel_norm(torch.from_numpy(features)).numpy(), wanted)


def test_pixel_norm_works_in_float32_inside_and_keeps_half_types() -> None:
    tiny = torch.full((1, 4, 1, 1), 2e-4, dtype=torch.float16)  # its square is 0 in float16
    normed = pixel_norm(tiny)
    assert normed.dtype == torch.float16
    assert normed[0, 0, 0, 0].item() == pytest.approx(2e-4 / np.sqrt(4e-8 + 1e-8), rel=1e-2)


def _stddev_map(features_bchw: Array, group: int) -> Array:
    """The value appended to each sample, by the official rule, one group at a time."""
    minibatch = len(features_bchw)
    n_groups = minibatch // group
    value_b = np.zeros(minibatch)
    for m in range(n_groups):
        members = [i for i in range(minibatch) if i % n_groups == m]
        value_b[members] = np.sqrt(features_bchw[members].var(axis=0) + 1e-8).mean()
    return value_b


@pytest.mark.parametrize(
    ("minibatch", "group", "used"), [(8, 4, 4), (3, 4, 3), (6, 4, 3), (7, 4, 1), (8, 3, 2)]
)
def test_minibatch_stddev_uses_strided_groups(minibatch: int, group: int, used: int) -> None:
    features = _numbers(minibatch, 3, 5, 5)
    got = minibatch_stddev(torch.from_numpy(features), group).numpy()
    assert got.shape == (minibatch, 4, 5, 5)
    np.testing.assert_array_equal(got[:, :3], features)
    value_b = _stddev_map(features, used)
    np.testing.assert_allclose(
        got[:, 3], np.broadcast_to(value_b[:, None, None], (minibatch, 5, 5))
    )


def test_minibatch_stddev_keeps_sets_apart() -> None:
    reals, fakes = _numbers(8, 3, 5, 5), 5 * _numbers(8, 3, 5, 5, seed=9)
    both = minibatch_stddev(torch.from_numpy(np.concatenate([reals, fakes])), 4, sets=2)
    alone = [minibatch_stddev(torch.from_numpy(one), 4) for one in (reals, fakes)]
    torch.testing.assert_close(both, torch.cat(alone))


def test_up_and_down_scaling_by_hand() -> None:
    image = torch.tensor([[[[1.0, 2.0], [3.0, 6.0]]]])
    assert double_side(image)[0, 0].tolist() == [
        [1, 1, 2, 2],
        [1, 1, 2, 2],
        [3, 3, 6, 6],
        [3, 3, 6, 6],
    ]
    assert halve_side(image).item() == 3.0
    torch.testing.assert_close(halve_side(double_side(image)), image)

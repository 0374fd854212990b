"""The network against a slow one in NumPy, written from the method and not from the module.

The oracle looks at one output window of one image. It knows pixels only by coordinates in that
image, takes the low-resolution pathways' input from around the centre of their first block, and
upsamples by asking, for every output pixel, which block it lies in.
"""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from numpy.typing import NDArray

from gansfer.segmentation.deepmedic import DeepMedic, build
from gansfer.segmentation.pathway import RollingNorm, TrainingStep, _Prelu, fit_residual
from gansfer.segmentation.presets import PRESETS

Array = NDArray[np.float64]
EPSILON = 1e-5


def random_net(name: str, n_classes: int = 3) -> DeepMedic:
    """A network of which no parameter or statistic is at its neutral start."""
    net = build(name, n_classes, generator=torch.Generator().manual_seed(1))
    draw = torch.Generator().manual_seed(2)
    with torch.no_grad():
        for key, value in net.state_dict().items():
            if key.endswith("kernel"):
                continue
            noise = torch.rand(value.shape, generator=draw)
            value.copy_(noise + 0.5 if key.endswith(("scale", "var")) else noise - 0.3)
    return net


def oracle(
    net: DeepMedic, image_bhw: Array, top: int, left: int, out_px: int, masks: list[Array] | None
) -> Array:
    """Logits [B, K, out, out] of the window at (top, left); `masks`: training, with its dropout."""
    weights = {key: value.double().numpy() for key, value in net.state_dict().items()}
    residual_layers = (4, 6, 8) if len(net.pathways) == 3 else ()
    factors = (1, 3, 5)[: len(net.pathways)]
    joined = []
    for number, factor in enumerate(factors):
        n_blocks = -(-out_px // factor)
        # The first block's middle pixel, and eight low-resolution pixels before it.
        picks = factor // 2 + factor * (np.arange(n_blocks + 16) - 8)
        x = image_bhw[:, None][:, :, (top + picks)[:, None], left + picks]
        x = chain(x, weights, f"pathways.{number}", 8, residual_layers, masks)
        block_of_pixel = np.arange(out_px) // factor
        joined.append(x[:, :, block_of_pixel[:, None], block_of_pixel])
    x = np.concatenate(joined, axis=1)
    fc_residual = (2,) if len(net.pathways) == 3 else ()
    x = chain(x, weights, "fc", 3, fc_residual, masks)
    return x + weights["class_bias"][:, None, None]


def chain(
    x: Array,
    weights: dict[str, Array],
    prefix: str,
    n_layers: int,
    residual_layers: tuple[int, ...],
    masks: list[Array] | None,
) -> Array:
    inputs = [x]
    for layer in range(1, n_layers + 1):
        name = f"{prefix}.blocks.{layer - 1}"
        x = inputs[-1]
        if f"{name}.bias" in weights:
            assert layer == 1 and prefix.startswith("pathways")
            x = x + weights[f"{name}.bias"][:, None, None]
        else:
            mean, var = weights[f"{name}.norm.mean"], weights[f"{name}.norm.var"]
            if masks is not None:
                mean, var = x.mean((0, 2, 3)), x.var((0, 2, 3))
            scale = weights[f"{name}.norm.scale"] / np.sqrt(var + EPSILON)
            x = (x - mean[:, None, None]) * scale[:, None, None]
            x = x + weights[f"{name}.norm.shift"][:, None, None]
            x = np.where(x > 0, x, weights[f"{name}.slope"][:, None, None] * x)
        if prefix == "fc" and layer in (2, 3):
            x = x * (0.5 if masks is None else masks[layer - 2])
        kernel = weights[f"{name}.kernel"]
        if prefix == "fc" and kernel.shape[2] == 3:
            x = np.pad(x, ((0, 0), (0, 0), (1, 1), (1, 1)), mode="edge")
        out = convolve(x, kernel)
        if layer in residual_layers:
            earlier = inputs[-2]
            cut = (earlier.shape[2] - out.shape[2]) // 2
            stop = earlier.shape[2] - cut
            out[:, : earlier.shape[1]] += earlier[:, :, cut:stop, cut:stop]
        inputs.append(out)
    return inputs[-1]


def convolve(x_bihw: Array, kernel_oikk: Array) -> Array:
    side = kernel_oikk.shape[2]
    height, width = (n - side + 1 for n in x_bihw.shape[2:])
    out = np.zeros((len(x_bihw), len(kernel_oikk), height, width))
    for dy in range(side):
        for dx in range(side):
            window = x_bihw[:, :, dy : dy + height, dx : dx + width]
            out += np.einsum("bihw,oi->bohw", window, kernel_oikk[:, :, dy, dx])
    return out


def around(net: DeepMedic, image_bhw: Array, top: int, left: int, out_px: int) -> torch.Tensor:
    """The patch whose output is the window at (top, left)."""
    edge = (net.preset.patch_px(out_px) - out_px) // 2
    rows, columns = slice(top - edge, top + out_px + edge), slice(left - edge, left + out_px + edge)
    return torch.from_numpy(image_bhw[:, None, rows, columns]).float()


@pytest.mark.parametrize("name", PRESETS)
@pytest.mark.parametrize("out_px", [9, 14])
def test_inference_equals_the_oracle(name: str, out_px: int) -> None:
    net = random_net(name)
    image_bhw = np.random.default_rng(0).normal(size=(2, 110, 110))
    with torch.inference_mode():
        ours = net(around(net, image_bhw, 47, 45, out_px)).numpy()
    wanted = oracle(net, image_bhw, 47, 45, out_px, None)
    assert ours.shape == (2, 3, out_px, out_px)
    np.testing.assert_allclose(ours, wanted, rtol=1e-3, atol=1e-3 * wanted.std())


@pytest.mark.parametrize("name", PRESETS)
def test_training_equals_the_oracle_with_batch_statistics_and_dropout(name: str) -> None:
    net = random_net(name)
    image_bhw = np.random.default_rng(0).normal(size=(3, 110, 110))
    source = torch.Generator().manual_seed(5)
    masks = [
        (torch.rand((3, 9, 9, n_maps), generator=source) >= 0.5).permute(0, 3, 1, 2).numpy()
        for n_maps in net.preset.fc_maps
    ]
    step = TrainingStep(0, torch.Generator().manual_seed(5))
    ours = net(around(net, image_bhw, 50, 50, 9), step).detach().numpy()
    wanted = oracle(net, image_bhw, 50, 50, 9, masks)
    np.testing.assert_allclose(ours, wanted, rtol=1e-3, atol=1e-3 * wanted.std())


def test_a_low_resolution_neuron_is_centred_on_its_block() -> None:
    """The gradient of one block reaches equally far on all sides of the block's middle pixel."""
    net = random_net("deepmedic")
    patch = torch.zeros(1, 1, *2 * [net.preset.patch_px(21)], requires_grad=True)
    edge = (net.preset.patch_px(21) - 21) // 2
    for number, factor in ((1, 3), (2, 5)):
        maps: list[torch.Tensor] = []
        hook = net.pathways[number].register_forward_hook(lambda *a, m=maps: m.append(a[2]))
        net(patch)
        hook.remove()
        (grad,) = torch.autograd.grad(maps[0][0, :, 1, 2].sum(), patch)
        rows, columns = (torch.nonzero(grad[0, 0].abs().sum(axis)).flatten() for axis in (1, 0))
        assert (rows[0] + rows[-1]) / 2 - edge == 1 * factor + factor // 2
        assert (columns[0] + columns[-1]) / 2 - edge == 2 * factor + factor // 2
        assert rows[-1] - rows[0] == 16 * factor
        assert torch.all(torch.diff(rows) == factor)


def test_maps_of_the_whole_image_hold_those_of_a_tile() -> None:
    net = random_net("deepmedic")
    image_bhw = np.random.default_rng(0).normal(size=(1, 130, 130))
    with torch.inference_mode():
        whole = around(net, image_bhw, 45, 45, 24)
        part = around(net, image_bhw, 51, 48, 10)
        joined = net.join(net.high(whole)[..., 6:16, 3:13], part)
        torch.testing.assert_close(joined, net(part), rtol=1e-4, atol=1e-4)


def test_residual_is_cropped_to_the_centre_and_padded_with_zero_maps() -> None:
    earlier = torch.arange(2 * 5 * 5, dtype=torch.float32).reshape(1, 2, 5, 5)
    fitted = fit_residual(earlier, (1, 3, 1, 3))
    assert fitted[0, :2].tolist() == [[[11, 12, 13]], [[36, 37, 38]]]
    assert fitted[0, 2].abs().sum() == 0


def test_prelu_gradient_is_torchs() -> None:
    x = torch.randn(3, 4, 5, 5, dtype=torch.float64, requires_grad=True)
    slope = torch.rand(4, dtype=torch.float64, requires_grad=True)
    pull = torch.randn(3, 4, 5, 5, dtype=torch.float64)
    ours = torch.autograd.grad(_Prelu.apply(x, slope), (x, slope), pull)
    theirs = torch.autograd.grad(F.prelu(x, slope), (x, slope), pull)
    for a, b in zip(ours, theirs, strict=True):
        torch.testing.assert_close(a, b)


def test_prelu_in_bfloat16_is_that_of_float32_rounded() -> None:
    x = torch.randn(3, 4, 5, 5).bfloat16().requires_grad_()
    slope = torch.rand(4, requires_grad=True)
    pull = torch.randn(3, 4, 5, 5).bfloat16()
    precise = x.detach().float().requires_grad_()
    ours = _Prelu.apply(x, slope)
    theirs = F.prelu(precise, slope)
    assert ours.dtype == torch.bfloat16
    torch.testing.assert_close(ours.float(), theirs, rtol=1e-2, atol=1e-2)
    by_x, by_slope = torch.autograd.grad(ours, (x, slope), pull)
    by_precise, by_its_slope = torch.autograd.grad(theirs, (precise, slope), pull.float())
    assert (by_x.dtype, by_slope.dtype) == (torch.bfloat16, torch.float32)
    torch.testing.assert_close(by_x.float(), by_precise, rtol=1e-2, atol=1e-2)
    torch.testing.assert_close(by_slope, by_its_slope, rtol=2e-2, atol=2e-2)


def test_inference_uses_the_mean_statistics_of_the_last_60_batches() -> None:
    norm, rng = RollingNorm(2), np.random.default_rng(0)
    batches = rng.normal(3.0, 2.0, size=(65, 4, 2, 3, 3)).astype(np.float32)
    for number, batch in enumerate(batches):
        norm(torch.from_numpy(batch), TrainingStep(number, torch.Generator()))
    norm.settle(65)
    last = batches[5:]
    np.testing.assert_allclose(norm.mean, last.mean((1, 3, 4)).mean(0), rtol=1e-5)
    np.testing.assert_allclose(norm.var, last.var((1, 3, 4)).mean(0), rtol=1e-4)


def test_a_short_training_averages_only_the_batches_there_were() -> None:
    norm = RollingNorm(1)
    x = torch.tensor([1.0, 5.0]).reshape(2, 1, 1, 1)
    norm(x, TrainingStep(0, torch.Generator()))
    norm.settle(1)
    assert norm.mean.item() == pytest.approx(3.0) and norm.var.item() == pytest.approx(4.0)


def test_kernels_start_as_normal_with_variance_two_over_fan_in() -> None:
    net = build("deepmedic", 8, generator=torch.Generator().manual_seed(0))
    for kernel in net.kernels():
        if kernel.numel() > 5000:
            fan_in = kernel.shape[1] * kernel.shape[2] ** 2
            assert kernel.std().item() == pytest.approx((2 / fan_in) ** 0.5, rel=0.05)
    assert len(net.kernels()) == 27
    slopes = [value for key, value in net.named_parameters() if key.endswith("slope")]
    assert all((slope == 0.01).all() for slope in slopes)


def test_every_parameter_gets_a_finite_gradient() -> None:
    for name in PRESETS:
        net = build(name, 4, generator=torch.Generator().manual_seed(0))
        side = net.preset.patch_px(net.preset.output_px)
        patch = torch.randn(2, 1, side, side, generator=torch.Generator().manual_seed(1))
        net(patch, TrainingStep(0, torch.Generator().manual_seed(2))).square().mean().backward()
        for key, parameter in net.named_parameters():
            assert parameter.grad is not None and parameter.grad.isfinite().all(), key

"""The networks: sizes, shapes, fading, fusing, gradients."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from gansfer.gan.blocks import GeneratorBlock, GeneratorStart
from gansfer.gan.layers import EqualConv
from gansfer.gan.networks import (
    Discriminator,
    Generator,
    build_critic,
    build_generator,
    flops_per_image,
    n_parameters,
)
from gansfer.gan_settings import GanSettings

_WIDTHS = (8, 8, 4)


def _generator(fused: bool = True) -> Generator:
    torch.manual_seed(0)
    return Generator(3, 3, 5, 6, _WIDTHS, fused)


def _critic(fused: bool = True) -> Discriminator:
    torch.manual_seed(0)
    return Discriminator(3, 3, 5, _WIDTHS, 4, fused)


def _latents(n: int = 4) -> Tensor:
    return torch.randn(n, 6, generator=torch.Generator().manual_seed(1))


def _slices(side_px: int, n: int = 4) -> Tensor:
    return torch.randn(n, 3, side_px, side_px, generator=torch.Generator().manual_seed(2))


def test_official_width_has_the_official_number_of_parameters() -> None:
    settings = GanSettings()
    assert n_parameters(build_generator(settings, 80, 8)) == 24_861_224  # 24.86 M
    assert n_parameters(build_critic(settings, 80, 8)) == 24_868_865  # 24.87 M


def test_operations_are_two_per_multiply_add_of_every_layer() -> None:
    side, w = 5, _WIDTHS
    dense = 6 * w[0] * side**2
    start = w[0] * w[0] * 9 * side**2
    block_1 = w[0] * w[1] * 16 * side**2 + w[1] * w[1] * 9 * (2 * side) ** 2
    to_rgb = w[1] * 3 * (2 * side) ** 2
    assert flops_per_image(_generator(), level=1) == 2 * (dense + start + block_1 + to_rgb)
    from_rgb = 3 * w[0] * side**2
    end = (w[0] + 1) * w[0] * 9 * side**2 + w[0] * side**2 * w[0] + w[0]
    assert flops_per_image(_critic(), level=0) == 2 * (from_rgb + end)


@pytest.mark.parametrize("level", [0, 1, 2])
def test_every_level_has_its_side(level: int) -> None:
    image = _generator()(_latents(), level)
    assert image.shape == (4, 3, 5 * 2**level, 5 * 2**level)
    assert _critic()(image, level).shape == (4,)


def test_parts_are_named_by_level() -> None:
    names = {".".join(name.split(".")[:2]) for name, _ in _generator().named_parameters()}
    assert names == {f"{part}.{k}" for part in ("blocks", "to_rgb") for k in range(3)}


@pytest.mark.parametrize("kind", ["generator", "critic"])
def test_fused_equals_unfused(kind: str) -> None:
    if kind == "generator":
        fused, plain = (_generator(fused)(_latents(), 2, 0.3) for fused in (True, False))
    else:
        fused, plain = (_critic(fused)(_slices(20), 2, 0.3) for fused in (True, False))
    torch.testing.assert_close(fused, plain, rtol=1e-4, atol=1e-5)


def test_generator_blends_its_two_newest_images() -> None:
    generator, latents = _generator(), _latents()
    coarse, fine = generator(latents, 1), generator(latents, 2)
    doubled = coarse.repeat_interleave(2, 2).repeat_interleave(2, 3)
    torch.testing.assert_close(generator(latents, 2, 0.25), 0.75 * doubled + 0.25 * fine)
    torch.testing.assert_close(generator(latents, 2, 0.0), doubled)
    torch.testing.assert_close(
        generator(latents, 2, torch.tensor(0.25)), generator(latents, 2, 0.25)
    )


def test_generator_is_the_official_chain_of_layers() -> None:
    def norm(x: Tensor) -> Tensor:
        return x / torch.sqrt(x.square().mean(1, keepdim=True) + 1e-8)

    def act(x: Tensor) -> Tensor:
        return torch.where(x > 0, x, 0.2 * x)

    generator = _generator(fused=False)
    first, second, rgb = generator.blocks[0], generator.blocks[1], generator.to_rgb[1]
    assert isinstance(first, GeneratorStart) and isinstance(second, GeneratorBlock)
    assert isinstance(rgb, EqualConv)
    dense, start, up, last = first.dense, first.conv, second.conv_up, second.conv
    x = norm(act(dense(norm(_latents()))))
    x = norm(act(F.conv2d(x, start.weight * (2 / (8 * 9)) ** 0.5, start.bias, padding=1)))
    x = x.repeat_interleave(2, 2).repeat_interleave(2, 3)
    x = norm(act(F.conv2d(x, up.weight * (2 / (8 * 9)) ** 0.5, up.bias, padding=1)))
    x = norm(act(F.conv2d(x, last.weight * (2 / (8 * 9)) ** 0.5, last.bias, padding=1)))
    wanted = F.conv2d(x, rgb.weight * (1 / 8) ** 0.5, rgb.bias)
    torch.testing.assert_close(generator(_latents(), 1), wanted, rtol=1e-4, atol=1e-5)


def test_critic_blends_after_its_newest_block() -> None:
    critic, image = _critic(), _slices(20)
    halved = F.avg_pool2d(image, 2)
    with torch.no_grad():
        new = critic.blocks[1](F.leaky_relu(critic.from_rgb[2](image), 0.2))
        old = F.leaky_relu(critic.from_rgb[1](halved), 0.2)
        wanted = critic.end(critic.blocks[0](0.75 * old + 0.25 * new), 1)
        torch.testing.assert_close(critic(image, 2, 0.25), wanted)
        torch.testing.assert_close(critic(image, 2, 0.0), critic(halved, 1))


def test_critic_keeps_sets_apart() -> None:
    critic, reals, fakes = _critic(), _slices(20), 3 * _slices(20)
    both = critic(torch.cat([reals, fakes]), sets=2)
    torch.testing.assert_close(both, torch.cat([critic(reals), critic(fakes)]))


def test_gradients_are_finite_and_reach_every_grown_part() -> None:
    generator, critic = _generator(), _critic()
    critic(generator(_latents(), 2, 0.5), 2, 0.5).sum().backward()
    for network in (generator, critic):
        for name, parameter in network.named_parameters():
            if name.startswith(("to_rgb.0", "from_rgb.0")):
                assert parameter.grad is None, name  # two levels below the top: unused
            else:
                assert parameter.grad is not None, name
                assert torch.isfinite(parameter.grad).all(), name


def test_bfloat16_keeps_the_heads_in_float32_and_stays_close() -> None:
    generator, critic, latents = _generator(), _critic(), _latents()
    exact = generator(latents)
    with torch.autocast("cpu", torch.bfloat16):
        image = generator(latents)
        score = critic(exact)
    assert image.dtype == score.dtype == torch.float32
    assert (image - exact).norm() < 0.05 * exact.norm()
    assert (score - critic(exact)).abs().max() < 0.1


def test_same_seed_same_weights_and_the_global_stream_is_left_alone() -> None:
    settings = GanSettings(base_px=5, latent_size=6, fmaps=(4, 4))
    torch.manual_seed(5)
    expected = torch.rand(1)
    torch.manual_seed(5)
    one, same, other = (build_critic(settings, 10, 2, seed) for seed in (1, 1, 2))
    assert torch.equal(torch.rand(1), expected)
    assert torch.equal(one.end.conv.weight, same.end.conv.weight)
    assert not torch.equal(one.end.conv.weight, other.end.conv.weight)

"""Training steps as one would first write them: the yardstick of `speed`, and no faster than that.

The networks' weights are those of the project's networks, so both can be set against each other;
the passes are stock operations, one after another: convolutions after repeating pixels or before
averaging them, real and generated slices scored apart, stock optimisers, a loop for the average.

Legend: B batch, C channels, H rows, W columns, K classes.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from gansfer.gan.blocks import CriticBlock, GeneratorBlock, GeneratorStart
from gansfer.gan.layers import EqualConv
from gansfer.gan.networks import Discriminator, Generator
from gansfer.segmentation.deepmedic import DeepMedic, pick_low
from gansfer.segmentation.pathway import Block, Pathway, fit_residual
from gansfer.settings import SegmenterSettings


def _conv(layer: nn.Module, features_bchw: Tensor) -> Tensor:
    assert isinstance(layer, EqualConv)
    weight = layer.weight * layer.scale
    return F.conv2d(features_bchw, weight, layer.bias, padding=layer.padding)


def _norm(features: Tensor) -> Tensor:
    return features / torch.sqrt((features**2).mean(1, keepdim=True) + 1e-8)


def _act(features: Tensor) -> Tensor:
    return F.leaky_relu(features, 0.2)


def generated(generator: Generator, latent_bl: Tensor, level: int) -> Tensor:
    """Slices of a generator grown to a level, nothing fading."""
    start = cast(GeneratorStart, generator.blocks[0])
    x = _norm(_act(start.dense(_norm(latent_bl))))
    x = _norm(_act(_conv(start.conv, x)))
    for block in list(generator.blocks)[1 : level + 1]:
        growing = cast(GeneratorBlock, block)
        x = _norm(_act(_conv(growing.conv_up, F.interpolate(x, scale_factor=2))))
        x = _norm(_act(_conv(growing.conv, x)))
    return _conv(generator.to_rgb[level], x)


def scored(critic: Discriminator, image_bchw: Tensor, level: int) -> Tensor:
    """Scores [B] of a critic grown to a level, nothing fading."""
    x = _act(_conv(critic.from_rgb[level], image_bchw))
    for below in range(level - 1, -1, -1):
        block = cast(CriticBlock, critic.blocks[below])
        down = block.conv_down
        x = _act(_conv(block.conv, x))
        weight = down.weight * down.scale
        x = F.avg_pool2d(F.conv2d(x, weight, padding=1), 2) + down.bias[:, None, None]
        x = _act(x)
    end = critic.end
    b, _, h, w = x.shape
    group = next(n for n in range(min(end.stddev_group, b), 0, -1) if b % n == 0)
    spread = (x.reshape(group, b // group, *x.shape[1:]).var(0, correction=0) + 1e-8).sqrt()
    spread = spread.mean((1, 2, 3)).repeat(group)[:, None, None, None].expand(b, 1, h, w)
    x = _act(_conv(end.conv, torch.cat([x, spread], 1)))
    return cast(Tensor, end.score(_act(end.dense(x.flatten(1))))).flatten()


class PlainGan:
    """Phase 1 at one level: an update of the critic, one of the generator, its average.

    Args:
        generator: copied.
        critic: copied.
        level: how far both have grown.
    """

    def __init__(self, generator: Generator, critic: Discriminator, level: int) -> None:
        self.generator, self.critic = copy.deepcopy(generator), copy.deepcopy(critic)
        self.average, self.level = copy.deepcopy(generator), level
        self.optimisers = [
            torch.optim.Adam(network.parameters(), lr=1e-3, betas=(0.0, 0.99))
            for network in (self.generator, self.critic)
        ]

    def critic_loss(self, real_bchw: Tensor, fake_bchw: Tensor, mix_b111: Tensor) -> Tensor:
        """WGAN-GP with drift, as the official code has it."""
        real_b = scored(self.critic, real_bchw, self.level)
        fake_b = scored(self.critic, fake_bchw, self.level)
        mixed = ((1 - mix_b111) * real_bchw + mix_b111 * fake_bchw).requires_grad_()
        mixed_b = scored(self.critic, mixed, self.level)
        (gradient,) = torch.autograd.grad(mixed_b.sum(), mixed, create_graph=True)
        penalty = (gradient.flatten(1).norm(dim=1) - 1) ** 2
        return (fake_b - real_b + 10 * penalty + 0.001 * real_b**2).mean()

    def step(self, real_bchw: Tensor) -> None:
        """One update of each network."""
        b = len(real_bchw)
        of_generator, of_critic = self.optimisers
        latent_bl = torch.randn(b, self.generator.latent_size)
        fake_bchw = generated(self.generator, latent_bl, self.level).detach()
        of_critic.zero_grad()
        self.critic_loss(real_bchw, fake_bchw, torch.rand(b, 1, 1, 1)).backward()
        of_critic.step()
        of_generator.zero_grad()
        latent_bl = torch.randn(b, self.generator.latent_size)
        fake_bchw = generated(self.generator, latent_bl, self.level)
        (-scored(self.critic, fake_bchw, self.level).mean()).backward()
        of_generator.step()
        with torch.no_grad():
            for kept, live in zip(
                self.average.parameters(), self.generator.parameters(), strict=True
            ):
                kept.mul_(0.999).add_(live, alpha=0.001)


def classified(net: DeepMedic, patch_bchw: Tensor) -> Tensor:
    """Class scores [B, K, H', W'] of a DeepMedic in training."""
    edge_px = net.preset.context_px
    joined = [_through(net.pathways[0], patch_bchw[..., edge_px:-edge_px, edge_px:-edge_px])]
    height, width = joined[0].shape[-2:]
    for factor, pathway in zip(net.preset.factors, list(net.pathways)[1:], strict=True):
        low = _through(pathway, pick_low(patch_bchw, net.preset, factor))
        joined.append(F.interpolate(low, scale_factor=factor)[..., :height, :width])
    return _through(net.fc, torch.cat(joined, 1)) + net.class_bias[:, None, None]


def _through(pathway: nn.Module, x: Tensor) -> Tensor:
    assert isinstance(pathway, Pathway)
    previous = x
    for index, module in enumerate(pathway.blocks):
        out = _block(cast(Block, module), x)
        if index in pathway.residual_indices:
            out = out + fit_residual(previous, out.shape)
        previous, x = x, out
    return x


def _block(block: Block, x: Tensor) -> Tensor:
    if block.norm is None or block.slope is None:
        assert block.bias is not None
        x = x + block.bias[:, None, None]
    else:
        x = F.batch_norm(x, None, None, block.norm.scale, block.norm.shift, training=True)
        x = F.prelu(x, block.slope)
    if block.keep < 1.0:
        x = F.dropout(x, 1.0 - block.keep)
    if block.pad_px:
        x = F.pad(x, (block.pad_px,) * 4, mode="replicate")
    return F.conv2d(x, block.kernel.contiguous())


def segmenter_step(net: DeepMedic, settings: SegmenterSettings) -> Callable[[Tensor, Tensor], None]:
    """A function that makes one update of a segmenter by patches and labels."""
    optimiser = torch.optim.RMSprop(
        net.parameters(),
        lr=settings.learning_rate,
        alpha=settings.rms_decay,
        eps=settings.rms_epsilon,
        momentum=settings.momentum,
    )

    def step(patch_b1pp: Tensor, label_boo: Tensor) -> None:
        optimiser.zero_grad()
        loss = F.cross_entropy(classified(net, patch_b1pp), label_boo)
        for kernel in net.kernels():
            loss = loss + settings.l1 * kernel.abs().sum() + settings.l2 * (kernel**2).sum()
        loss.backward()
        optimiser.step()

    return step

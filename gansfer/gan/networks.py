"""The progressively growing generator and critic (II.A; official PGGAN), and a critic of windows.

A growing network holds all its levels from the start; `level` says how far it has grown, `alpha`
how far the newest level has faded in. Level k works at `base_px * 2^k` pixels.

Axes legend: B batch, C channels, H rows, W columns, L latent.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from gansfer.gan.blocks import CriticBlock, CriticEnd, GeneratorBlock, GeneratorStart
from gansfer.gan.layers import (
    EqualConv,
    at_least_float32,
    channels_last,
    double_side,
    full_precision,
    halve_side,
    leaky,
)
from gansfer.gan_settings import WINDOW_MAPS, GanSettings

Alpha = float | Tensor


class Generator(nn.Module):
    """Latents to slices. Parts are named `blocks.0` ... and `to_rgb.0` ..., coarse to fine.

    Args:
        n_channels: C of the slices.
        n_levels: steps of the ladder.
        base_px: side at level 0.
        latent_size: L.
        widths: feature maps of each level, coarse to fine.
        fused_scaling: fuse x2 scaling with the convolution beside it.
    """

    def __init__(
        self,
        n_channels: int,
        n_levels: int,
        base_px: int,
        latent_size: int,
        widths: Sequence[int],
        fused_scaling: bool = True,
    ) -> None:
        super().__init__()
        self.n_channels, self.n_levels = n_channels, n_levels
        self.base_px, self.latent_size = base_px, latent_size
        self.blocks = nn.ModuleList([GeneratorStart(latent_size, widths[0], base_px)])
        for level in range(1, n_levels):
            self.blocks.append(GeneratorBlock(widths[level - 1], widths[level], fused_scaling))
        self.to_rgb = nn.ModuleList(
            EqualConv(width, n_channels, kernel_px=1, gain=1.0) for width in widths
        )

    def forward(self, latent_bl: Tensor, level: int | None = None, alpha: Alpha = 1.0) -> Tensor:
        """Make slices.

        Args:
            latent_bl: [B, L] normal numbers; normalised inside, as in the official code.
            level: how far the network has grown; None: to the top.
            alpha: weight of the newest level; below 1 the level before, doubled in side, is
                blended in.

        Returns:
            [B, C, H, W] float32 at `base_px * 2^level`; about [-1, 1], not clipped.
        """
        top = self.n_levels - 1 if level is None else level
        features = self.blocks[0](latent_bl)
        before = features
        for block in self.blocks[1 : top + 1]:
            before, features = features, block(features)
        image_bchw = self._image(features, top)
        if top > 0 and not _is_one(alpha):
            return _blend(double_side(self._image(before, top - 1)), image_bchw, alpha)
        return image_bchw

    def _image(self, features_bchw: Tensor, level: int) -> Tensor:
        with full_precision(features_bchw):
            return self.to_rgb[level](at_least_float32(features_bchw))


class Discriminator(nn.Module):
    """Slices to scores. Parts are named `blocks.0` ... and `from_rgb.0` ..., coarse to fine.

    Args:
        n_channels: C of the slices.
        n_levels: steps of the ladder.
        base_px: side at level 0.
        widths: feature maps of each level, coarse to fine.
        stddev_group: group of the minibatch standard deviation.
        fused_scaling: fuse x2 scaling with the convolution beside it.
    """

    def __init__(
        self,
        n_channels: int,
        n_levels: int,
        base_px: int,
        widths: Sequence[int],
        stddev_group: int = 4,
        fused_scaling: bool = True,
    ) -> None:
        super().__init__()
        self.n_levels, self.base_px, self.n_channels = n_levels, base_px, n_channels
        self.end = CriticEnd(widths[0], base_px, stddev_group)
        self.blocks = nn.ModuleList(
            CriticBlock(widths[level], widths[level - 1], fused_scaling)
            for level in range(1, n_levels)
        )
        self.from_rgb = nn.ModuleList(EqualConv(n_channels, width, kernel_px=1) for width in widths)

    def forward(
        self,
        image_bchw: Tensor,
        level: int | None = None,
        alpha: Alpha = 1.0,
        sets: int = 1,
    ) -> Tensor:
        """Score slices.

        Args:
            image_bchw: [B, C, H, W] at `base_px * 2^level`.
            level: how far the network has grown; None: to the top.
            alpha: weight of the newest level, as in the generator.
            sets: minibatches that lie one after another in the batch, whose standard deviations
                are to be kept apart.

        Returns:
            [B] float32, higher for what looks real.
        """
        top = self.n_levels - 1 if level is None else level
        features = leaky(self.from_rgb[top](channels_last(image_bchw)))
        for below in range(top - 1, -1, -1):
            features = self.blocks[below](features)
            if below == top - 1 and not _is_one(alpha):
                coarse = leaky(self.from_rgb[below](halve_side(image_bchw)))
                features = _blend(coarse, features, alpha)
        return self.end(features, sets)


class WindowCritic(nn.Module):
    """D_C, slices to scores: do an image and its labels belong together? Beyond the paper.

    In phases 2 and 3 nothing that the paper has compares labels with the image they are drawn on:
    D_I sees the MR channel alone, D_S the structures' channels alone. This critic sees both, but
    only windows of 7 x 7 pixels: what it can learn from the few labelled slices is how a label
    follows an edge, not where a structure lies or what a brain looks like, which the unlabelled
    images are to teach.

    Args:
        n_channels: C of the slices.
    """

    def __init__(self, n_channels: int) -> None:
        super().__init__()
        self.n_channels = n_channels
        self.first = EqualConv(n_channels, WINDOW_MAPS)
        self.second = EqualConv(WINDOW_MAPS, WINDOW_MAPS)
        self.score = EqualConv(WINDOW_MAPS, 1, gain=1.0)

    def forward(
        self, image_bchw: Tensor, level: int | None = None, alpha: float = 1.0, sets: int = 1
    ) -> Tensor:
        """Score slices at full side.

        Args:
            image_bchw: [B, C, H, W].
            level: of no matter: it is used where networks are grown.
            alpha: of no matter.
            sets: of no matter: it looks at each slice alone.

        Returns:
            [B] float32, higher for what looks real. The sum over windows is divided by the square
            root of their number, so that a slice's gradient is as long as a window's.
        """
        features = leaky(self.first(channels_last(image_bchw)))
        windows_b1hw = at_least_float32(self.score(leaky(self.second(features))))
        n_windows = windows_b1hw[0].numel()
        return windows_b1hw.flatten(1).sum(1) / n_windows**0.5


def build_generator(
    settings: GanSettings, slice_px: int, n_channels: int, seed: int = 0
) -> Generator:
    """The generator of these settings, with weights drawn from `seed`, on the CPU.

    Args:
        settings: the GAN's settings.
        slice_px: side of a full slice.
        n_channels: 1 + structures.
        seed: seed of the first weights; of no matter if weights are loaded afterwards.

    Raises:
        ValueError: `slice_px` is not on a ladder from the settings' `base_px`.
    """
    n_levels = len(settings.ladder_px(slice_px))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return Generator(
            n_channels,
            n_levels,
            settings.base_px,
            settings.latent_size,
            settings.widths(n_levels),
            settings.fused_scaling,
        )


def load_generator(settings: GanSettings, slice_px: int, state: Mapping[str, Tensor]) -> Generator:
    """The generator of these settings with weights that training left, on the CPU.

    Args:
        settings: the GAN's settings.
        slice_px: side of a full slice.
        state: its state dict, which also says how many channels it makes.

    Raises:
        RuntimeError: the weights are of a network of another shape.
    """
    generator = build_generator(settings, slice_px, len(state["to_rgb.0.bias"]))
    generator.load_state_dict(dict(state))
    return generator


def build_critic(
    settings: GanSettings, slice_px: int, n_channels: int, seed: int = 0
) -> Discriminator:
    """The critic of these settings; arguments and errors as of `build_generator`."""
    n_levels = len(settings.ladder_px(slice_px))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return Discriminator(
            n_channels,
            n_levels,
            settings.base_px,
            settings.widths(n_levels),
            settings.stddev_group,
            settings.fused_scaling,
        )


def build_window_critic(n_channels: int, seed: int = 0) -> WindowCritic:
    """A new critic with weights drawn from `seed`, on the CPU."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return WindowCritic(n_channels)


def n_parameters(network: nn.Module) -> int:
    """How many numbers a network learns."""
    return sum(parameter.numel() for parameter in network.parameters())


def flops_per_image(network: Generator | Discriminator, level: int | None = None) -> int:
    """Floating-point operations (two per multiply-add) of one forward pass of one slice.

    Counted on shapes alone; convolutions and dense layers only. What a pass does once, however
    many slices it makes (preparing the weights), is left out.

    Args:
        network: a generator or a critic; not changed.
        level: how far it has grown; None: to the top.
    """
    top = network.n_levels - 1 if level is None else level
    shapes_only = copy.deepcopy(network).to("meta")
    flops = []
    for n in (1, 2):
        if isinstance(network, Generator):
            given = torch.empty(n, network.latent_size, device="meta")
        else:
            side_px = network.base_px * 2**top
            given = torch.empty(n, network.n_channels, side_px, side_px, device="meta")
        with torch.no_grad(), FlopCounterMode(display=False) as counter:
            shapes_only(given, top)
        flops.append(int(counter.get_total_flops()))
    return flops[1] - flops[0]


def _is_one(alpha: Alpha) -> bool:
    return not isinstance(alpha, Tensor) and alpha == 1.0


def _blend(coarse: Tensor, fine: Tensor, alpha: Alpha) -> Tensor:
    if isinstance(alpha, Tensor):
        alpha = alpha.to(fine.dtype)
    return torch.lerp(coarse, fine, alpha)

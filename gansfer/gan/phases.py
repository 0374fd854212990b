"""The three phases of GANsfer learning (II.B). Start reading here.

Phase 1 trains a whole progressive GAN on the few labelled slices. Phase 2 freezes its last layers
and lets the early ones learn anatomy from many unlabelled images under a new critic, D_I. Phase 3
adds a critic of the structures' channels, D_S, and unfreezes layer by layer. Where the settings ask
for it, phases 2 and 3 have one critic more, D_C (`networks.WindowCritic`; beyond the paper). Each
phase starts from the moving average of the generator that the phase before it left, and has its own
schedule (`schedule.py`), which says when what grows, learns or is frozen.

Axes legend: N slices, C channels (0 the MR, then S structures), H rows, W columns.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from gansfer.gan.networks import (
    Discriminator,
    Generator,
    WindowCritic,
    build_critic,
    build_generator,
    build_window_critic,
    load_generator,
)
from gansfer.gan.schedule import (
    COUPLING,
    IMAGE,
    JOINT,
    LABEL,
    Schedule,
    phase_1_schedule,
    phase_2_schedule,
    phase_3_schedule,
)
from gansfer.gan.skipping import skipped_by_network
from gansfer.gan.steps import Critic, Gan, SkippingAdam
from gansfer.gan.training import train
from gansfer.gan_settings import GanSettings
from gansfer.progress import Watch
from gansfer.seeds import seed_for
from gansfer.training.checkpoint import CheckpointStore
from gansfer.training.precision import settled_precision

_MR = slice(0, 1)
_STRUCTURES = slice(1, None)

Weights = dict[str, Tensor]


@dataclass(frozen=True)
class PhaseResult:
    """What a phase leaves behind, on the CPU.

    Attributes:
        generator_weights: weights of the generator's moving average.
        critics: weights of each critic, by name ("joint", "image", "label", "coupling").
        records: losses by step, plain numbers.
        skipped_updates: by network, updates skipped because their gradient was not finite, and
            all that the phase made.
        precision: "float32" or "bfloat16": what the networks computed in, at the end.
    """

    generator_weights: Weights
    critics: dict[str, Weights]
    records: list[dict[str, Any]]
    skipped_updates: dict[str, tuple[int, int]]
    precision: str


@dataclass(frozen=True)
class Phase:
    """A phase that is about to begin: what it trains, and when."""

    gan: Gan
    schedule: Schedule


def phase_1(
    settings: GanSettings, labelled_nchw: Tensor, *, seed: int, device: str = "cpu"
) -> Phase:
    """A whole progressive GAN, which learns all channels of the labelled slices.

    Args:
        settings: the GAN's settings.
        labelled_nchw: [N, C, H, H] encoded labelled slices, float16 or float32, on any device.
        seed: of this phase's weights and random numbers.
        device: "cpu" or "cuda".

    Source: II.B, phase 1. Slices are not augmented (paper silent).
    """
    slice_px, n_channels = labelled_nchw.shape[-1], labelled_nchw.shape[1]
    generator = build_generator(settings, slice_px, n_channels, seed_for(seed, "generator"))
    joint = _critic(
        settings, JOINT, [labelled_nchw], slice(None), seed_for(seed, JOINT), device=device
    )
    gan = _gan(settings, generator, [joint], seed, device)
    return Phase(gan, phase_1_schedule(settings, slice_px))


def phase_2(
    settings: GanSettings,
    generator_weights: Mapping[str, Tensor],
    images_n1hw: Tensor,
    labelled_nchw: Tensor,
    *,
    seed: int,
    device: str = "cpu",
) -> Phase:
    """The early blocks, which learn anatomy from unlabelled images; the last ones are frozen.

    Args:
        settings: the GAN's settings.
        generator_weights: what phase 1 left.
        images_n1hw: [N, 1, H, H] encoded MR slices of the unlabelled pool.
        labelled_nchw: [N, C, H, H] encoded labelled slices; D_C's real set, if there is a D_C.
        seed: of this phase's weights and random numbers.
        device: "cpu" or "cuda".

    Source: II.B, phase 2; D_C is beyond the paper.
    """
    settings = settings.at_rate_of(settings.phase_2)
    weight, slice_px = settings.phase_2.coupling_weight, images_n1hw.shape[-1]
    critics = [_critic(settings, IMAGE, [images_n1hw], _MR, seed_for(seed, IMAGE), device=device)]
    if weight > 0:
        critics.append(_coupling(settings, [labelled_nchw], seed, weight, device))
    generator = load_generator(settings, slice_px, generator_weights)
    gan = _gan(settings, generator, critics, seed, device)
    return Phase(gan, phase_2_schedule(settings, slice_px))


def phase_3(
    settings: GanSettings,
    generator_weights: Mapping[str, Tensor],
    critics_weights: Mapping[str, Weights],
    images_n1hw: Tensor,
    labelled_nchw: Tensor,
    selftaught_nchw: Tensor,
    *,
    seed: int,
    device: str = "cpu",
) -> Phase:
    """Block by block unfreezes under D_I, kept from phase 2, and a new D_S.

    Args:
        settings: the GAN's settings.
        generator_weights: what phase 2 left.
        critics_weights: D_I, and D_C if it had one, as phase 2 left them (its `critics`).
        images_n1hw: [N, 1, H, H] encoded MR slices of the unlabelled pool.
        labelled_nchw: [N, C, H, H] encoded labelled slices; D_S sees their structures' channels.
        selftaught_nchw: [N, C, H, H] slices generated after phase 2; one half of the real
            minibatches of D_S ("self-teaching") and of D_C, the labelled the other.
        seed: of this phase's weights and random numbers.
        device: "cpu" or "cuda".

    Source: II.B, phase 3. The critics' weights in the loss: paper silent; settings. D_C is beyond
    the paper.
    """
    settings = settings.at_rate_of(settings.phase_3)
    phase, slice_px = settings.phase_3, images_n1hw.shape[-1]
    image = _critic(
        settings, IMAGE, [images_n1hw], _MR, 0, weight=phase.image_weight, device=device
    )
    image.network.load_state_dict(critics_weights[IMAGE])
    known_nchw = [labelled_nchw, selftaught_nchw]
    label = _critic(
        settings,
        LABEL,
        [slices_nchw[:, _STRUCTURES] for slices_nchw in known_nchw],
        _STRUCTURES,
        seed_for(seed, LABEL),
        weight=phase.label_weight,
        device=device,
    )
    critics = [image, label]
    if phase.coupling_weight > 0:
        coupling = _coupling(settings, known_nchw, seed, phase.coupling_weight, device)
        if COUPLING in critics_weights:
            coupling.network.load_state_dict(critics_weights[COUPLING])
        critics.append(coupling)
    generator = load_generator(settings, slice_px, generator_weights)
    gan = _gan(settings, generator, critics, seed, device)
    return Phase(gan, phase_3_schedule(settings, slice_px))


def train_phase(phase: Phase, *, store: CheckpointStore, watch: Watch) -> PhaseResult:
    """Train a phase to its end, or from its last checkpoint to its end.

    Args:
        phase: as it begins; its GAN is changed in place.
        store: where states are kept; the phase resumes from it.
        watch: told of progress; may ask to stop.

    Raises:
        StopRequested: the watch asked to stop; the state has been saved.
        UserError: too many updates had a gradient that is not finite.
    """
    gan, schedule = phase.gan, phase.schedule
    train(gan, schedule, store=store, watch=watch)
    skipped = skipped_by_network(gan.records)
    return PhaseResult(
        generator_weights=_on_cpu(gan.average),
        critics={name: _on_cpu(critic.network) for name, critic in gan.critics.items()},
        records=gan.records,
        skipped_updates={name: (n, schedule.updates[name]) for name, n in skipped.items()},
        precision=gan.precision,
    )


def _critic(
    settings: GanSettings,
    name: str,
    sources_nchw: Sequence[Tensor],
    channels: slice,
    seed: int,
    *,
    device: str,
    weight: float = 1.0,
) -> Critic:
    slice_px, n_channels = sources_nchw[0].shape[-1], sources_nchw[0].shape[1]
    network = build_critic(settings, slice_px, n_channels, seed)
    return _learning(settings, name, network, channels, sources_nchw, weight, device)


def _coupling(
    settings: GanSettings, known_nchw: Sequence[Tensor], seed: int, weight: float, device: str
) -> Critic:
    network = build_window_critic(known_nchw[0].shape[1], seed_for(seed, COUPLING))
    return _learning(settings, COUPLING, network, slice(None), known_nchw, weight, device)


def _learning(
    settings: GanSettings,
    name: str,
    network: Discriminator | WindowCritic,
    channels: slice,
    sources_nchw: Sequence[Tensor],
    weight: float,
    device: str,
) -> Critic:
    sources = [source_nchw.to(device) for source_nchw in sources_nchw]
    network = network.to(device)
    return Critic(name, network, _adam(settings, network), channels, sources, weight)


def _gan(
    settings: GanSettings, generator: Generator, critics: Sequence[Critic], seed: int, device: str
) -> Gan:
    generator = generator.to(device)
    average = copy.deepcopy(generator).requires_grad_(False)
    return Gan(
        generator=generator,
        average=average,
        optimiser=_adam(settings, generator),
        critics={critic.name: critic for critic in critics},
        random=torch.Generator(device).manual_seed(seed_for(seed, "training")),
        gradient_penalty=settings.gradient_penalty,
        penalty_every=settings.penalty_every,
        drift=settings.drift,
        ema_half_life_kimg=settings.ema_half_life_kimg,
        precision=settled_precision(settings.precision, device),
        max_skipped_fraction=settings.max_skipped_fraction,
    )


def _adam(settings: GanSettings, network: nn.Module) -> SkippingAdam:
    return SkippingAdam(
        network.parameters(),
        lr=settings.learning_rate,
        betas=settings.adam_betas,
        eps=settings.adam_epsilon,
        fused=True,
    )


def _on_cpu(network: nn.Module) -> Weights:
    return {
        name: value.detach().cpu().clone().contiguous()
        for name, value in network.state_dict().items()
    }

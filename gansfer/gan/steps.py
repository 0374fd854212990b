"""One step of a critic, one step of the generator, and what they act on.

Nothing here waits for the device: losses are accumulated where they arise.

Axes legend: B batch, C channels, H rows, W columns, N slices, L latent.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import get_ema_multi_avg_fn

from gansfer.gan.losses import critic_loss, generator_loss
from gansfer.gan.networks import Discriminator, Generator, WindowCritic
from gansfer.gan.real_batches import draw_real_batch
from gansfer.gan.schedule import GENERATOR, Moment, Stretch
from gansfer.training.precision import mixed_precision


class SkippingAdam(torch.optim.Adam):
    """Adam that leaves everything as it is where `found_inf` is 1, without asking the device.

    The fused kernels read `found_inf`; it is how PyTorch's own GradScaler skips a step.
    """

    found_inf: Tensor | None = None


@dataclass
class Critic:
    """A critic, what it looks at, and how much the generator listens to it.

    Attributes:
        name: as in the schedule.
        network: the critic itself.
        optimiser: its optimiser.
        channels: the channels of a generated slice that it sees.
        sources_nchw: sets of real slices at full side, each giving an equal share of a minibatch.
        weight: in the generator's loss.
    """

    name: str
    network: Discriminator | WindowCritic
    optimiser: SkippingAdam
    channels: slice
    sources_nchw: Sequence[Tensor]
    weight: float = 1.0


@dataclass
class Gan:
    """A generator, its moving average, its critics, and the stream of random numbers.

    Attributes:
        generator: the one that trains.
        average: the one that is kept: its exponential moving average.
        optimiser: the generator's.
        critics: by name.
        random: everything random of a phase comes from it.
        gradient_penalty: lambda of WGAN-GP.
        penalty_every: every how many updates of a critic it is taken, so many times as heavy.
        drift: weight of D(real)^2.
        ema_half_life_kimg: half-life of the average, in thousand images.
        precision: "float32" or "bfloat16".
        max_skipped_fraction: share of a network's updates in a phase that may be skipped.
        sums: by player, sums of losses since the last record, and their counts [2, losses].
        skipped: by player, updates skipped since the phase began.
        records: what has been recorded so far.
    """

    generator: Generator
    average: Generator
    optimiser: SkippingAdam
    critics: dict[str, Critic]
    random: torch.Generator
    gradient_penalty: float
    penalty_every: int
    drift: float
    ema_half_life_kimg: float
    precision: str
    max_skipped_fraction: float
    sums: dict[str, Tensor] = field(default_factory=dict)
    skipped: dict[str, Tensor] = field(default_factory=dict)
    records: list[dict[str, Any]] = field(default_factory=list)

    @property
    def device(self) -> torch.device:
        """Where it trains."""
        return self.random.device

    def penalty_at(self, updates_before: int) -> float:
        """Weight of the gradient penalty in an update of a critic, by the stretch's before it."""
        taken = updates_before % self.penalty_every == 0
        return self.gradient_penalty * self.penalty_every if taken else 0.0

    def autocast(self) -> AbstractContextManager[None]:
        """Mixed precision, where the settings ask for it."""
        return mixed_precision(self.precision, self.device)


def run_step(gan: Gan, moment: Moment, real_sets: dict[str, list[Tensor]]) -> None:
    """Let the critics of this step learn, then the generator if it is its turn.

    Args:
        gan: changed in place.
        moment: the step.
        real_sets: by critic, its sets of real slices at the level's side.
    """
    stretch, alpha = moment.stretch, moment.alpha
    with torch.no_grad(), gan.autocast():
        fake_bchw = gan.generator(latents_for(gan, stretch), stretch.level, alpha)
    for name, n_before in moment.critics.items():
        critic = gan.critics[name]
        real_bchw = draw_real_batch(real_sets[name], stretch.minibatch, alpha, gan.random)
        fake_of_critic_bchw = fake_bchw[:, critic.channels]
        penalty = gan.penalty_at(n_before)
        critic_step(gan, critic, real_bchw, fake_of_critic_bchw, stretch.level, alpha, penalty)
    if moment.generator_learns:
        generator_step(gan, stretch, alpha)


def critic_step(
    gan: Gan,
    critic: Critic,
    real_bchw: Tensor,
    fake_bchw: Tensor,
    level: int,
    alpha: float,
    gradient_penalty: float,
) -> None:
    """One update of one critic, on a real and a generated batch."""
    mix_b111 = torch.rand(len(real_bchw), 1, 1, 1, generator=gan.random, device=gan.device)
    with gan.autocast():
        result = critic_loss(
            lambda images, sets: critic.network(images, level, alpha, sets),
            real_bchw,
            fake_bchw,
            mix_b111,
            gradient_penalty=gradient_penalty,
            drift=gan.drift,
        )
    bad = update(critic.optimiser, list(critic.network.parameters()), result.loss)
    accumulate(gan, critic.name, torch.stack([value.detach() for value in result]), bad)


def generator_step(gan: Gan, stretch: Stretch, alpha: float) -> None:
    """One update of the generator under all its critics, and of its moving average."""
    critics = [gan.critics[name] for name in stretch.critic_updates]
    for critic in critics:
        critic.network.requires_grad_(False)  # only scores here: spares its weights' gradients
    with gan.autocast():
        fake_bchw = gan.generator(latents_for(gan, stretch), stretch.level, alpha)
        scores_b = [
            critic.network(fake_bchw[:, critic.channels], stretch.level, alpha)
            for critic in critics
        ]
    loss = generator_loss(scores_b, [critic.weight for critic in critics])
    bad = update(gan.optimiser, [p for p in gan.generator.parameters() if p.requires_grad], loss)
    for critic in critics:
        critic.network.requires_grad_(True)
    update_ema(gan, stretch.minibatch)
    accumulate(gan, GENERATOR, loss.detach()[None], bad)


def update(optimiser: SkippingAdam, parameters: Sequence[nn.Parameter], loss: Tensor) -> Tensor:
    """Step down a loss, unless its gradient is not finite.

    Returns:
        1 if the update was skipped, else 0; on the device, so that nobody waits.
    """
    optimiser.zero_grad(set_to_none=True)
    loss.backward(inputs=list(parameters))
    gradients = [p.grad for p in parameters if p.grad is not None]
    bad = (~torch.isfinite(nn.utils.get_total_norm(gradients))).float()
    optimiser.found_inf = bad
    optimiser.step()
    return bad


@torch.no_grad()
def update_ema(gan: Gan, minibatch: int) -> None:
    """Update the exponential moving average (EMA), by the images that this update has seen."""
    decay = 0.5 ** (minibatch / (1000.0 * gan.ema_half_life_kimg))
    pairs = zip(gan.average.parameters(), gan.generator.parameters(), strict=True)
    learning = [(kept, live) for kept, live in pairs if live.requires_grad]
    kept, live = (list(side) for side in zip(*learning, strict=True))
    get_ema_multi_avg_fn(decay)(kept, live, 0)


def freeze(generator: Generator, trainable: frozenset[str]) -> None:
    """Let exactly the named parts of the generator learn; the others get no gradient."""
    for name, parameter in generator.named_parameters():
        parameter.requires_grad_(".".join(name.split(".")[:2]) in trainable)
        parameter.grad = None


def latents_for(gan: Gan, stretch: Stretch) -> Tensor:
    """A minibatch [B, L] of latents from the phase's stream."""
    shape = stretch.minibatch, gan.generator.latent_size
    return torch.randn(shape, generator=gan.random, device=gan.device)


def accumulate(gan: Gan, name: str, values: Tensor, bad: Tensor) -> None:
    """Add one update's values, where there are, to the running sums; count it if it was skipped."""
    there = ~torch.isnan(values) & (bad == 0)
    counted = torch.stack([torch.where(there, values, 0.0), there.float()])
    gan.sums[name] = gan.sums[name] + counted if name in gan.sums else counted
    gan.skipped[name] = gan.skipped[name] + bad if name in gan.skipped else bad

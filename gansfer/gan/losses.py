"""WGAN-GP with drift, as PGGAN uses it, and the generator's loss under one or more critics.

Axes legend: B batch, C channels, H rows, W columns. Scores are [B], higher for what looks real.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from gansfer.gan.convolution import inputs_only
from gansfer.gan.layers import at_least_float32

Score = Callable[[Tensor, int], Tensor]
"""(images [sets * B, C, H, W], sets) -> scores [sets * B]; sets are minibatches in a row."""


class CriticLoss(NamedTuple):
    """The loss to go down on, and what to watch (all scalars; all but `loss` detached).

    `gradient_norm` is NaN where there was no penalty.
    """

    loss: Tensor
    real_score: Tensor
    fake_score: Tensor
    gradient_norm: Tensor


def critic_loss(
    score: Score,
    real_bchw: Tensor,
    fake_bchw: Tensor,
    mix_b111: Tensor,
    *,
    gradient_penalty: float,
    drift: float,
) -> CriticLoss:
    """Wasserstein loss with gradient penalty and drift.

    mean(D(fake) - D(real)) + gradient_penalty * mean((|grad D(mixed)| - 1)^2)
    + drift * mean(D(real)^2); the norm is over C * H * W, in float32, and its own gradient is
    zero, not NaN, where the gradient vanishes. Without penalty no gradient by an image is taken.

    Args:
        score: the critic.
        real_bchw: [B, C, H, W] reals.
        fake_bchw: [B, C, H, W] generated, detached.
        mix_b111: [B, 1, 1, 1] in [0, 1]: share of the fake in each mixed image.
        gradient_penalty: lambda; 0: no penalty.
        drift: weight of D(real)^2.

    Source: [10] of the paper, with the official PGGAN's drift.
    """
    real_score_b, fake_score_b = score(torch.cat([real_bchw, fake_bchw]), 2).chunk(2)
    loss_b = fake_score_b - real_score_b
    norm = torch.full((), torch.nan, device=loss_b.device)
    if gradient_penalty:
        norm_b = _gradient_norm(score, torch.lerp(real_bchw, fake_bchw, mix_b111))
        loss_b = loss_b + gradient_penalty * (norm_b - 1.0).square()
        norm = norm_b.detach().mean()
    loss_b = loss_b + drift * real_score_b.square()
    return CriticLoss(
        loss_b.mean(), real_score_b.detach().mean(), fake_score_b.detach().mean(), norm
    )


def _gradient_norm(score: Score, image_bchw: Tensor) -> Tensor:
    """Norm [B] of the score's gradient by each image, to be differentiated again."""
    image_bchw.requires_grad_()
    with inputs_only():
        (gradient_bchw,) = torch.autograd.grad(
            score(image_bchw, 1).sum(), image_bchw, create_graph=True
        )
    return torch.linalg.vector_norm(at_least_float32(gradient_bchw).flatten(1), dim=1)


def generator_loss(scores_b: Sequence[Tensor], weights: Sequence[float]) -> Tensor:
    """Minus the weighted sum of what each critic thinks of the generator's slices.

    Args:
        scores_b: [B] of each critic (phase 3: D_I and D_S, II.B).
        weights: of each critic.
    """
    losses = [-weight * score_b.mean() for score_b, weight in zip(scores_b, weights, strict=True)]
    return torch.stack(losses).sum()

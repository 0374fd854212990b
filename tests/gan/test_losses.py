"""WGAN-GP with drift against plain formulas and finite differences."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from gansfer.gan.losses import critic_loss, generator_loss
from gansfer.gan.networks import Discriminator


def _pair() -> tuple[Tensor, Tensor, Tensor]:
    random = torch.Generator().manual_seed(0)
    real, fake = (torch.randn(4, 2, 5, 5, generator=random, dtype=torch.float64) for _ in range(2))
    return real, fake, torch.tensor([0.0, 0.25, 0.5, 1.0], dtype=torch.float64).reshape(4, 1, 1, 1)


def test_a_quadratic_critic_by_hand() -> None:
    real, fake, mix = _pair()

    def score(image: Tensor, sets: int) -> Tensor:
        return image.square().sum((1, 2, 3))

    got = critic_loss(score, real, fake, mix, gradient_penalty=10.0, drift=0.001)
    # The gradient of a sum of squares is twice the image; norm over all channels and pixels.
    mixed = (1 - mix) * real + mix * fake
    norm_b = 2 * mixed.square().sum((1, 2, 3)).sqrt()
    real_b, fake_b = real.square().sum((1, 2, 3)), fake.square().sum((1, 2, 3))
    wanted = (fake_b - real_b).mean() + 10 * ((norm_b - 1) ** 2).mean() + 0.001 * (real_b**2).mean()
    assert got.loss.item() == pytest.approx(wanted.item())
    assert got.gradient_norm.item() == pytest.approx(norm_b.mean().item())
    assert got.real_score.item() == pytest.approx(real_b.mean().item())
    assert got.fake_score.item() == pytest.approx(fake_b.mean().item())


def test_gradients_by_weights_agree_with_finite_differences() -> None:
    torch.manual_seed(0)
    critic = Discriminator(2, 1, 5, (3,)).double()
    real, fake, mix = _pair()

    def loss() -> Tensor:
        return critic_loss(
            lambda image, sets: critic(image, sets=sets),
            real,
            fake,
            mix,
            gradient_penalty=10.0,
            drift=0.1,
        ).loss

    parameters = list(critic.parameters())
    gradients = torch.autograd.grad(loss(), parameters)
    for parameter, gradient in zip(parameters, gradients, strict=True):
        place = int(gradient.abs().argmax())
        flat = parameter.data.view(-1)
        kept, step = flat[place].item(), 1e-6
        flat[place] = kept + step
        above = loss().item()
        flat[place] = kept - step
        below = loss().item()
        flat[place] = kept
        assert gradient.flatten()[place].item() == pytest.approx(
            (above - below) / (2 * step), rel=1e-4, abs=1e-6
        )


def test_finite_where_the_gradient_vanishes() -> None:
    real, fake, mix = _pair()
    weight = torch.zeros(50, dtype=torch.float64, requires_grad=True)
    result = critic_loss(
        lambda image, sets: image.flatten(1) @ weight,
        real,
        fake,
        mix,
        gradient_penalty=10.0,
        drift=0.0,
    )
    assert result.loss.item() == pytest.approx(10.0)
    (gradient,) = torch.autograd.grad(result.loss, weight)
    assert torch.isfinite(gradient).all()


def test_reals_and_fakes_are_scored_as_sets_of_their_own() -> None:
    seen: list[tuple[int, int]] = []

    def score(image: Tensor, sets: int) -> Tensor:
        seen.append((len(image), sets))
        return image.sum((1, 2, 3))

    critic_loss(score, *_pair(), gradient_penalty=10.0, drift=0.001)
    assert seen == [(8, 2), (4, 1)]


def test_without_penalty_no_image_is_mixed_and_the_rest_of_the_loss_stays() -> None:
    scored: list[int] = []

    def score(image: Tensor, sets: int) -> Tensor:
        scored.append(len(image))
        return image.square().sum((1, 2, 3))

    real, fake, mix = _pair()
    got = critic_loss(score, real, fake, mix, gradient_penalty=0.0, drift=0.001)
    real_b, fake_b = real.square().sum((1, 2, 3)), fake.square().sum((1, 2, 3))
    wanted = (fake_b - real_b).mean() + 0.001 * (real_b**2).mean()
    assert got.loss.item() == pytest.approx(wanted.item())
    assert got.gradient_norm.isnan()
    assert scored == [8]


def test_generator_loss_weighs_its_critics() -> None:
    image, label = torch.tensor([1.0, 3.0]), torch.tensor([-4.0, 0.0])
    assert generator_loss([image], [1.0]).item() == -2.0
    assert generator_loss([image, label], [1.0, 0.5]).item() == pytest.approx(-2.0 + 1.0)

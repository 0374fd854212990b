"""Sampling from a generator."""

from __future__ import annotations

import pytest
import torch

from gansfer.gan.networks import Generator
from gansfer.gan.sample import draw_latents, sample
from gansfer.progress import Silent, StopRequested


class Stopping(Silent):
    def stopping(self) -> bool:
        return True


def test_latents_of_a_seed_do_not_depend_on_how_many_are_drawn() -> None:
    many = draw_latents(40, 6, seed=3)
    assert many.shape == (40, 6)
    assert torch.equal(draw_latents(7, 6, seed=3), many[:7])
    assert not torch.equal(draw_latents(40, 6, seed=4), many)
    assert draw_latents(0, 6, seed=3).shape == (0, 6)


def test_samples_are_what_the_generator_makes_of_each_latent() -> None:
    torch.manual_seed(0)
    generator = Generator(3, 2, 5, 6, (4, 4))
    latents = draw_latents(10, 6, seed=0)
    slices = sample(generator, latents, batch=4)
    assert slices.shape == (10, 3, 10, 10)
    assert slices.dtype == torch.float32
    assert not slices.requires_grad
    torch.testing.assert_close(slices[7], generator(latents[7:8])[0].detach())


def test_sampling_stops_when_asked() -> None:
    with pytest.raises(StopRequested):
        sample(Generator(3, 1, 5, 6, (4,)), draw_latents(2, 6, seed=0), watch=Stopping())

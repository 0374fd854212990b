"""D_C: what a window sees, and that a slice's gradient is as long as a window's."""

from __future__ import annotations

import torch

from gansfer.gan.networks import build_window_critic


def test_a_pixel_reaches_the_windows_around_it_only() -> None:
    critic = build_window_critic(3, seed=1)
    critic.score.bias.data.zero_()
    image_bchw = torch.randn(1, 3, 15, 15, generator=torch.Generator().manual_seed(0))
    other_bchw = image_bchw.clone()
    other_bchw[..., 7, 7] += 1.0
    sum_of_windows = torch.nn.functional.conv2d  # by hand, as a plain oracle

    def windows(picture_bchw: torch.Tensor) -> torch.Tensor:
        features = picture_bchw
        for layer in (critic.first, critic.second, critic.score):
            weight = layer.weight * layer.scale
            features = sum_of_windows(features, weight, layer.bias, padding=1)
            if layer is not critic.score:
                features = torch.where(features > 0, features, 0.2 * features)
        return features

    changed = (windows(other_bchw) - windows(image_bchw)).abs()[0, 0] > 1e-7
    rows, columns = (edge.tolist() for edge in torch.nonzero(changed).aminmax(dim=0))
    assert (rows, columns) == ([4, 4], [10, 10])
    expected = windows(image_bchw).sum() / 15
    assert torch.allclose(critic(image_bchw), expected, rtol=1e-4)


def test_a_slices_gradient_does_not_shrink_with_its_size() -> None:
    critic = build_window_critic(2, seed=3)
    lengths = []
    for side in (16, 64):
        random = torch.Generator().manual_seed(1)
        picture = torch.randn(1, 2, side, side, generator=random, requires_grad=True)
        (gradient,) = torch.autograd.grad(critic(picture).sum(), picture)
        lengths.append(gradient.norm().item())
    assert 0.8 < lengths[0] / lengths[1] < 1.25


def test_each_slice_is_scored_alone_and_the_seed_draws_the_weights() -> None:
    critic = build_window_critic(2, seed=3)
    pictures = torch.randn(4, 2, 8, 8, generator=torch.Generator().manual_seed(2))
    alone = torch.cat([critic(picture[None]) for picture in pictures])
    assert torch.allclose(critic(pictures, sets=2), alone, atol=1e-5)
    assert torch.equal(build_window_critic(2, seed=3)(pictures), critic(pictures))
    assert not torch.equal(build_window_critic(2, seed=4)(pictures), critic(pictures))

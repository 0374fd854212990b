"""Minibatches of real slices."""

from __future__ import annotations

import torch

from gansfer.gan.real_batches import downsample, draw_real_batch


def _random() -> torch.Generator:
    return torch.Generator().manual_seed(0)


def test_lower_levels_are_box_averages() -> None:
    slices = torch.arange(2 * 1 * 8 * 8, dtype=torch.float16).reshape(2, 1, 8, 8)
    reduced = downsample(slices, 2)
    assert reduced.dtype == torch.float16
    wanted = slices.float().reshape(2, 1, 2, 4, 2, 4).mean(dim=(3, 5))
    torch.testing.assert_close(reduced.float(), wanted)
    assert downsample(slices, 8) is slices


def test_slices_come_from_the_set_and_all_of_it() -> None:
    slices = torch.arange(5.0).reshape(5, 1, 1, 1).expand(5, 2, 4, 4)
    drawn = draw_real_batch([slices], 200, 1.0, _random())
    assert drawn.dtype == torch.float32
    assert set(drawn[:, 0, 0, 0].tolist()) == {0.0, 1.0, 2.0, 3.0, 4.0}


def test_two_sets_are_mixed_half_and_half_in_every_minibatch() -> None:
    labelled, selftaught = torch.zeros(3, 1, 4, 4), torch.ones(1000, 1, 4, 4).half()
    random = _random()
    for _ in range(5):
        drawn = draw_real_batch([labelled, selftaught], 8, 1.0, random)
        assert drawn[:, 0, 0, 0].tolist() == [0.0] * 4 + [1.0] * 4
    odd = draw_real_batch([labelled, selftaught], 7, 1.0, random)
    assert odd[:, 0, 0, 0].tolist() == [0.0] * 4 + [1.0] * 3


def test_reals_fade_like_the_networks() -> None:
    slices = torch.randn(1, 2, 4, 4, generator=_random())
    blurred = slices.reshape(1, 2, 2, 2, 2, 2).mean(dim=(3, 5))
    blurred = blurred.repeat_interleave(2, 2).repeat_interleave(2, 3)
    faded = draw_real_batch([slices], 3, 0.25, _random())
    torch.testing.assert_close(faded, (0.75 * blurred + 0.25 * slices).expand(3, -1, -1, -1))
    torch.testing.assert_close(draw_real_batch([slices], 1, 0.0, _random()), blurred)

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from gansfer.errors import UserError
from gansfer.progress import Silent, StopRequested
from gansfer.segmentation.deepmedic import DeepMedic, build
from gansfer.segmentation.predict import segment_slices, tile_starts
from gansfer.segmentation.presets import PRESETS
from gansfer.settings import SegmenterSettings


class Stopping(Silent):
    def stopping(self) -> bool:
        return True


def made(name: str) -> DeepMedic:
    return build(name, 4, generator=torch.Generator().manual_seed(0))


def segmented(net: DeepMedic, name: str, image_nhw: np.ndarray, **more: Any) -> np.ndarray:
    settings = SegmenterSettings.model_validate({"preset": name})
    return segment_slices(net.state_dict(), image_nhw, settings, 4, watch=Silent(), **more)


def test_tiles_are_the_official_ones() -> None:
    assert tile_starts(80, 29) == [0, 29, 51]
    assert tile_starts(58, 29) == [0, 29]
    assert tile_starts(29, 29) == tile_starts(20, 29) == [0]


@pytest.mark.parametrize("name", PRESETS)
@pytest.mark.parametrize("shape", [(3, 40, 33), (1, 20, 24)])
def test_every_tile_is_segmented_by_itself(name: str, shape: tuple[int, int, int]) -> None:
    """Against one pass for each tile over an image that is padded for good; later tiles win."""
    net = made(name)
    image_nhw = np.random.default_rng(0).normal(size=shape).astype(np.float32)
    edge = (net.preset.patch_px(29) - 29) // 2
    n_ambiguous = 0
    for image_hw, ours_hw in zip(image_nhw, segmented(net, name, image_nhw), strict=True):
        padded = np.pad(image_hw, 8, mode="reflect")
        corners = padded[[0, 0, -1, -1], [0, -1, 0, -1]].mean()
        padded = np.pad(padded, ((edge - 8, edge + 21),) * 2, constant_values=corners)
        logits_khw = torch.zeros(4, shape[1] + 29, shape[2] + 29)
        for top in tile_starts(shape[1], 29):
            for left in tile_starts(shape[2], 29):
                side = 29 + 2 * edge
                patch = torch.from_numpy(padded[top : top + side, left : left + side])
                with torch.no_grad():
                    logits_khw[:, top : top + 29, left : left + 29] = net(patch[None, None])[0]
        logits_khw = logits_khw[:, : shape[1], : shape[2]]
        best = logits_khw.sort(dim=0).values
        clear = (best[-1] - best[-2] > 1e-3).numpy()
        np.testing.assert_array_equal(ours_hw[clear], logits_khw.argmax(0).numpy()[clear])
        n_ambiguous += int((~clear).sum())
    assert ours_hw.dtype == np.uint8
    assert n_ambiguous < 0.01 * image_nhw.size


def test_batching_does_not_change_the_result() -> None:
    net = made("deepmedic-original")
    image_nhw = np.random.default_rng(0).normal(size=(5, 31, 40)).astype(np.float32)
    one = segmented(net, "deepmedic-original", image_nhw, batch_slices=1)
    three = segmented(net, "deepmedic-original", image_nhw, batch_slices=3)
    assert (one != three).mean() < 0.001


def test_stops_when_asked_and_refuses_slices_that_cannot_be_padded() -> None:
    net, settings = made("deepmedic"), SegmenterSettings()
    with pytest.raises(StopRequested):
        segment_slices(
            net.state_dict(), np.zeros((1, 40, 40), np.float32), settings, 4, watch=Stopping()
        )
    with pytest.raises(UserError, match="8 x 40 px, at least 9 wanted"):
        segment_slices(
            net.state_dict(), np.zeros((1, 8, 40), np.float32), settings, 4, watch=Silent()
        )

from __future__ import annotations

import subprocess
import sys

import pytest
import torch

from gansfer.segmentation.deepmedic import build
from gansfer.segmentation.presets import PRESETS


@pytest.mark.parametrize(("name", "n"), [("deepmedic", 715_001), ("deepmedic-original", 247_270)])
def test_parameters_are_the_official_number(name: str, n: int) -> None:
    assert PRESETS[name].n_parameters(n_classes=8) == n
    assert sum(p.numel() for p in build(name, 8).parameters()) == n


@pytest.mark.parametrize("name", PRESETS)
def test_parameters_of_other_sizes_are_those_of_the_network(name: str) -> None:
    counted = sum(p.numel() for p in build(name, 3, n_channels=2).parameters())
    assert PRESETS[name].n_parameters(n_classes=3, n_channels=2) == counted


def test_geometry_is_the_published_one() -> None:
    new, original = PRESETS["deepmedic"], PRESETS["deepmedic-original"]
    assert (new.segment_px, new.output_px) == (37, 21)
    assert (original.segment_px, original.output_px) == (25, 9)
    # The segment's centre must be the patch's, or mirroring would shift the label.
    assert new.patch_px(21) % 2 == original.patch_px(9) % 2 == 1


@pytest.mark.parametrize("name", PRESETS)
def test_flops_are_those_that_torch_counts(name: str) -> None:
    from torch.utils.flop_counter import FlopCounterMode

    preset, net = PRESETS[name], build(name, 8)
    patch = torch.zeros(1, 1, *2 * [preset.patch_px(preset.output_px)])
    with FlopCounterMode(display=False) as counter:
        net(patch)
    assert 3 * counter.get_total_flops() == preset.flops_per_segment(8)
    with FlopCounterMode(display=False) as counter:
        side_px = preset.patch_px(40)
        high = net.high(torch.zeros(1, 1, side_px, side_px))
        for _ in range(4):
            tile_px = preset.patch_px(29)
            net.join(high[..., :29, :29], torch.zeros(1, 1, tile_px, tile_px))
    assert counter.get_total_flops() == preset.flops_per_image(40, 40, 29, 8)


def test_presets_load_without_torch() -> None:
    code = "import sys, gansfer.segmentation.presets; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0

"""The yardstick of `speed` does what the project does, only slower; and the benchmarks run."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from gansfer.gan.losses import critic_loss
from gansfer.gan.networks import build_critic, build_generator
from gansfer.gan_settings import GanSettings
from gansfer.segmentation.deepmedic import build
from gansfer.segmentation.pathway import Block, TrainingStep
from gansfer.segmentation.presets import PRESETS
from tests.benchmarks import same_quality, speed
from tests.benchmarks.plain_training import PlainGan, classified, generated, scored

_SETTINGS = GanSettings(base_px=5, latent_size=6, fmaps=(8, 8, 4))


def test_the_plain_gan_is_the_projects_gan() -> None:
    generator, critic = build_generator(_SETTINGS, 20, 3, 1), build_critic(_SETTINGS, 20, 3, 2)
    drawn = torch.Generator().manual_seed(0)
    latent_bl = torch.randn(8, 6, generator=drawn)
    real_bchw = torch.randn(8, 3, 20, 20, generator=drawn)
    mix_b111 = torch.rand(8, 1, 1, 1, generator=drawn)
    for level in (0, 1, 2):
        fake_bchw = generator(latent_bl, level)
        plain_bchw = generated(generator, latent_bl, level)
        torch.testing.assert_close(plain_bchw, fake_bchw, rtol=1e-4, atol=1e-5)
        score_b = critic(fake_bchw, level)
        torch.testing.assert_close(scored(critic, fake_bchw, level), score_b, rtol=1e-4, atol=1e-5)
    plain = PlainGan(generator, critic, 2)
    ours = critic_loss(
        lambda images, sets: critic(images, 2, 1.0, sets),
        real_bchw,
        fake_bchw.detach(),
        mix_b111,
        gradient_penalty=10.0,
        drift=0.001,
    )
    torch.testing.assert_close(
        plain.critic_loss(real_bchw, fake_bchw.detach(), mix_b111), ours.loss, rtol=1e-4, atol=1e-5
    )
    before = [value.clone() for value in plain.generator.parameters()]
    plain.step(real_bchw)
    after = list(plain.generator.parameters())
    assert not any(torch.equal(a, b) for a, b in zip(before[:2], after[:2], strict=True))


@pytest.mark.parametrize("name", [*PRESETS])
def test_the_plain_segmenter_is_the_projects_segmenter(name: str) -> None:
    net = build(name, 3)
    for module in net.modules():
        if isinstance(module, Block):
            module.keep = 1.0  # their masks are drawn otherwise
    side_px = PRESETS[name].patch_px(PRESETS[name].output_px)
    patch_b1pp = torch.randn(2, 1, side_px, side_px, generator=torch.Generator().manual_seed(0))
    ours = net(patch_b1pp, TrainingStep(0, torch.Generator()))
    torch.testing.assert_close(classified(net, patch_b1pp), ours, rtol=1e-3, atol=1e-4)


def test_every_step_takes_its_turn(capsys: pytest.CaptureFixture[str]) -> None:
    results = speed.main(["--seconds", "0.01", "--only", "5 px", "original"])
    assert list(results) == ["5 px", "segmenter, deepmedic-original"]
    assert list(results["5 px"]) == ["plain", "float32", "bfloat16", "lazy"]
    for row in results.values():
        assert list(row)[:3] == ["plain", "float32", "bfloat16"]
        assert min(row.values()) > 0
    assert capsys.readouterr().out.count("(1.00x)") == 2


def test_qualities_are_compared_over_the_cells_of_two_runs(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, values in (("one", (0.1, 0.3)), ("other", (0.2, 0.6))):
        for seed, value in enumerate(values):
            cell = tmp_path / name / "synthetic" / f"seed-{seed}"
            cell.mkdir(parents=True)
            (cell / "quality.csv").write_text(
                "phase,measure,part,value,n\n"
                "0,sliced_wasserstein_20px,mr,9,4\n"
                f"1,sliced_wasserstein_20px,mr,{value},4\n"
                f"1,sliced_wasserstein_10px,mr,{value},4\n"
                "1,sliced_wasserstein_10px,caudate,,4\n"
            )
            phase = tmp_path / name / "gan" / f"seed-{seed}" / "phase-1"
            phase.mkdir(parents=True)
            losses = [0.0] * 18 + [value, value]
            lines = [json.dumps({"step": n, "loss_joint": loss}) for n, loss in enumerate(losses)]
            (phase / "log.jsonl").write_text("\n".join(lines))
    distance, loss = same_quality.main([str(tmp_path / "one"), str(tmp_path / "other")])
    assert (distance.measure, distance.phase) == (same_quality.MR, 1)
    assert (distance.one, distance.other) == ([0.1, 0.3], [0.2, 0.6])
    assert not distance.inside  # their mean is .4
    assert (loss.measure, loss.one) == ("loss of joint", [0.1, 0.3])
    assert capsys.readouterr().out.endswith("0 of 2 inside\n")
    with pytest.raises(SystemExit):
        same_quality.main([str(tmp_path / "one"), str(tmp_path / "neither")])

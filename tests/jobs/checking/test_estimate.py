"""What an experiment costs: the same numbers for `describe` and `submit`, without torch."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from gansfer.gan.networks import build_critic, build_generator, build_window_critic, flops_per_image
from gansfer.gan_settings import GanSettings
from jobs.checking.estimate import GpuHours, device_hours, gpu_hours_of
from tests.jobs.experiments import Trial


@pytest.mark.parametrize("fused", [False, True])
@pytest.mark.parametrize("level", [None, 0, 1])
def test_operations_are_those_that_torch_counts(fused: bool, level: int | None) -> None:
    gan = GanSettings(fmaps=(12, 8, 4), latent_size=16, fused_scaling=fused)
    with torch.device("meta"):
        generator, critic = build_generator(gan, 20, 3), build_critic(gan, 20, 3)
    assert gan.generator_flops(20, 3, level) == flops_per_image(generator, level)
    assert gan.critic_flops(20, 3, level) == flops_per_image(critic, level)


def test_operations_of_the_window_critic_are_those_that_torch_counts(tmp_path: Path) -> None:
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        build_window_critic(3)(torch.zeros(1, 3, 20, 20))
    assert GanSettings.window_critic_flops(20, 3) == counter.get_total_flops()
    on_cpu: dict[str, Any] = {"resources": {"train_gan": {"gpus": 0}}}
    hours = [
        device_hours(Trial.make(tmp_path / str(k), gan=gan, **on_cpu).plan.experiment)["train_gan"]
        for k, gan in enumerate(({}, {"phase_2": {"coupling_weight": 1.0}}))
    ]
    assert hours[1] > hours[0]


def test_gpu_hours_are_tasks_times_gpus_times_hours(tmp_path: Path) -> None:
    resources: dict[str, Any] = {"train_gan": {"gpus": 2, "time_h": 8}, "synthesise": {"gpus": 0}}
    plan = Trial.make(tmp_path, resources=resources, grid={"use_folds": [0, 1]}).plan
    gans = plan.of_stage("train_gan")
    a_task = device_hours(plan.experiment)["train_gan"]
    assert a_task > 0 and len(gans) == 2
    assert gpu_hours_of(plan, gans) == GpuHours(2 * 2 * a_task, 2 * 2 * 8)
    longer = plan.experiment.stage_resources("train_gan").model_copy(update={"time_h": 16})
    assert gpu_hours_of(plan, gans[:1], longer) == GpuHours(2 * a_task, 2 * 16)
    for stage in ("prepare", "synthesise", "propagate"):
        assert gpu_hours_of(plan, plan.of_stage(stage)) == GpuHours()


def test_twice_the_images_take_twice_the_time(tmp_path: Path) -> None:
    plan = Trial.make(tmp_path).plan
    before = device_hours(plan.experiment)
    images = plan.experiment.synthesis.slices_per_phase
    more = Trial.make(tmp_path, synthesis={"slices_per_phase": 2 * images}).plan
    after = device_hours(more.experiment)
    assert after["synthesise"] == pytest.approx(2 * before["synthesise"])
    assert after["train_gan"] == before["train_gan"]


def test_sums_are_of_each() -> None:
    total = sum([GpuHours(1.5, 4), GpuHours(0.25, 8)], GpuHours())
    assert dataclasses.astuple(total) == (1.75, 12)
    assert total.rounded() == {"expected": 1.75, "at_most": 12}
    assert total.shown == "1.8 GPU-hours expected, at most 12.0 GPU-hours"

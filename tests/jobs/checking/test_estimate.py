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
from jobs.checking.estimate import (
    GpuHours,
    basis,
    basis_in_words,
    device_hours,
    device_of,
    gpu_hours_of,
)
from jobs.checking.work import Kind, work_of
from jobs.experiment.model import Experiment
from tests.jobs.checking.measured import LEAST_S, STEP_S, measurement_of
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


def test_a_measured_experiment_takes_its_steps_times_their_seconds(tmp_path: Path) -> None:
    """By hand: TINY has minibatch 4, 20 images a fade and a level, 24 in phases 2 and 3."""
    experiment = Trial.make(tmp_path, synthesis={"slices_per_phase": 128}).plan.experiment
    hours = device_hours(experiment, measurement_of(experiment))
    steps = {5: 20 / 4, 10: 40 / 4, 20: 40 / 4}
    gan_s = sum(n * STEP_S["phase_1", side] for side, n in steps.items())
    gan_s += 24 / 4 * STEP_S["phase_2", 20] + 24 / 4 * STEP_S["phase_3", 20]
    assert hours["train_gan"] == pytest.approx(gan_s / 3600)
    assert hours["synthesise"] == pytest.approx(3 * 128 / 64 * STEP_S["synthesise", 20] / 3600)
    iterations = 2 * 40 / 10
    assert hours["train_segmenter"] == pytest.approx(
        iterations * STEP_S["train_segmenter", 25] / 3600
    )
    n_slices = (4 + 4) * 12  # subjects; 60 mm of slices 5 mm apart
    assert hours["segment_cohort"] == pytest.approx(
        n_slices / 8 * STEP_S["segment_cohort", 20] / 3600
    )


def test_no_measured_step_counts_as_shorter_than_it_was(tmp_path: Path) -> None:
    experiment = Trial.make(tmp_path).plan.experiment
    measured = measurement_of(experiment)
    slow = [
        one.model_copy(update={"seconds_a_step": 2.0}) if one.kind == "least" else one
        for one in measured.pieces
    ]
    noisy = measured.model_copy(update={"pieces": tuple(slow)})
    assert device_hours(experiment, noisy) == device_hours(experiment, measured)


def test_other_widths_take_time_by_their_operations(tmp_path: Path) -> None:
    experiment = Trial.make(tmp_path / "measured").plan.experiment
    measured = measurement_of(experiment)
    wider = Trial.make(tmp_path / "wide", gan={"fmaps": [8, 12, 6]}).plan.experiment

    def gan_flops(one: Experiment) -> dict[tuple[Kind, int], tuple[float, float]]:
        works = [work for work in work_of(one) if work.stage == "train_gan"]
        return {(work.kind, work.side_px): (work.flops_a_step, work.steps) for work in works}

    before, after = gan_flops(experiment), gan_flops(wider)
    expected_s = sum(
        steps * STEP_S[key] * flops / before[key][0] for key, (flops, steps) in after.items()
    )
    found_s = 3600 * device_hours(wider, measured)["train_gan"]
    assert found_s == pytest.approx(expected_s)
    assert found_s > 3600 * device_hours(experiment, measured)["train_gan"]


def test_narrower_networks_take_the_least_step(tmp_path: Path) -> None:
    experiment = Trial.make(tmp_path / "measured", gan={"fmaps": [64, 64, 64]}).plan.experiment
    tiny = Trial.make(tmp_path / "tiny", gan={"fmaps": [1, 1, 1], "latent_size": 1})
    hours = device_hours(tiny.plan.experiment, measurement_of(experiment))
    steps = (20 + 40 + 40 + 24 + 24) / 4
    assert hours["train_gan"] == pytest.approx(steps * LEAST_S / 3600)


def test_a_finer_level_goes_by_the_nearest_measured_one(tmp_path: Path) -> None:
    coarse = Trial.make(tmp_path / "coarse").plan.experiment
    fine = Trial.make(
        tmp_path / "fine",
        cohort={"roi": {"voxel_mm": 2.0}},
        gan={"fmaps": [4, 4, 4, 4]},
    ).plan.experiment
    measured = measurement_of(coarse)
    (top,) = (one for one in measured.pieces if (one.kind, one.side_px) == ("phase_1", 20))
    expected_s = 0.0
    for work in work_of(fine):
        if work.kind == "phase_1":
            nearest = min(work.side_px, 20)
            rate = next(
                one.flops_per_s
                for one in measured.pieces
                if (one.kind, one.side_px) == ("phase_1", nearest)
            )
            expected_s += work.steps * max(work.flops_a_step / rate, LEAST_S)
    assert measured.speed("phase_1", 40).flops_per_s == top.flops_per_s
    later_s = sum(
        work.steps * work.flops_a_step / measured.speed(work.kind, 40).flops_per_s
        for work in work_of(fine)
        if work.kind in ("phase_2", "phase_3")
    )
    found_s = 3600 * device_hours(fine, measured)["train_gan"]
    assert found_s == pytest.approx(expected_s + later_s)


def test_gpu_hours_are_of_the_measured_device(tmp_path: Path) -> None:
    plan = Trial.make(tmp_path).plan
    measured = measurement_of(plan.experiment, device="gpu")
    gans = plan.of_stage("train_gan")
    hours = gpu_hours_of(plan, gans, measurement=measured)
    assert hours.expected == len(gans) * device_hours(plan.experiment, measured)["train_gan"]
    assert hours.expected > gpu_hours_of(plan, gans).expected


@pytest.mark.parametrize(
    ("device", "gpus", "trains"),
    [
        ("auto", 1, "gpu"),
        ("auto", 0, "cpu_core"),
        ("cpu", 1, "cpu_core"),
        ("cuda", 0, "gpu"),
    ],
)
def test_what_trains_is_what_is_asked_for(
    tmp_path: Path, device: str, gpus: int, trains: str
) -> None:
    trial = Trial.make(tmp_path, run={"device": device}, resources={"train_gan": {"gpus": gpus}})
    assert device_of(trial.plan.experiment) == trains


def test_the_basis_is_said(tmp_path: Path) -> None:
    experiment = Trial.make(tmp_path, run={"device": "cuda"}).plan.experiment
    assert basis_in_words(basis(experiment), "float32") == (
        "device-hours assume 1.0e+14 operations a second on one gpu and at least 10 ms a step; "
        "measure one task before you trust them; gansfer bench measures this machine"
    )
    measured = basis(experiment, measurement_of(experiment, device="gpu", precision="bfloat16"))
    assert measured["measured"]["device"] == "gpu"
    words = "device-hours measured on Abacus 3 (attic, 2026-05-17{}) by gansfer bench"
    assert basis_in_words(measured, "bfloat16") == words.format("")
    assert basis_in_words(measured, "float32") == words.format(", in bfloat16")

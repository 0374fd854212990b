"""What an experiment costs: expected hours of a device, and GPU-hours at most. Loads without torch.

`gansfer describe` and `gansfer submit` give the same numbers, by the same function.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from gansfer.gan_settings import PHASES
from gansfer.segmentation.presets import PRESETS
from jobs.experiment.memory import n_images
from jobs.experiment.model import Experiment
from jobs.experiment.plan import Plan, Task
from jobs.experiment.resources import StageName, StageResources

Device = Literal["gpu", "cpu_core"]
# What one device is assumed to sustain (a GPU: an H100 with TF32 convolutions), and its least step.
# Eager kernels of 5 to 80 px cost about 10 ms a step on a GPU whatever their size.
ASSUMED_FLOPS_PER_S: dict[Device, float] = {"gpu": 1.0e14, "cpu_core": 4.0e10}
ASSUMED_STEP_S: dict[Device, float] = {"gpu": 0.010, "cpu_core": 0.0}
# A training step against one forward pass of the same network: forward, backward (2x).
_TRAIN = 3
# The gradient penalty differentiates through the critic's backward pass.
_PENALTY = 6


@dataclass(frozen=True)
class GpuHours:
    """GPU-hours of some tasks.

    Attributes:
        expected: at the assumed rate.
        at_most: every task uses its whole time limit, once.
    """

    expected: float = 0.0
    at_most: float = 0.0

    def __add__(self, other: GpuHours) -> GpuHours:
        return GpuHours(self.expected + other.expected, self.at_most + other.at_most)

    def rounded(self) -> dict[str, float]:
        """Plain numbers, for scripts."""
        return {"expected": round(self.expected, 2), "at_most": round(self.at_most, 2)}

    @property
    def shown(self) -> str:
        """For people."""
        return f"{self.expected:,.1f} GPU-hours expected, at most {self.at_most:,.1f} GPU-hours"


def gpu_hours_of(plan: Plan, tasks: Sequence[Task], ask: StageResources | None = None) -> GpuHours:
    """GPU-hours of tasks of one stage.

    Args:
        plan: whose tasks they are.
        tasks: of one stage.
        ask: what each asks of the scheduler; None: what the experiment says.
    """
    if not tasks:
        return GpuHours()
    stage = tasks[0].stage
    ask = ask or plan.experiment.stage_resources(stage)
    hours = device_hours(plan.experiment).get(stage, 0.0)
    n_gpus = len(tasks) * ask.gpus
    return GpuHours(n_gpus * hours, n_gpus * ask.time_h)


def device_of(experiment: Experiment) -> Device:
    """What trains: a GPU where one is asked for."""
    return "gpu" if experiment.stage_resources("train_gan").gpus else "cpu_core"


def device_hours(experiment: Experiment) -> dict[StageName, float]:
    """Expected hours of one device for one task of each stage whose networks cost the time."""
    device, segmenter = device_of(experiment), experiment.segmenter
    preset, n_classes, px = PRESETS[segmenter.preset], experiment.n_channels, experiment.slice_px
    generator = experiment.gan.generator_flops(px, experiment.n_channels)
    per_slice = preset.flops_per_image(px, px, segmenter.inference_output_px, n_classes)
    n_slices = n_images(experiment) * experiment.cohort.roi.shape_zhw[0]
    segments = segmenter.iterations * segmenter.batch_segments
    of_segments = (segments, segmenter.batch_segments, preset.flops_per_segment(n_classes))
    n_drawn = len(PHASES) * experiment.synthesis.slices_per_phase
    seconds: dict[StageName, float] = {
        "train_gan": _gan_seconds(experiment, device),
        "train_segmenter": _seconds(*of_segments, device),
        "synthesise": n_drawn * generator / ASSUMED_FLOPS_PER_S[device],
        "segment_cohort": n_slices * per_slice / ASSUMED_FLOPS_PER_S[device],
    }
    return {stage: value / 3600 for stage, value in seconds.items()}


def _gan_seconds(experiment: Experiment, device: Device) -> float:
    """Every step of a GAN's three phases."""
    gan, px, n_channels = experiment.gan, experiment.slice_px, experiment.n_channels
    seconds = 0.0
    for level, side in enumerate(gan.ladder_px(px)):
        images = gan.at_px(gan.phase_1.stable_images, side, "stable_images")
        if level:
            images += gan.at_px(gan.phase_1.fade_images, side, "fade_images")
        batch = gan.at_px(gan.minibatch, side, "minibatch")
        flops_g = gan.generator_flops(px, n_channels, level)
        flops_d = gan.critic_flops(px, n_channels, level)
        per_image = flops_g + 2 * _TRAIN * flops_d + _PENALTY * flops_d
        per_image += _TRAIN * (flops_g + flops_d)
        seconds += _seconds(images, batch, per_image, device)
    batch = gan.at_px(gan.minibatch, px, "minibatch")
    flops_g = gan.generator_flops(px, n_channels)
    image, label = (gan.critic_flops(px, n) for n in (1, n_channels - 1))
    for phase, critics in ((gan.phase_2, [image]), (gan.phase_3, [image, label])):
        if phase.coupling_weight > 0:
            critics.append(gan.window_critic_flops(px, n_channels))
        per_image = (1 + _TRAIN) * flops_g
        per_image += sum((2 * _TRAIN + _PENALTY + _TRAIN) * flops for flops in critics)
        seconds += _seconds(phase.images, batch, per_image, device)
    return seconds


def _seconds(images: int, batch: int, flops_an_image: float, device: Device) -> float:
    """Each step costs at least the device's least step, a critic's and a generator's."""
    steps = images / batch
    computed_s = images * flops_an_image / ASSUMED_FLOPS_PER_S[device]
    return max(computed_s, steps * 2 * ASSUMED_STEP_S[device])

"""`gansfer describe`: how large the networks are, and what an experiment will cost."""

from __future__ import annotations

from typing import Any

import torch
from rich.console import Console
from rich.table import Table

from gansfer.gan.networks import (
    Discriminator,
    Generator,
    build_critic,
    build_generator,
    flops_per_image,
    n_parameters,
)
from gansfer.segmentation.presets import PRESETS
from jobs.experiment.cohort_section import PropagationReferences
from jobs.experiment.memory import n_images, task_memory_gb
from jobs.experiment.model import Experiment
from jobs.experiment.plan import Plan
from jobs.experiment.resources import STAGES

# What one device is assumed to sustain (a GPU: an H100 with TF32 convolutions), and its least step.
# Eager kernels of 5 to 80 px cost about 10 ms a step on a GPU whatever their size.
ASSUMED_FLOPS_PER_S = {"gpu": 1.0e14, "cpu_core": 4.0e10}
ASSUMED_STEP_S = {"gpu": 0.010, "cpu_core": 0.0}
# A training step against one forward pass of the same network: forward, backward (2x).
_TRAIN = 3
# CPU-seconds that an atlas takes (SyN and its share of the fusion), by voxels of the region:
# measured at 1 mm, tests/benchmarks/propagation.py.
_ATLAS_S_A_VOXEL = 9.7 / (60 * 80 * 80)
# The gradient penalty differentiates through the critic's backward pass.
_PENALTY = 6


def describe_experiment(plan: Plan) -> dict[str, Any]:
    """Networks, tasks by stage, memory and estimated device-hours, as plain numbers."""
    experiment = plan.experiment
    gan, px = experiment.gan, experiment.slice_px
    n_structures = len(experiment.cohort.structures)
    with torch.device("meta"):  # shapes alone: no weight takes memory or is drawn
        networks: dict[str, Generator | Discriminator] = {
            "G": build_generator(gan, px, experiment.n_channels),
            "D": build_critic(gan, px, experiment.n_channels),
            "D_I": build_critic(gan, px, 1),
            "D_S": build_critic(gan, px, n_structures),
        }
    sizes = {
        name: {"parameters": n_parameters(network), "flops_per_image": flops_per_image(network)}
        for name, network in networks.items()
    }
    preset, tile_px = PRESETS[experiment.segmenter.preset], experiment.segmenter.inference_output_px
    sizes["segmenter"] = {
        "parameters": preset.n_parameters(1 + n_structures),
        "flops_per_image": preset.flops_per_image(px, px, tile_px, 1 + n_structures),
    }
    by_level = [
        (side, flops_per_image(networks["G"], level), flops_per_image(networks["D"], level))
        for level, side in enumerate(gan.ladder_px(px))
    ]
    device = "gpu" if experiment.stage_resources("train_gan").gpus else "cpu_core"
    hours = {
        "train_gan": _gan_hours(experiment, sizes, by_level, device),
        "train_segmenter": _segmenter_hours(experiment, device),
    }
    memory_gb = task_memory_gb(experiment)
    return {
        "experiment": experiment.name,
        "slice_px": px,
        "channels": experiment.n_channels,
        "networks": sizes,
        "stages": {
            stage: {
                "tasks": len(plan.of_stage(stage)),
                "memory_gb": round(memory_gb[stage], 2),
                "core_hours": round(_propagation_hours(experiment), 2)
                if stage == "propagate"
                else None,
                "device_hours_a_task": round(hours[stage], 3) if stage in hours else None,
                "device_hours": round(hours[stage] * len(plan.of_stage(stage)), 2)
                if stage in hours
                else None,
            }
            for stage in STAGES
        },
        "assumed": {
            "device": device,
            "flops_per_s": ASSUMED_FLOPS_PER_S[device],
            "least_step_s": ASSUMED_STEP_S[device],
        },
    }


def print_description(description: dict[str, Any], console: Console) -> None:
    """Show a description as two tables."""
    table = Table(title=f"{description['experiment']}: {description['slice_px']} px slices")
    for column in ("network", "parameters", "GFLOP an image"):
        table.add_column(column, justify="left" if column == "network" else "right")
    for name, size in description["networks"].items():
        gflop = f"{size['flops_per_image'] / 1e9:.3f}"
        table.add_row(name, f"{size['parameters']:,}", gflop)
    console.print(table)
    table = Table()
    for column in ("stage", "tasks", "GiB a task", "device-hours"):
        table.add_column(column, justify="left" if column == "stage" else "right")
    for stage, row in description["stages"].items():
        hours = row["device_hours"]
        shown = "small" if hours is None else f"{hours:.1f}"
        if row["core_hours"]:
            shown = f"{row['core_hours']:.1f} (CPU core)"
        table.add_row(stage, str(row["tasks"]), f"{row['memory_gb']:.1f}", shown)
    console.print(table)
    assumed = description["assumed"]
    console.print(
        f"device-hours assume {assumed['flops_per_s']:.1e} operations a second on one "
        f"{assumed['device'].replace('_', ' ')} and at least {assumed['least_step_s'] * 1e3:g} ms "
        "a step; measure one task before you trust them",
        highlight=False,
        soft_wrap=True,
    )


def _gan_hours(
    experiment: Experiment,
    sizes: dict[str, dict[str, int]],
    by_level: list[tuple[int, int, int]],
    device: str,
) -> float:
    """Hours of one GAN: every step of its three phases at the assumed rate."""
    gan, seconds = experiment.gan, 0.0
    for level, (side, flops_g, flops_d) in enumerate(by_level):
        images = gan.at_px(gan.phase_1.stable_images, side, "stable_images")
        if level:
            images += gan.at_px(gan.phase_1.fade_images, side, "fade_images")
        batch = gan.at_px(gan.minibatch, side, "minibatch")
        per_image = flops_g + 2 * _TRAIN * flops_d + _PENALTY * flops_d
        per_image += _TRAIN * (flops_g + flops_d)
        seconds += _seconds(images, batch, per_image, device)
    batch = gan.at_px(gan.minibatch, experiment.slice_px, "minibatch")
    flops = {name: size["flops_per_image"] for name, size in sizes.items()}
    for phase, critics in ((gan.phase_2, ("D_I",)), (gan.phase_3, ("D_I", "D_S"))):
        per_image = (1 + _TRAIN) * flops["G"]
        per_image += sum((2 * _TRAIN + _PENALTY + _TRAIN) * flops[name] for name in critics)
        seconds += _seconds(phase.images, batch, per_image, device)
    return seconds / 3600


def _propagation_hours(experiment: Experiment) -> float:
    """Hours of one CPU core for all references, and for the rival's test subjects."""
    references, rival = experiment.cohort.references, experiment.rival
    n_atlases = 0
    if isinstance(references, PropagationReferences):
        n_atlases += n_images(experiment) * references.atlases
    if rival is not None and rival[1]:
        # The largest training set is about all that the fold does not test on.
        n_test = -(-max(experiment.grid.label_counts) // (experiment.grid.folds - 1))
        n_atlases += n_test * sum(rival[1])
    z, h, w = experiment.cohort.roi.shape_zhw
    return n_atlases * z * h * w * _ATLAS_S_A_VOXEL / 3600


def _segmenter_hours(experiment: Experiment, device: str) -> float:
    settings = experiment.segmenter
    preset, n_classes = PRESETS[settings.preset], experiment.n_channels
    per_segment = preset.flops_per_segment(n_classes)  # forward and backward
    segments = settings.iterations * settings.batch_segments
    return _seconds(segments, settings.batch_segments, per_segment, device) / 3600


def _seconds(images: int, batch: int, flops_an_image: float, device: str) -> float:
    """Each step costs at least the device's least step, a critic's and a generator's."""
    steps = images / batch
    computed_s = images * flops_an_image / ASSUMED_FLOPS_PER_S[device]
    return max(computed_s, steps * 2 * ASSUMED_STEP_S[device])

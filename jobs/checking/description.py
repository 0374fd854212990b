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
    build_window_critic,
    flops_per_image,
    n_parameters,
)
from gansfer.segmentation.presets import PRESETS
from jobs.checking.estimate import (
    GpuHours,
    basis,
    basis_in_words,
    device_hours,
    gpu_hours_of,
)
from jobs.checking.measurement import Measurement
from jobs.experiment.cohort_section import PropagationReferences
from jobs.experiment.memory import n_images, task_memory_gb
from jobs.experiment.model import Experiment
from jobs.experiment.plan import Plan
from jobs.experiment.resources import STAGES

# CPU-seconds that an atlas takes (SyN and its share of the fusion), by voxels of the region:
# measured at 1 mm, tests/benchmarks/propagation.py.
_ATLAS_S_A_VOXEL = 9.7 / (60 * 80 * 80)


def describe_experiment(plan: Plan, measurement: Measurement | None = None) -> dict[str, Any]:
    """Networks, tasks by stage, memory and estimated device-hours, as plain numbers.

    Args:
        plan: whose they are.
        measurement: of a device of the kind that trains; None: its rates are assumed.
    """
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
    if gan.phase_2.coupling_weight > 0 or gan.phase_3.coupling_weight > 0:
        sizes["D_C"] = _window_critic_size(experiment)
    preset, tile_px = PRESETS[experiment.segmenter.preset], experiment.segmenter.inference_output_px
    sizes["segmenter"] = {
        "parameters": preset.n_parameters(1 + n_structures),
        "flops_per_image": preset.flops_per_image(px, px, tile_px, 1 + n_structures),
    }
    hours = device_hours(experiment, measurement)
    gpu_hours = {
        stage: gpu_hours_of(plan, plan.of_stage(stage), measurement=measurement) for stage in STAGES
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
                "gpu_hours": gpu_hours[stage].rounded(),
            }
            for stage in STAGES
        },
        "gpu_hours": sum(gpu_hours.values(), GpuHours()).rounded(),
        "precision": gan.precision,
        **basis(experiment, measurement),
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
    for column in ("stage", "tasks", "GiB a task", "device-hours", "GPU-hours", "at most"):
        table.add_column(column, justify="left" if column == "stage" else "right")
    for stage, row in description["stages"].items():
        hours = row["device_hours"]
        shown = "small" if hours is None else f"{hours:.1f}"
        if row["core_hours"]:
            shown = f"{row['core_hours']:.1f} (CPU core)"
        gpu = [f"{one:,.1f}" if one else "" for one in row["gpu_hours"].values()]
        table.add_row(stage, str(row["tasks"]), f"{row['memory_gb']:.1f}", shown, *gpu)
    console.print(table)
    console.print(GpuHours(**description["gpu_hours"]).shown, highlight=False)
    said = basis_in_words(description, description["precision"])
    console.print(said, highlight=False, soft_wrap=True)


def _window_critic_size(experiment: Experiment) -> dict[str, int]:
    """Of D_C, which is not grown and sees full slices alone."""
    with torch.device("meta"):
        parameters = n_parameters(build_window_critic(experiment.n_channels))
    flops = experiment.gan.window_critic_flops(experiment.slice_px, experiment.n_channels)
    return {"parameters": parameters, "flops_per_image": flops}


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

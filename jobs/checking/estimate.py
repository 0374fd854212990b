"""What an experiment costs: expected hours of a device, and GPU-hours at most. Loads without torch.

`gansfer describe` and `gansfer submit` give the same numbers, by the same function: at the rates
that `gansfer bench` has measured, or else at assumed ones.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from jobs.checking.measurement import Device, Measurement, Speed
from jobs.checking.work import Kind, work_of
from jobs.experiment.model import Experiment
from jobs.experiment.plan import Plan, Task
from jobs.experiment.resources import StageName, StageResources

# What one device is assumed to sustain (a GPU: an H100 with TF32 convolutions), and its least step.
# Eager kernels of 5 to 80 px cost about 10 ms a step on a GPU whatever their size.
ASSUMED_FLOPS_PER_S: dict[Device, float] = {"gpu": 1.0e14, "cpu_core": 4.0e10}
ASSUMED_STEP_S: dict[Device, float] = {"gpu": 0.010, "cpu_core": 0.0}


@dataclass(frozen=True)
class GpuHours:
    """GPU-hours of some tasks.

    Attributes:
        expected: at the measured rate, or the assumed one.
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


def gpu_hours_of(
    plan: Plan,
    tasks: Sequence[Task],
    ask: StageResources | None = None,
    measurement: Measurement | None = None,
) -> GpuHours:
    """GPU-hours of tasks of one stage.

    Args:
        plan: whose tasks they are.
        tasks: of one stage.
        ask: what each asks of the scheduler; None: what the experiment says.
        measurement: of a device of the kind that trains; None: rates are assumed.
    """
    if not tasks:
        return GpuHours()
    stage = tasks[0].stage
    ask = ask or plan.experiment.stage_resources(stage)
    hours = device_hours(plan.experiment, measurement).get(stage, 0.0)
    n_gpus = len(tasks) * ask.gpus
    return GpuHours(n_gpus * hours, n_gpus * ask.time_h)


def device_of(experiment: Experiment) -> Device:
    """What trains: what `run.device` says; where that is `auto`, a GPU where one is asked for."""
    if experiment.run.device != "auto":
        return "gpu" if experiment.run.device == "cuda" else "cpu_core"
    return "gpu" if experiment.stage_resources("train_gan").gpus else "cpu_core"


def device_hours(
    experiment: Experiment, measurement: Measurement | None = None
) -> dict[StageName, float]:
    """Expected hours of one device for one task of each stage whose networks cost the time.

    Args:
        experiment: whose tasks they are.
        measurement: of the device; None: rates are assumed, of the device that trains.
    """
    hours: dict[StageName, float] = {}
    for work in work_of(experiment):
        if measurement is None:
            speed = _assumed_speed(work.kind, device_of(experiment))
        else:
            speed = measurement.speed(work.kind, work.side_px)
        step_s = max(work.flops_a_step / speed.flops_per_s, speed.least_step_s)
        hours[work.stage] = hours.get(work.stage, 0.0) + work.steps * step_s / 3600
    return hours


def basis(experiment: Experiment, measurement: Measurement | None = None) -> dict[str, Any]:
    """What the estimate rests on, as plain numbers: `measured`, or else `assumed`."""
    if measurement is None:
        device = device_of(experiment)
        assumed = {
            "device": device,
            "flops_per_s": ASSUMED_FLOPS_PER_S[device],
            "least_step_s": ASSUMED_STEP_S[device],
        }
        return {"assumed": assumed}
    facts = {"device", "name", "host", "date", "experiment", "threads", "precision"}
    return {"measured": measurement.model_dump(mode="json", include=facts)}


def basis_in_words(stated: dict[str, Any], precision: str) -> str:
    """The same as a sentence.

    Args:
        stated: what `basis` gives.
        precision: of the experiment's GAN.
    """
    if "assumed" in stated:
        assumed = stated["assumed"]
        return (
            f"device-hours assume {assumed['flops_per_s']:.1e} operations a second on one "
            f"{assumed['device'].replace('_', ' ')} and at least "
            f"{assumed['least_step_s'] * 1e3:g} ms a step; measure one task before you trust them; "
            "gansfer bench measures this machine"
        )
    measured = stated["measured"]
    as_asked = precision in ("auto", measured["precision"])
    other = "" if as_asked else f", in {measured['precision']}"
    return (
        f"device-hours measured on {measured['name']} ({measured['host']}, "
        f"{measured['date'][:10]}{other}) by gansfer bench"
    )


def _assumed_speed(kind: Kind, device: Device) -> Speed:
    """A training step costs at least two of the device's least: a critic's and a generator's."""
    trains = kind not in ("synthesise", "segment_cohort")
    return Speed(ASSUMED_FLOPS_PER_S[device], 2 * ASSUMED_STEP_S[device] if trains else 0.0)

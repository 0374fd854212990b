"""Measure how fast this machine is at an experiment's own work, step by step, for `gansfer bench`.

Every step is the one that a task takes, on random slices: the phases' networks, schedules and
precision, the segmenter's preset and batch; where it would take minutes, on fewer slices. Steps of
all kinds take turns, so that a disturbance from outside falls on all of them, and the median of
each counts.

Axes legend: N slices, C channels, H W rows and columns, L latent.
"""

from __future__ import annotations

import platform
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from statistics import median
from typing import Literal

import numpy as np
import torch
from torch import Tensor

import gansfer
from gansfer.gan.networks import build_generator
from gansfer.gan.phases import phase_1_gan, phase_2_gan, phase_3_gan
from gansfer.gan.sample import draw_latents, sample
from gansfer.gan.schedule import (
    Schedule,
    Stretch,
    phase_1_schedule,
    phase_2_schedule,
    phase_3_schedule,
)
from gansfer.gan.steps import Gan, run_step
from gansfer.gan.training import begin_stretch
from gansfer.gan_settings import GanSettings
from gansfer.progress import Silent, Watch
from gansfer.segmentation.deepmedic import build
from gansfer.segmentation.patches import Pool
from gansfer.segmentation.predict import segment_slices
from gansfer.segmentation.train import training_step
from gansfer.training.precision import settled_precision
from jobs.checking.estimate import ASSUMED_FLOPS_PER_S
from jobs.checking.measurement import Device, MeasuredPiece, Measurement
from jobs.checking.work import SEGMENTED_AT_ONCE, Kind, Work, piece_name, work_of
from jobs.experiment.model import Experiment
from jobs.stages.context import chosen_device

Step = Callable[[], object]
_ROUNDS = 3  # so every step is timed three times at least
_SLICES = 64  # to learn from; how many there are costs no time
_LEAST_BATCH = 4
_LONGEST_STEP_S = 5.0  # at the assumed rate; the paper's networks would take a CPU ten minutes
_DEVICES: dict[str, Device] = {"cpu": "cpu_core", "cuda": "gpu"}
_MATMUL_SIDE = {"cpu": 1024, "cuda": 8192}
_COPIED_MB = {"cpu": 128, "cuda": 1024}
_COPY = "memory copy"


@dataclass(frozen=True)
class _Piece:
    """A step to be timed, and what it is."""

    kind: Kind
    side_px: int
    batch: int
    flops_a_step: float
    step: Step


def measure_machine(experiment: Experiment, *, budget_s: float, watch: Watch) -> Measurement:
    """Measure the device that tasks of the experiment would use here.

    Args:
        experiment: whose networks are measured, and whose number of threads.
        budget_s: seconds of timing, about; more where three steps of each kind take longer.
        watch: told of progress.

    Raises:
        UserError: CUDA is asked for and there is none, or slices are too small to be segmented.
    """
    device = chosen_device(experiment.run.device)
    with _threads(experiment.run.threads):
        pieces = {piece_name(one.kind, one.side_px): one for one in _pieces(experiment, device)}
        products = _products(device)
        source, target = (torch.empty(_COPIED_MB[device] << 18, device=device) for _ in range(2))
        times_s = timed(
            {
                **{_product_name(precision): step for precision, step in products.items()},
                _COPY: lambda: target.copy_(source),
                **{name: piece.step for name, piece in pieces.items()},
            },
            budget_s=budget_s,
            finish=torch.cuda.synchronize if device == "cuda" else _nothing,
            watch=watch,
        )
    product_gflop = 2 * _MATMUL_SIDE[device] ** 3 / 1e9
    return Measurement(
        device=_DEVICES[device],
        name=torch.cuda.get_device_name() if device == "cuda" else _cpu_name(),
        host=platform.node(),
        date=datetime.now(UTC).replace(microsecond=0),
        experiment=experiment.name,
        gansfer=gansfer.__version__,
        torch=torch.__version__,
        python=platform.python_version(),
        threads=experiment.run.threads,
        precision=settled_precision(experiment.gan.precision, device),
        matmul_gflop_per_s={
            precision: product_gflop / median(times_s[_product_name(precision)])
            for precision in products
        },
        copy_gb_per_s=2 * source.nbytes / 1e9 / median(times_s[_COPY]),
        pieces=tuple(
            MeasuredPiece(
                kind=piece.kind,
                side_px=piece.side_px,
                batch=piece.batch,
                flops_a_step=piece.flops_a_step,
                seconds_a_step=median(times_s[name]),
                timed_steps=len(times_s[name]),
            )
            for name, piece in pieces.items()
        ),
    )


def timed(
    steps: Mapping[str, Step],
    *,
    budget_s: float,
    finish: Callable[[], object],
    watch: Watch,
    clock: Callable[[], float] = time.perf_counter,
) -> dict[str, list[float]]:
    """Seconds of each step, in the order in which they were taken.

    Each is taken once without being timed. Then, in each of three rounds, every one has an equal
    share of the budget, and is taken once at least.

    Args:
        steps: what to time, by name.
        budget_s: seconds of all that is timed, about.
        finish: waits until the device has done what it was told.
        watch: told of progress.
        clock: gives seconds.
    """
    share_s = budget_s / (_ROUNDS * max(1, len(steps)))
    total, done = (1 + _ROUNDS) * len(steps), 0
    for name, step in steps.items():
        watch.report(done, total, "turns", f"warming up: {name}")
        step()
        done += 1
    finish()
    times_s: dict[str, list[float]] = {name: [] for name in steps}
    for _ in range(_ROUNDS):
        for name, step in steps.items():
            watch.report(done, total, "turns", name)
            spent_s = 0.0
            while True:
                start_s = clock()
                step()
                finish()
                times_s[name].append(clock() - start_s)
                spent_s += times_s[name][-1]
                if not spent_s < share_s:
                    break
            done += 1
    watch.report(done, total, "turns")
    return times_s


def _pieces(experiment: Experiment, device: str) -> Iterator[_Piece]:
    """The experiment's own work, and what a step of a GAN takes at least, by side."""
    px, n_channels = experiment.slice_px, experiment.n_channels
    batches = {(one.kind, one.side_px): _batch(one, device) for one in work_of(experiment)}
    gan = experiment.gan.model_copy(update={"minibatch": _minibatches(batches)})
    steps = _gan_steps(gan, px, n_channels, device) | _segmenter_steps(experiment, device)
    latents_nl = draw_latents(batches["synthesise", px], gan.latent_size, 0)
    generator = build_generator(gan, px, n_channels)
    steps["synthesise", px] = lambda: sample(generator, latents_nl, device=device)
    for work in work_of(experiment.model_copy(update={"gan": gan})):
        n = len(latents_nl) if work.kind == "synthesise" else work.batch
        flops = work.flops_a_step * n / work.batch
        yield _Piece(work.kind, work.side_px, n, flops, steps[work.kind, work.side_px])
    ones = (1,) * len(gan.ladder_px(px))
    least = gan.model_copy(update={"fmaps": ones, "minibatch": _LEAST_BATCH})
    steps = _first_phase_steps(least, _slices(px, n_channels), device)[1]
    for work in work_of(experiment.model_copy(update={"gan": least})):
        if work.kind == "phase_1":
            step = steps[work.kind, work.side_px]
            yield _Piece("least", work.side_px, work.batch, work.flops_a_step, step)


def _batch(work: Work, device: str) -> int:
    """Slices of a measured step: a task's, or fewer where its step would take minutes."""
    flops_per_s = ASSUMED_FLOPS_PER_S[_DEVICES[device]]
    most = int(_LONGEST_STEP_S * flops_per_s * work.batch / work.flops_a_step)
    return min(work.batch, max(_LEAST_BATCH, most))


def _minibatches(batches: Mapping[tuple[Kind, int], int]) -> dict[int, int]:
    """Of the GAN by side: the smallest of the phases there."""
    found: dict[int, int] = {}
    for (kind, side_px), n in batches.items():
        if kind.startswith("phase"):
            found[side_px] = min(n, found.get(side_px, n))
    return found


def _gan_steps(
    settings: GanSettings, px: int, n_channels: int, device: str
) -> dict[tuple[Kind, int], Step]:
    """A step of each level of phase 1, and of phases 2 and 3 where they are trained."""
    labelled_nchw = _slices(px, n_channels)
    images_n1hw, channels_nshw = labelled_nchw[:, :1], labelled_nchw[:, 1:]
    first, steps = _first_phase_steps(settings, labelled_nchw, device)
    weights = first.generator.state_dict()
    second = phase_2_gan(settings, weights, images_n1hw, labelled_nchw, seed=0, device=device)
    third = phase_3_gan(
        settings,
        weights,
        {name: critic.network.state_dict() for name, critic in second.critics.items()},
        images_n1hw,
        labelled_nchw,
        channels_nshw,
        seed=0,
        device=device,
    )
    phases: dict[Kind, tuple[Gan, Schedule]] = {
        "phase_2": (second, phase_2_schedule(settings, px)),
        "phase_3": (third, phase_3_schedule(settings, px)),
    }
    for kind, (gan, schedule) in phases.items():
        if schedule.stretches:
            steps[kind, px] = _gan_step(gan, schedule, _steady(schedule))
    return steps


def _first_phase_steps(
    settings: GanSettings, labelled_nchw: Tensor, device: str
) -> tuple[Gan, dict[tuple[Kind, int], Step]]:
    gan = phase_1_gan(settings, labelled_nchw, seed=0, device=device)
    schedule = phase_1_schedule(settings, labelled_nchw.shape[-1])
    return gan, {
        ("phase_1", stretch.px): _gan_step(gan, schedule, stretch)
        for stretch in schedule.stretches
        if not stretch.fades
    }


def _steady(schedule: Schedule) -> Stretch:
    """The longest stretch of those with the fewest updates in a cycle: after the warm-up."""
    return min(schedule.stretches, key=lambda one: (one.steps_per_cycle, -one.n_cycles))


def _gan_step(gan: Gan, schedule: Schedule, stretch: Stretch) -> Step:
    """The last step of a stretch, in which every critic learns and the generator too."""
    moment = schedule.at(stretch.first_step + stretch.n_steps - 1)
    real_sets = begin_stretch(gan, stretch)
    return lambda: run_step(gan, moment, real_sets)


def _segmenter_steps(experiment: Experiment, device: str) -> dict[tuple[Kind, int], Step]:
    """An iteration of training with its segments drawn, and some slices segmented."""
    settings, px, n_classes = experiment.segmenter, experiment.slice_px, experiment.n_channels
    random = np.random.default_rng(0)
    image_nhw = random.standard_normal((_SLICES, px, px), dtype=np.float32)
    label_nhw = random.integers(n_classes, size=image_nhw.shape, dtype=np.uint8)
    pool = Pool(image_nhw, label_nhw, np.arange(_SLICES))
    network = build(settings.preset, n_classes, generator=torch.Generator().manual_seed(0))
    weights, some_nhw = network.state_dict(), image_nhw[:SEGMENTED_AT_ONCE]
    return {
        ("train_segmenter", network.preset.segment_px): training_step(
            settings, pool, n_classes, seed=0, device=device
        ),
        ("segment_cohort", px): lambda: segment_slices(
            weights,
            some_nhw,
            settings,
            n_classes,
            watch=Silent(),
            device=device,
            batch_slices=SEGMENTED_AT_ONCE,
        ),
    }


def _products(device: str) -> dict[Literal["float32", "bfloat16"], Step]:
    """Square matrix products, in the precisions that the device has."""
    side = _MATMUL_SIDE[device]
    one = torch.rand(side, side, device=device, generator=torch.Generator(device).manual_seed(0))
    half = one.bfloat16()
    steps: dict[Literal["float32", "bfloat16"], Step] = {"float32": lambda: one @ one}
    try:
        half[:8, :8] @ half[:8, :8]
    except RuntimeError:
        return steps
    return {**steps, "bfloat16": lambda: half @ half}


def _product_name(precision: str) -> str:
    return f"matrix product, {precision}"


def _slices(px: int, n_channels: int) -> Tensor:
    """Random slices [N, C, H, H] in the range of encoded ones."""
    random = torch.Generator().manual_seed(0)
    return torch.rand(_SLICES, n_channels, px, px, generator=random) * 2 - 1


@contextmanager
def _threads(n: int) -> Iterator[None]:
    """As many threads as a task has."""
    before = torch.get_num_threads()
    torch.set_num_threads(n)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _cpu_name() -> str:
    """The CPU's model, as the system calls it."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    models = (line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    return next(models, "") or platform.processor() or platform.machine() or "CPU"


def _nothing() -> None:
    """A CPU has done what it was told."""

"""The steps that `gansfer bench` times: an experiment's own work, on random slices.

Every step is the one that a task takes: the phases' networks, schedules and precision, the
segmenter's preset and batch; where it would take minutes, on fewer slices.

Axes legend: N slices, C channels, H W rows and columns, L latent.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from gansfer.gan.networks import build_generator
from gansfer.gan.phases import Phase, phase_1, phase_2, phase_3
from gansfer.gan.sample import draw_latents, sample
from gansfer.gan.schedule import Schedule, Stretch
from gansfer.gan.steps import run_step
from gansfer.gan.training import begin_stretch
from gansfer.gan_settings import GanSettings
from gansfer.progress import Silent
from gansfer.segmentation.deepmedic import build
from gansfer.segmentation.patches import Pool
from gansfer.segmentation.predict import segment_slices
from gansfer.segmentation.train import training_step
from jobs.checking.estimate import ASSUMED_FLOPS_PER_S
from jobs.checking.measurement import DEVICES
from jobs.checking.work import SEGMENTED_AT_ONCE, Kind, Work, work_of
from jobs.experiment.model import Experiment

Step = Callable[[], object]
_SLICES = 64  # to learn from; how many there are costs no time
_LEAST_BATCH = 4
_LONGEST_STEP_S = 5.0  # at the assumed rate; the paper's networks would take a CPU ten minutes


@dataclass(frozen=True)
class Piece:
    """What is timed at once, and what it is: several steps where they differ in turn."""

    kind: Kind
    side_px: int
    batch: int
    flops_a_step: float
    step: Step
    n_steps: int = 1


def pieces_of(experiment: Experiment, device: str) -> Iterator[Piece]:
    """The experiment's own work, and what a step of a GAN takes at least, by side.

    Args:
        experiment: whose networks are built.
        device: "cpu" or "cuda": where.

    Raises:
        UserError: slices are too small to be segmented.
    """
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
        in_turn = gan.penalty_every if work.kind in ("phase_1", "phase_2", "phase_3") else 1
        step = steps[work.kind, work.side_px]
        yield Piece(work.kind, work.side_px, n, flops, step, in_turn)
    ones = (1,) * len(gan.ladder_px(px))
    least = gan.model_copy(update={"fmaps": ones, "minibatch": _LEAST_BATCH})
    steps = _ladder_steps(phase_1(least, _slices(px, n_channels), seed=0, device=device))
    for work in work_of(experiment.model_copy(update={"gan": least})):
        if work.kind == "phase_1":
            step = steps[work.kind, work.side_px]
            n, flops, in_turn = work.batch, work.flops_a_step, least.penalty_every
            yield Piece("least", work.side_px, n, flops, step, in_turn)


def _batch(work: Work, device: str) -> int:
    """Slices of a measured step: a task's, or fewer where its step would take minutes."""
    flops_per_s = ASSUMED_FLOPS_PER_S[DEVICES[device]]
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
    images_n1hw = labelled_nchw[:, :1]
    first = phase_1(settings, labelled_nchw, seed=0, device=device)
    weights = first.gan.generator.state_dict()
    second = phase_2(settings, weights, images_n1hw, labelled_nchw, seed=0, device=device)
    third = phase_3(
        settings,
        weights,
        {name: critic.network.state_dict() for name, critic in second.gan.critics.items()},
        images_n1hw,
        labelled_nchw,
        selftaught_nchw=labelled_nchw,
        seed=0,
        device=device,
    )
    steps = _ladder_steps(first)
    phases: dict[Kind, Phase] = {"phase_2": second, "phase_3": third}
    for kind, phase in phases.items():
        if phase.schedule.stretches:
            steps[kind, px] = _gan_step(phase, _steady(phase.schedule))
    return steps


def _ladder_steps(first: Phase) -> dict[tuple[Kind, int], Step]:
    """A step of each level of phase 1."""
    return {
        ("phase_1", stretch.px): _gan_step(first, stretch)
        for stretch in first.schedule.stretches
        if not stretch.fades
    }


def _steady(schedule: Schedule) -> Stretch:
    """The longest stretch of those with the fewest updates in a cycle: after the warm-up."""
    return min(schedule.stretches, key=lambda one: (one.steps_per_cycle, -one.n_cycles))


def _gan_step(phase: Phase, stretch: Stretch) -> Step:
    """Last steps of cycles, in which all learn: as many as there are from penalty to penalty."""
    first, length = stretch.first_step, stretch.steps_per_cycle
    moments = [
        phase.schedule.at(first + (cycle % stretch.n_cycles + 1) * length - 1)
        for cycle in range(phase.gan.penalty_every)
    ]
    real_sets = begin_stretch(phase.gan, stretch)

    def step() -> None:
        for moment in moments:
            run_step(phase.gan, moment, real_sets)

    return step


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


def _slices(px: int, n_channels: int) -> Tensor:
    """Random slices [N, C, H, H] in the range of encoded ones."""
    random = torch.Generator().manual_seed(0)
    return torch.rand(_SLICES, n_channels, px, px, generator=random) * 2 - 1

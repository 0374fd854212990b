"""What one task of each stage computes, in pieces whose steps are all alike. Loads without torch.

`estimate.py` adds up their time, `benchmark_steps.py` has one step of each to be timed.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from gansfer.gan_settings import PHASES, GanSettings, Phase2Settings, Phase3Settings
from gansfer.segmentation.presets import PRESETS
from jobs.experiment.memory import n_images
from jobs.experiment.model import Experiment
from jobs.experiment.resources import StageName

# "least" is no work: a step of phase 1 with networks of one feature map, which is all overhead.
Kind = Literal[
    "phase_1", "phase_2", "phase_3", "synthesise", "train_segmenter", "segment_cohort", "least"
]
SAMPLED_AT_ONCE = 64  # slices that a generator draws in one step of synthesis
SEGMENTED_AT_ONCE = 8  # slices that a segmenter is given in one step
# A training step against one forward pass of the same network: forward, backward (2x).
_TRAIN = 3
# The gradient penalty differentiates through the critic's backward pass.
_PENALTY = 6


@dataclass(frozen=True)
class Work:
    """A piece of one task's work.

    Attributes:
        kind: what its steps do.
        stage: whose task it is a piece of.
        side_px: side of the slices, or of a segmenter's training segments.
        batch: slices or segments of a step.
        flops_a_step: operations of a step, two per multiply-add of a convolution.
        steps: of one task; a share of a step where the last batch is not full.
    """

    kind: Kind
    stage: StageName
    side_px: int
    batch: int
    flops_a_step: float
    steps: float


def work_of(experiment: Experiment) -> list[Work]:
    """Every piece of the stages whose networks cost the time, each for one task.

    The extra updates of a critic in a warm-up, and what a fade costs beyond a step without one, are
    not counted.
    """
    segmenter, px = experiment.segmenter, experiment.slice_px
    preset, n_classes = PRESETS[segmenter.preset], experiment.n_channels
    n_drawn = len(PHASES) * experiment.synthesis.slices_per_phase
    n_slices = n_images(experiment) * experiment.cohort.roi.shape_zhw[0]
    drawn = experiment.gan.generator_flops(px, experiment.n_channels)
    per_segment = preset.flops_per_segment(n_classes)
    per_slice = preset.flops_per_image(px, px, segmenter.inference_output_px, n_classes)
    batch = segmenter.batch_segments
    return [
        *_first_phase(experiment),
        *_later_phases(experiment),
        _piece("synthesise", "synthesise", px, SAMPLED_AT_ONCE, drawn, n_drawn),
        _piece(
            "train_segmenter",
            "train_segmenter",
            preset.segment_px,
            batch,
            per_segment,
            segmenter.iterations * batch,
        ),
        _piece("segment_cohort", "segment_cohort", px, SEGMENTED_AT_ONCE, per_slice, n_slices),
    ]


def piece_name(kind: Kind, side_px: int) -> str:
    """What a table calls a piece: `phase 1, 20 px`."""
    if kind == "least":
        return f"least step, {side_px} px"
    return f"{kind.replace('_', ' ')}, {side_px} px"


def _first_phase(experiment: Experiment) -> Iterator[Work]:
    """Phase 1, level by level."""
    gan, px, n_channels = experiment.gan, experiment.slice_px, experiment.n_channels
    for level, side in enumerate(gan.ladder_px(px)):
        images = gan.at_px(gan.phase_1.stable_images, side, "stable_images")
        if level:
            images += gan.at_px(gan.phase_1.fade_images, side, "fade_images")
        flops_g = gan.generator_flops(px, n_channels, level)
        flops_d = gan.critic_flops(px, n_channels, level)
        per_image = _flops_an_image(gan, flops_g, [flops_d])
        batch = gan.at_px(gan.minibatch, side, "minibatch")
        yield _piece("phase_1", "train_gan", side, batch, per_image, images)


def _later_phases(experiment: Experiment) -> Iterator[Work]:
    """Phases 2 and 3, after their warm-ups; D_C where there is one."""
    gan, px, n_channels = experiment.gan, experiment.slice_px, experiment.n_channels
    batch = gan.at_px(gan.minibatch, px, "minibatch")
    flops_g = gan.generator_flops(px, n_channels)
    image, label = (gan.critic_flops(px, n) for n in (1, n_channels - 1))
    phases: list[tuple[Kind, Phase2Settings | Phase3Settings, list[int]]] = [
        ("phase_2", gan.phase_2, [image]),
        ("phase_3", gan.phase_3, [image, label]),
    ]
    for kind, phase, critics in phases:
        if phase.coupling_weight > 0:
            critics = [*critics, gan.window_critic_flops(px, n_channels)]
        per_image = _flops_an_image(gan, flops_g, critics)
        if phase.images:
            yield _piece(kind, "train_gan", px, batch, per_image, phase.images)


def _flops_an_image(gan: GanSettings, of_generator: int, of_critics: list[int]) -> float:
    """Critics learn from a real and a drawn slice, then the generator through them."""
    through_critics = 3 * _TRAIN + _PENALTY / gan.penalty_every
    return (1 + _TRAIN) * of_generator + through_critics * sum(of_critics)


def _piece(
    kind: Kind, stage: StageName, side_px: int, batch: int, flops_an_image: float, images: int
) -> Work:
    return Work(kind, stage, side_px, batch, batch * flops_an_image, images / batch)

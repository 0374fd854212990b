"""When a level grows, a block freezes and a critic learns: the three phases as data (II.B).

A phase is a row of stretches. Within a stretch everything is constant but the fade, which rises
evenly from 0 to 1. A stretch is made of cycles: one generator update and one or more critic
updates. A cycle is made of steps: in each, critics learn; in its last, the generator does too.

"Images" counts the slices shown for generator updates: cycles times minibatch. The critic's extra
updates of a warm-up are not counted.

Pure Python: no torch, no NumPy.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

from gansfer.gan_settings import GanSettings, Phase2Settings, Phase3Settings

JOINT = "joint"  # phase 1: all channels
IMAGE = "image"  # D_I: the MR channel
LABEL = "label"  # D_S: the structures' channels
COUPLING = "coupling"  # D_C: windows of all channels, where the settings ask for it
GENERATOR = "generator"


@dataclass(frozen=True)
class Stretch:
    """A part of a phase in which nothing but the fade changes.

    Attributes:
        n_cycles: generator updates.
        level: how far the networks have grown.
        px: side of the slices.
        minibatch: slices per update.
        trainable: names of the generator's parts that learn.
        critic_updates: updates of each critic in one cycle.
        fades: the newest level is fading in.
        resets_optimisers: the optimisers forget their moments at the start of the stretch.
        first_step: steps of the phase before this stretch.
        first_image: images of the phase before this stretch.
    """

    n_cycles: int
    level: int
    px: int
    minibatch: int
    trainable: frozenset[str]
    critic_updates: Mapping[str, int]
    fades: bool = False
    resets_optimisers: bool = False
    first_step: int = 0
    first_image: int = 0

    @property
    def steps_per_cycle(self) -> int:
        """Updates of the busiest critic in one cycle."""
        return max(self.critic_updates.values())

    @property
    def n_steps(self) -> int:
        """Steps of the whole stretch."""
        return self.n_cycles * self.steps_per_cycle


@dataclass(frozen=True)
class Moment:
    """What happens at one step.

    Attributes:
        stretch: the stretch that the step belongs to.
        cycle: cycles of the stretch before this one.
        images_seen: images of the phase before this cycle.
        alpha: weight of the newest level, 1 when nothing fades.
        critics: names of the critics that learn, and the updates of each in the stretch before.
        generator_learns: this is the last step of its cycle.
    """

    stretch: Stretch
    cycle: int
    images_seen: int
    alpha: float
    critics: Mapping[str, int]
    generator_learns: bool


@dataclass(frozen=True)
class Schedule:
    """A whole phase: its number, and its stretches in order."""

    phase: int
    stretches: tuple[Stretch, ...]

    @property
    def n_steps(self) -> int:
        """Steps of the phase."""
        return sum(stretch.n_steps for stretch in self.stretches)

    @property
    def n_images(self) -> int:
        """Images of the phase."""
        return sum(stretch.n_cycles * stretch.minibatch for stretch in self.stretches)

    @property
    def updates(self) -> dict[str, int]:
        """Planned updates of each network that learns, the generator's last."""
        total: Counter[str] = Counter()
        for stretch in self.stretches:
            for name, in_a_cycle in stretch.critic_updates.items():
                total[name] += stretch.n_cycles * in_a_cycle
        return {**total, GENERATOR: sum(stretch.n_cycles for stretch in self.stretches)}

    def at(self, step: int) -> Moment:
        """What happens at a step.

        Raises:
            IndexError: the phase has no such step.
        """
        for stretch in self.stretches:
            if stretch.first_step <= step < stretch.first_step + stretch.n_steps:
                return _moment(stretch, step - stretch.first_step)
        raise IndexError(f"step {step} of a phase of {self.n_steps} steps")


def _moment(stretch: Stretch, step_in_stretch: int) -> Moment:
    cycle, step_in_cycle = divmod(step_in_stretch, stretch.steps_per_cycle)
    steps_left = stretch.steps_per_cycle - step_in_cycle
    return Moment(
        stretch,
        cycle,
        images_seen=stretch.first_image + cycle * stretch.minibatch,
        alpha=cycle / stretch.n_cycles if stretch.fades else 1.0,
        critics={
            name: (cycle + 1) * n - steps_left
            for name, n in stretch.critic_updates.items()
            if n >= steps_left
        },
        generator_learns=steps_left == 1,
    )


def trainable_blocks(
    phase: int,
    images_seen: int,
    *,
    n_levels: int,
    frozen_top_blocks: int = 0,
    unfreeze_every_images: int = 1,
) -> frozenset[str]:
    """Names of the generator's parts that learn at a moment of a phase (II.B).

    Phase 1: everything. Phase 2: all blocks but the top ones; no toRGB. Phase 3: as phase 2, plus
    one more block after each `unfreeze_every_images`, the earliest frozen one first; toRGB, the
    paper's final layer, never.

    Args:
        phase: 1, 2 or 3.
        images_seen: images of this phase so far.
        n_levels: blocks of the generator.
        frozen_top_blocks: blocks frozen in phase 2, counted from the output.
        unfreeze_every_images: images between unfreezing one block and the next.

    Raises:
        ValueError: no such phase, or the frozen blocks leave none to learn.
    """
    blocks = [f"blocks.{level}" for level in range(n_levels)]
    if phase == 1:
        return frozenset(blocks) | {f"to_rgb.{level}" for level in range(n_levels)}
    if phase not in (2, 3):
        raise ValueError(f"phase {phase}: there are phases 1, 2 and 3")
    if frozen_top_blocks >= n_levels:
        raise ValueError(
            f"frozen_top_blocks is {frozen_top_blocks} of a generator of {n_levels} blocks; "
            f"phase 2 needs one to train: choose at most {n_levels - 1}"
        )
    n_trainable = n_levels - frozen_top_blocks
    if phase == 3:
        n_trainable += images_seen // unfreeze_every_images
    return frozenset(blocks[:n_trainable])


def phase_1_schedule(settings: GanSettings, slice_px: int) -> Schedule:
    """The ladder: each level but the first fades in, then trains on; minibatch by level.

    The optimisers are reset where a fade starts and where it ends (official PGGAN).

    Args:
        settings: the GAN's settings.
        slice_px: side of a full slice.

    Raises:
        ValueError: the settings have no ladder to `slice_px`, or no value for one of its sides.
    """
    ladder_px = settings.ladder_px(slice_px)
    stretches = []
    for level, px in enumerate(ladder_px):
        minibatch = settings.at_px(settings.minibatch, px, "gan.minibatch")
        lengths = [(False, settings.phase_1.stable_images, "gan.phase_1.stable_images")]
        if level > 0:
            lengths.insert(0, (True, settings.phase_1.fade_images, "gan.phase_1.fade_images"))
        stretches += [
            Stretch(
                n_cycles=_cycles(settings.at_px(images, px, name), minibatch),
                level=level,
                px=px,
                minibatch=minibatch,
                trainable=trainable_blocks(1, 0, n_levels=len(ladder_px)),
                critic_updates={JOINT: 1},
                fades=fades,
                resets_optimisers=True,
            )
            for fades, images, name in lengths
        ]
    return _in_a_row(1, stretches)


def phase_2_schedule(settings: GanSettings, slice_px: int) -> Schedule:
    """Early blocks under a new D_I, which is given a lead in the first cycles (II.B).

    Arguments and errors as of `phase_1_schedule` and `trainable_blocks`.
    """
    phase, level = settings.phase_2, len(settings.ladder_px(slice_px)) - 1
    minibatch = settings.at_px(settings.minibatch, slice_px, "gan.minibatch")
    n_cycles = _cycles(phase.images, minibatch)
    n_leading = min(phase.warmup_cycles, n_cycles)
    trainable = trainable_blocks(
        2, 0, n_levels=level + 1, frozen_top_blocks=phase.frozen_top_blocks
    )
    return _in_a_row(
        2,
        [
            Stretch(
                n,
                level,
                slice_px,
                minibatch,
                trainable,
                {IMAGE: updates, **_coupling(phase, updates)},
            )
            for n, updates in (
                (n_leading, phase.warmup_critic_updates),
                (n_cycles - n_leading, phase.critic_updates),
            )
        ],
    )


def phase_3_schedule(settings: GanSettings, slice_px: int) -> Schedule:
    """Frozen blocks unfreeze one by one under D_I and D_S; a new D_S is given a lead (II.B).

    Arguments and errors as of `phase_1_schedule` and `trainable_blocks`.
    """
    phase, level = settings.phase_3, len(settings.ladder_px(slice_px)) - 1
    minibatch = settings.at_px(settings.minibatch, slice_px, "gan.minibatch")
    n_cycles = _cycles(phase.images, minibatch)
    frozen = settings.phase_2.frozen_top_blocks
    unfreezes = [_cycles((k + 1) * phase.unfreeze_every_images, minibatch) for k in range(frozen)]
    edges = sorted({0, n_cycles, phase.label_warmup_cycles, *unfreezes})
    stretches = []
    for first, last in pairwise(edge for edge in edges if edge <= n_cycles):
        trainable = trainable_blocks(
            3,
            first * minibatch,
            n_levels=level + 1,
            frozen_top_blocks=frozen,
            unfreeze_every_images=phase.unfreeze_every_images,
        )
        leads = first < phase.label_warmup_cycles
        lead = phase.label_warmup_critic_updates if leads else 1
        is_kept = settings.phase_2.coupling_weight > 0  # as D_I is
        updates = {IMAGE: 1, LABEL: lead, **_coupling(phase, 1 if is_kept else lead)}
        stretches.append(Stretch(last - first, level, slice_px, minibatch, trainable, updates))
    return _in_a_row(3, stretches)


def _coupling(phase: Phase2Settings | Phase3Settings, updates: int) -> dict[str, int]:
    return {COUPLING: updates} if phase.coupling_weight > 0 else {}


def _cycles(images: int, minibatch: int) -> int:
    """Cycles that show at least this many images."""
    return -(-images // minibatch)


def _in_a_row(phase: int, stretches: Sequence[Stretch]) -> Schedule:
    """Give each stretch its place after those before it; empty ones are dropped."""
    placed: list[Stretch] = []
    step = image = 0
    for stretch in stretches:
        if stretch.n_cycles > 0:
            placed.append(replace(stretch, first_step=step, first_image=image))
            step += stretch.n_steps
            image += stretch.n_cycles * stretch.minibatch
    return Schedule(phase, tuple(placed))

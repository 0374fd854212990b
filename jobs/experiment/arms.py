"""The arms of the grid: what a segmenter is trained on, and its rival. Pure, as the plan is."""

from __future__ import annotations

from dataclasses import dataclass, replace

from gansfer.gan_settings import PHASES
from jobs.experiment.grid import real_per_synthetic
from jobs.experiment.model import Experiment

BASELINE = "baseline"
SYNTHETIC = "synthetic"
PROPAGATION = "propagation"
CLASSICAL = "classical"
SELF_TRAINING = "self-training"


@dataclass(frozen=True)
class Arm:
    """What a segmenter is trained on (III.E, Table I), or `propagation`, its rival (III.G).

    Attributes:
        name: folder name, such as `baseline`, `ratio-2to1`, `synthetic`, `p1`, `p1+`,
            `classical`, `self-training+ratio-2to1`.
        phases: GAN phases whose slices are in the synthetic pool; empty: real data only.
        ratio: real segments for each other one; None: one of the pools alone.
        deforms: slices, real and generated, are deformed as the experiment's `augmentation` says.
        teacher: name of the arm whose segmenter labels the unlabelled pool, which is among the
            other slices then; None: it is not.
    """

    name: str
    phases: tuple[int, ...] = ()
    ratio: str | None = None
    deforms: bool = False
    teacher: str | None = None

    @property
    def uses_real(self) -> bool:
        """Real labelled slices are in the pool."""
        return not self.phases or self.ratio is not None

    @property
    def real_per_synthetic(self) -> float | None:
        """The ratio as a number, or None."""
        return None if self.ratio is None else real_per_synthetic(self.ratio)


def arms_of(experiment: Experiment, fold: int, labels: int) -> tuple[Arm, ...]:
    """The arms of one fold and label count: baseline, ratios, synthetic only, ablation rows.

    Two rows of the ablation are arms of every cell: `P2&3` is `synthetic`, and `P2&3+` is the
    arm of the ablation's ratio.
    """
    arms = [*main_arms(experiment)]
    ablation = experiment.grid.table_i
    if ablation is not None and (fold, labels) == (ablation.fold, ablation.label_count):
        if (mixed := _ratio_arm(ablation.ratio)) not in arms:
            arms.append(mixed)
        for phase in PHASES:
            arms.append(Arm(f"p{phase}", (phase,)))
            arms.append(Arm(f"p{phase}+", (phase,), ablation.ratio))
    return tuple(arms)


def main_arms(experiment: Experiment) -> tuple[Arm, ...]:
    """The arms that every cell has. Synthetic slices are of phases 2 and 3 (IV.A)."""
    ratios = [_ratio_arm(ratio) for ratio in experiment.grid.run_ratios]
    return (Arm(BASELINE), *ratios, Arm(SYNTHETIC, (2, 3)), *_rival_arms(experiment))


def _rival_arms(experiment: Experiment) -> list[Arm]:
    """Each rival arm alone, then together with synthetic slices; none unless they are asked for.

    Where self-training has synthetic slices, its teacher has them, too.
    """
    grid, arms = experiment.grid, []
    if "classical" in grid.rival_arms:
        arms.append(Arm(CLASSICAL, deforms=True))
    if "self_training" in grid.rival_arms:
        arms.append(Arm(SELF_TRAINING, ratio=grid.self_training_ratio, teacher=BASELINE))
    if grid.rival_ratio is None:
        return arms
    mixed = _ratio_arm(grid.rival_ratio)
    together = [
        replace(
            arm,
            name=f"{arm.name}+{mixed.name}",
            phases=mixed.phases,
            ratio=mixed.ratio,
            teacher=None if arm.teacher is None else mixed.name,
        )
        for arm in arms
    ]
    return [*arms, *together]


def _ratio_arm(ratio: str) -> Arm:
    return Arm("ratio-" + ratio.replace(":", "to"), (2, 3), ratio)

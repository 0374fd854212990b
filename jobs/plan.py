"""The plan: an experiment becomes stages, stages become tasks. Pure: no disk, no SLURM, no torch.

A task is one cell of a stage. Its fingerprint covers exactly what it depends on: its identity, its
own settings and the fingerprints of the tasks it needs. So a changed setting changes the
fingerprints of its dependents and of nothing else.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from gansfer.cohort.splits import n_groups
from jobs.spec import STAGES, Experiment, StageName, real_per_synthetic

# Raised when the products of the same settings are no longer the same thing.
PRODUCT_FORMAT = 2

BASELINE = "baseline"
SYNTHETIC = "synthetic"


@dataclass(frozen=True)
class Arm:
    """What a segmenter is trained on (III.E, Table I).

    Attributes:
        name: folder name, such as `baseline`, `ratio-2to1`, `synthetic`, `p1`, `p1+`.
        phases: GAN phases whose slices are in the synthetic pool; empty: real data only.
        ratio: real segments for each synthetic one; None: one of the pools alone.
    """

    name: str
    phases: tuple[int, ...] = ()
    ratio: str | None = None

    @property
    def uses_real(self) -> bool:
        """Real labelled slices are in the pool."""
        return not self.phases or self.ratio is not None

    @property
    def real_per_synthetic(self) -> float | None:
        """The ratio as a number, or None."""
        return None if self.ratio is None else real_per_synthetic(self.ratio)


@dataclass(frozen=True)
class Cell:
    """Where in the grid a task stands; None: the task spans all of that axis."""

    seed: int | None = None
    fold: int | None = None
    labels: int | None = None
    group: int | None = None
    arm: Arm | None = None

    @property
    def parts(self) -> tuple[str, ...]:
        """Folder names of the cell, outermost first."""
        named = (
            None if self.seed is None else f"seed-{self.seed}",
            None if self.fold is None else f"fold-{self.fold}",
            None if self.labels is None else f"labels-{self.labels:02d}",
            None if self.group is None else f"group-{self.group}",
            None if self.arm is None else self.arm.name,
        )
        return tuple(part for part in named if part is not None)


@dataclass(frozen=True)
class Task:
    """One unit of work, with one folder of products.

    Attributes:
        stage: which function of `jobs/stages.py` runs it.
        cell: where in the grid.
        settings: every setting that its result depends on.
        needs: ids of the tasks whose products it reads.
        fingerprint: hash of all of the above, and of the needed tasks' fingerprints.
    """

    stage: StageName
    cell: Cell
    settings: dict[str, Any] = field(hash=False)
    needs: tuple[str, ...]
    fingerprint: str

    @property
    def id(self) -> str:
        """Unique in the experiment, such as `train_gan/seed-0/fold-0/labels-06/group-0`."""
        return "/".join((self.stage, *self.cell.parts))


@dataclass(frozen=True)
class Plan:
    """All tasks of an experiment, each after the tasks it needs."""

    experiment: Experiment
    tasks: tuple[Task, ...]

    @cached_property
    def by_id(self) -> dict[str, Task]:
        """Tasks by their id."""
        return {task.id: task for task in self.tasks}

    def of_stage(self, stage: str) -> tuple[Task, ...]:
        """The stage's tasks, in order."""
        return tuple(task for task in self.tasks if task.stage == stage)

    def arrays(self) -> list[tuple[StageName, int | None, tuple[Task, ...]]]:
        """Tasks as SLURM arrays: one for each stage and label count."""
        groups: dict[tuple[StageName, int | None], list[Task]] = {}
        for task in self.tasks:
            groups.setdefault((task.stage, task.cell.labels), []).append(task)
        return [(stage, labels, tuple(tasks)) for (stage, labels), tasks in groups.items()]


def make_plan(experiment: Experiment) -> Plan:
    """Every task of `experiment`, in an order in which they can run."""
    tasks: dict[str, Task] = {}
    for stage in STAGES:
        for cell, needs in _cells(experiment, stage, tuple(tasks)):
            settings = _settings(experiment, stage)
            if cell.arm is not None:
                settings["arm"] = {"phases": list(cell.arm.phases), "ratio": cell.arm.ratio}
            identity = [PRODUCT_FORMAT, stage, cell.parts, settings]
            hashed = json.dumps([*identity, [tasks[need].fingerprint for need in needs]])
            fingerprint = hashlib.sha256(hashed.encode()).hexdigest()
            task = Task(stage, cell, settings, needs, fingerprint)
            tasks[task.id] = task
    return Plan(experiment, tuple(tasks.values()))


def arms_of(experiment: Experiment, fold: int, labels: int) -> tuple[Arm, ...]:
    """The arms of one fold and label count: baseline, ratios, synthetic only, ablation rows.

    Two rows of the ablation are arms of every cell: `P2&3` is `synthetic`, and `P2&3+` is the
    arm of the ablation's ratio.
    """
    arms = [*main_arms(experiment)]
    ablation = experiment.grid.ablation
    if ablation is not None and (fold, labels) == (ablation.fold, ablation.label_count):
        if ablation.ratio not in experiment.grid.ratios:
            arms.append(_ratio_arm(ablation.ratio))
        for phase in (1, 2, 3):
            arms.append(Arm(f"p{phase}", (phase,)))
            arms.append(Arm(f"p{phase}+", (phase,), ablation.ratio))
    return tuple(arms)


def main_arms(experiment: Experiment) -> tuple[Arm, ...]:
    """The arms that every cell has. Synthetic slices are of phases 2 and 3 (IV.A)."""
    ratios = [_ratio_arm(ratio) for ratio in experiment.grid.ratios]
    return (Arm(BASELINE), *ratios, Arm(SYNTHETIC, (2, 3)))


def _ratio_arm(ratio: str) -> Arm:
    return Arm("ratio-" + ratio.replace(":", "to"), (2, 3), ratio)


def _cells(
    experiment: Experiment, stage: StageName, planned: tuple[str, ...]
) -> Iterator[tuple[Cell, tuple[str, ...]]]:
    """The stage's cells, each with the ids of the tasks that it needs."""
    grid = experiment.grid
    prepare = ("prepare",)
    if stage == "prepare":
        yield Cell(), ()
    elif stage == "aggregate":
        yield Cell(), planned
    elif stage == "segment_cohort":
        for seed in grid.seeds:
            for labels in grid.label_counts:
                for arm in main_arms(experiment):
                    folds = _candidate_analysis_folds(experiment)
                    models = (Cell(seed, fold, labels, arm=arm) for fold in folds)
                    needs = tuple("/".join(("train_segmenter", *m.parts)) for m in models)
                    yield Cell(seed, None, labels, arm=arm), prepare + needs
    else:
        for labels in grid.label_counts:
            for seed in grid.seeds:
                for fold in grid.run_folds:
                    yield from _fold_cells(experiment, stage, Cell(seed, fold, labels))


def _fold_cells(
    experiment: Experiment, stage: StageName, cell: Cell
) -> Iterator[tuple[Cell, tuple[str, ...]]]:
    assert cell.fold is not None and cell.labels is not None
    groups = [
        Cell(cell.seed, cell.fold, cell.labels, group)
        for group in range(n_groups(cell.labels, experiment.grid.group_size))
    ]
    if stage == "train_gan":
        for group in groups:
            yield group, ("prepare",)
    elif stage == "synthesise":
        for group in groups:
            yield group, ("prepare", "/".join(("train_gan", *group.parts)))
    else:
        synthetic = tuple("/".join(("synthesise", *group.parts)) for group in groups)
        for arm in arms_of(experiment, cell.fold, cell.labels):
            needs = ("prepare", *synthetic) if arm.phases else ("prepare",)
            yield Cell(cell.seed, cell.fold, cell.labels, arm=arm), needs


def _candidate_analysis_folds(experiment: Experiment) -> tuple[int, ...]:
    """Folds whose models may segment the full cohort: which one is known from the ages only."""
    chosen = experiment.grid.analysis_fold
    return experiment.grid.run_folds if chosen == "auto" else (chosen,)


def _settings(experiment: Experiment, stage: StageName) -> dict[str, Any]:
    """Every setting that the stage's own work depends on; what it needs brings its own."""
    grid = experiment.grid
    if stage == "prepare":
        drop = {"encoding", "exclude_test_from_unlabelled"}
        cohort = experiment.cohort.model_dump(mode="json", exclude=drop)
        seeded = experiment.cohort.images.kind == "phantom"
        return {"cohort": cohort} | ({"seed": experiment.seed} if seeded else {})
    if stage == "train_gan":
        keep = {"encoding", "exclude_test_from_unlabelled"}
        return {
            "seed": experiment.seed,
            "cohort": experiment.cohort.model_dump(mode="json", include=keep),
            "grid": {"folds": grid.folds, "group_size": grid.group_size},
            "gan": experiment.gan.model_dump(mode="json"),
        }
    if stage == "synthesise":
        return {"synthesis": experiment.synthesis.model_dump(mode="json")}
    if stage == "train_segmenter":
        return {
            "seed": experiment.seed,
            "grid": {"folds": grid.folds, "group_size": grid.group_size},
            "segmenter": experiment.segmenter.model_dump(mode="json"),
        }
    if stage == "segment_cohort":
        return {"grid": {"analysis_fold": grid.analysis_fold}}
    return {
        "analysis": experiment.analysis.model_dump(mode="json"),
        "grid": {"ablation": None if grid.ablation is None else grid.ablation.model_dump()},
    }

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
from jobs.experiment.arms import PROPAGATION, Arm, arms_of, main_arms
from jobs.experiment.cohort_section import (
    FolderReferences,
    NoReferences,
    PhantomImages,
    PropagationReferences,
)
from jobs.experiment.model import Experiment
from jobs.experiment.resources import STAGES, StageName

# Raised when the products of the same settings are no longer the same thing.
PRODUCT_FORMAT = 3


@dataclass(frozen=True)
class Cell:
    """Where in the grid a task stands; None: the task spans all of that axis."""

    seed: int | None = None
    fold: int | None = None
    labels: int | None = None
    group: int | None = None
    arm: Arm | None = None
    part: int | None = None

    @property
    def parts(self) -> tuple[str, ...]:
        """Folder names of the cell, outermost first."""
        named = (
            None if self.seed is None else f"seed-{self.seed}",
            None if self.fold is None else f"fold-{self.fold}",
            None if self.labels is None else f"labels-{self.labels:02d}",
            None if self.group is None else f"group-{self.group}",
            None if self.arm is None else self.arm.name,
            None if self.part is None else f"part-{self.part:03d}",
        )
        return tuple(part for part in named if part is not None)


@dataclass(frozen=True)
class Task:
    """One unit of work, with one folder of products.

    Attributes:
        stage: which function of `jobs/stages/dispatch.py` runs it.
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
            settings = _settings(experiment, stage, cell)
            if cell.arm is not None:
                settings |= _arm_settings(experiment, stage, cell.arm)
            identity = [PRODUCT_FORMAT, stage, cell.parts, settings]
            hashed = json.dumps([*identity, [tasks[need].fingerprint for need in needs]])
            fingerprint = hashlib.sha256(hashed.encode()).hexdigest()
            task = Task(stage, cell, settings, needs, fingerprint)
            tasks[task.id] = task
    return Plan(experiment, tuple(tasks.values()))


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
    elif stage == "propagate":
        yield from ((cell, prepare) for cell in _propagated_cells(experiment))
    elif stage == "segment_cohort":
        yield from ((cell, prepare + needs) for cell, needs in _cohort_cells(experiment))
    else:
        for labels in grid.label_counts:
            for seed in grid.seeds:
                for fold in grid.run_folds:
                    yield from _fold_cells(experiment, stage, Cell(seed, fold, labels))


def reference_tasks(experiment: Experiment) -> int:
    """Tasks that share the propagation of references; task i of n does images i, i + n, ...

    How many images a cohort has is known once its files are read, and the plan reads none: so the
    number of tasks is a setting, and those beyond the number of images have nothing to do. The
    built-in cohort's number is known.
    """
    cohort = experiment.cohort
    if not isinstance(cohort.references, PropagationReferences):
        return 0
    if isinstance(cohort.images, PhantomImages):
        return min(cohort.references.tasks, cohort.images.labelled + cohort.images.unlabelled)
    return cohort.references.tasks


def _propagated_cells(experiment: Experiment) -> Iterator[Cell]:
    """References of the pool in parts, and the rival's cells: of one seed, nothing is trained."""
    for part in range(reference_tasks(experiment)):
        yield Cell(part=part)
    if experiment.rival is not None:
        fold, label_counts = experiment.rival
        for labels in label_counts:
            yield Cell(experiment.grid.seeds[0], fold, labels, arm=Arm(PROPAGATION))


def _cohort_cells(experiment: Experiment) -> Iterator[tuple[Cell, tuple[str, ...]]]:
    """One model's cells over the full cohort: it may be any candidate fold's."""
    references = tuple(
        "/".join(("propagate", *Cell(part=part).parts))
        for part in range(reference_tasks(experiment))
    )
    folds = _candidate_analysis_folds(experiment)
    for seed in experiment.grid.seeds:
        for labels in experiment.grid.label_counts:
            for arm in main_arms(experiment):
                models = (Cell(seed, fold, labels, arm=arm) for fold in folds)
                needs = tuple("/".join(("train_segmenter", *model.parts)) for model in models)
                yield Cell(seed, None, labels, arm=arm), needs + references


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
            if arm.teacher is not None:
                teacher = Cell(cell.seed, cell.fold, cell.labels, arm=Arm(arm.teacher))
                needs += ("/".join((stage, *teacher.parts)),)
            yield Cell(cell.seed, cell.fold, cell.labels, arm=arm), needs


def _candidate_analysis_folds(experiment: Experiment) -> tuple[int, ...]:
    """Folds whose models may segment the full cohort: which one is known from the ages only."""
    chosen = experiment.grid.analysis_fold
    return experiment.grid.run_folds if chosen == "auto" else (chosen,)


def _arm_settings(experiment: Experiment, stage: StageName, arm: Arm) -> dict[str, Any]:
    """What an arm's tasks depend on beside their stage's settings; only what the arm uses."""
    own: dict[str, Any] = {"phases": list(arm.phases), "ratio": arm.ratio}
    settings: dict[str, Any] = {"arm": own}
    if arm.deforms:
        # Generated slices were not deformed when arms with them had True here.
        own["deforms"] = "all" if arm.phases else True
    if arm.teacher is not None:
        own["self_labelled"] = True
    if stage != "train_segmenter":
        return settings
    if arm.deforms:
        settings["augmentation"] = experiment.augmentation.model_dump(mode="json")
    if arm.teacher is not None:
        keep = {"exclude_test_from_unlabelled"}
        settings["cohort"] = experiment.cohort.model_dump(mode="json", include=keep)
    return settings


def _settings(experiment: Experiment, stage: StageName, cell: Cell) -> dict[str, Any]:
    """Every setting that the stage's own work depends on; what it needs brings its own."""
    grid = experiment.grid
    if stage == "prepare":
        return _cohort_settings(experiment)
    if stage == "train_gan":
        return _gan_settings(experiment)
    if stage == "synthesise":
        return {"synthesis": experiment.synthesis.model_dump(mode="json")}
    if stage == "train_segmenter":
        return {
            "seed": experiment.seed,
            "grid": {"folds": grid.folds, "group_size": grid.group_size},
            "segmenter": experiment.segmenter.model_dump(mode="json"),
        }
    if stage == "propagate":
        if cell.part is None:
            return {"seed": experiment.seed, "grid": {"folds": grid.folds}}
        references = experiment.cohort.references.model_dump(mode="json")
        return {"references": references | {"tasks": reference_tasks(experiment)}}
    if stage == "segment_cohort":
        return {"grid": {"analysis_fold": grid.analysis_fold}}
    ablation = grid.table_i
    return {
        "analysis": experiment.analysis.model_dump(mode="json"),
        "grid": {"ablation": None if ablation is None else ablation._asdict()},
    }


def _cohort_settings(experiment: Experiment) -> dict[str, Any]:
    drop = {"encoding", "exclude_test_from_unlabelled"}
    cohort = experiment.cohort.model_dump(mode="json", exclude=drop)
    if experiment.references_propagated:  # none is read
        cohort["references"] = NoReferences().model_dump()
    # Two settings are younger than cohorts that were prepared without them.
    given = experiment.cohort.references
    if isinstance(given, FolderReferences) and not given.resample:
        del cohort["references"]["resample"]
    if experiment.cohort.roi.slice_mm is None:
        del cohort["roi"]["slice_mm"]
    seeded = experiment.cohort.images.kind == "phantom"
    return {"cohort": cohort} | ({"seed": experiment.seed} if seeded else {})


def _gan_settings(experiment: Experiment) -> dict[str, Any]:
    gan, grid, keep = experiment.gan, experiment.grid, {"encoding", "exclude_test_from_unlabelled"}
    # A limit on failing updates changes no result of a phase that ends; copies follow below.
    drop = {"max_skipped_fraction", "labelled_copies"}
    if gan.penalty_every == 1:  # as GANs were planned before it could be another
        drop.add("penalty_every")
    settings: dict[str, Any] = {
        "seed": experiment.seed,
        "cohort": experiment.cohort.model_dump(mode="json", include=keep),
        "grid": {"folds": grid.folds, "group_size": grid.group_size},
        "gan": gan.model_dump(mode="json", exclude=drop),
    }
    for name, phase in (("phase_2", gan.phase_2), ("phase_3", gan.phase_3)):
        if phase.learning_rate is None:  # as GANs were planned before phases had rates
            del settings["gan"][name]["learning_rate"]
    if gan.labelled_copies > 0:  # else as GANs were planned before there were copies
        settings["gan"]["labelled_copies"] = gan.labelled_copies
        settings["augmentation"] = experiment.augmentation.model_dump(mode="json")
    return settings

"""What the stages read: the cohort, a cell's share of it, and what its GAN has left."""

from __future__ import annotations

import json

from safetensors.torch import load_file

from gansfer.cohort.encode import ChannelCode
from gansfer.cohort.shards import Cohort
from gansfer.cohort.splits import Fold, analysis_fold
from gansfer.cohort.training_data import (
    Roles,
    TrainingData,
    labelled_folds,
    roles_in_cell,
)
from gansfer.gan.networks import Generator, load_generator
from gansfer.synthesis.labelling import Labelling, labelling_of
from gansfer.training.checkpoint import CheckpointStore
from jobs.experiment.model import Experiment
from jobs.experiment.plan import Cell
from jobs.stages.context import Context
from jobs.store.scratch import cohort_folder


def read_cohort(context: Context) -> Cohort:
    """The prepared shards, from the node's own disk where the experiment asks for it."""
    return Cohort(cohort_folder(context.plan, context.storage))


def folds_of(experiment: Experiment, cohort: Cohort) -> tuple[Fold, ...]:
    """The experiment's folds over the cohort's labelled subjects."""
    return labelled_folds(cohort.subjects, experiment.grid.folds, experiment.seed)


def analysis_fold_of(experiment: Experiment, cohort: Cohort) -> tuple[int, str]:
    """The fold whose models segment the whole cohort (III.G), and why it is this one."""
    chosen = experiment.grid.analysis_fold
    if chosen != "auto":
        return chosen, f"fold {chosen} is set in the experiment (grid.analysis_fold)"
    folds = folds_of(experiment, cohort)
    return analysis_fold([folds[index] for index in experiment.grid.run_folds], cohort.subjects)


def roles_of(experiment: Experiment, cohort: Cohort, cell: Cell) -> Roles:
    """Who does what in a cell that has a fold and a label count, and perhaps a group."""
    assert cell.fold is not None and cell.labels is not None
    return roles_in_cell(
        cohort.subjects,
        folds_of(experiment, cohort)[cell.fold],
        cell.labels,
        cell.group,
        group_size=experiment.grid.group_size,
        exclude_test_from_pool=experiment.cohort.exclude_test_from_unlabelled,
    )


def training_data(context: Context, cohort: Cohort) -> TrainingData:
    """What the task's cell may learn from."""
    return TrainingData(cohort, roles_of(context.experiment, cohort, context.task.cell))


def read_code(context: Context) -> ChannelCode:
    """The channel code that the task's GAN was trained with."""
    (gan,) = context.files_needed("train_gan")
    return ChannelCode.from_dict(json.loads(gan.code.read_text(encoding="utf-8")))


def read_generator(context: Context, phase: int) -> Generator:
    """The generator that the task's GAN was after this phase, on the CPU."""
    (gan,) = context.files_needed("train_gan")
    experiment = context.experiment
    state = load_file(gan.phase(phase).generator)
    return load_generator(experiment.gan, experiment.slice_px, state)


def cell_labelling(context: Context, data: TrainingData, code: ChannelCode) -> Labelling:
    """How the generated slices of the task's cell are labelled."""
    return labelling_of(
        data.training_images_nzhw,
        data.training_labels_nzhw,
        data.known_images_khw,
        data.group,
        code,
        data.cohort.spacing_zhw_mm,
        context.experiment.synthesis,
    )


def checkpoints(context: Context, name: str, identity: str) -> CheckpointStore:
    """Checkpoints of one training run of the task, in a folder of this name."""
    every_s = context.experiment.run.checkpoint_every_s
    return CheckpointStore(context.files.folder / name, identity, every_s)

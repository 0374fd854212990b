"""What `gansfer.open` gives: a run, and the cells of its grid."""

from __future__ import annotations

import difflib
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import pandas as pd

from gansfer.cohort.shards import Cohort
from gansfer.cohort.training_data import Roles
from gansfer.errors import UserError
from gansfer.gan_settings import PHASES
from jobs.experiment.model import Experiment
from jobs.experiment.plan import Cell, Task, make_plan
from jobs.experiment.resources import StageName
from jobs.notebook.products import Products
from jobs.notebook.slice_generator import SliceGenerator
from jobs.notebook.trained_segmenter import TrainedSegmenter
from jobs.reporting.metric_files import read_metrics
from jobs.stages.inputs import roles_of
from jobs.store.opening import read_experiment
from jobs.store.storage import Storage

Device = Literal["auto", "cpu", "cuda"]
_DEVICES = ("auto", "cpu", "cuda")
_MOST_NAMED = 12
_log = logging.getLogger("gansfer")


def open_run(path: str | Path, device: Device = "auto") -> Run:
    """The run of an experiment's YAML file or of a run folder; errors as of `gansfer.open`."""
    given = Path(path).expanduser()
    if device not in _DEVICES:
        raise UserError(f"device {device!r}: expected one of {', '.join(_DEVICES)}")
    experiment = read_experiment(given)
    # Where the run was made there may have been another device than here; no task depends on it.
    settings = experiment.run.model_copy(update={"device": device})
    experiment = experiment.model_copy(update={"run": settings})
    return Run(Products(make_plan(experiment), Storage(experiment), given))


class Run:
    """One experiment, and what it has computed by now. Nothing is trained or changed."""

    def __init__(self, products: Products) -> None:
        self._products = products

    @property
    def experiment(self) -> Experiment:
        """Every setting, defaults included."""
        return self._products.plan.experiment

    @property
    def folder(self) -> Path:
        """The run folder."""
        return self._products.storage.root

    @property
    def cohort(self) -> Cohort:
        """The prepared cohort: `subjects`, `structures`, `images(ids)`, `labels(ids)`.

        Raises:
            UserError: it is not prepared yet, or its table is damaged.
        """
        return self._products.cohort()

    @property
    def cells(self) -> tuple[str, ...]:
        """Names of the planned cells, such as `seed-0/fold-0/labels-06`."""
        return tuple(self._planned())

    def cell(self, name: str) -> RunCell:
        """A cell of the grid.

        Args:
            name: such as `fold-0/labels-06`; a seed before it is optional: the first.

        Raises:
            UserError: there is no such cell.
        """
        whole = self.experiment.grid.with_seed(name)
        planned = self._planned()
        if whole not in planned:
            raise UserError(_unknown("cell", name, whole, list(planned)))
        return RunCell(whole, self._products, planned[whole])

    def metrics(self) -> pd.DataFrame:
        """Every number that is measured so far, a row each; says how many tasks are missing.

        Returns:
            Columns seed, fold, labels (label count), arm, set (`test`: the fold's test subjects;
            `cohort`: the analysis fold's models on the unlabelled), subject, age_years, cdr,
            structure, metric and value. Its unit is the metric's: `dsc` has none, names that end in
            `_mm` and `_mm3` say theirs. NaN: not defined, such as a distance to nothing.

        Raises:
            UserError: nothing is measured yet, or the table of subjects is damaged.
        """
        rows, missing = read_metrics(self._products.plan, self._products.storage)
        given = self._products.given
        if rows.empty:
            raise UserError(
                f"{given}: no metrics, for no segmenter is done; run gansfer run {given}, or "
                "gansfer submit on a cluster"
            )
        if missing:
            _log.warning(
                "%s: no metrics of %d tasks, such as %s; gansfer plan %s says why",
                *(given, len(missing), missing[0].id, given),
            )
        return rows

    def __repr__(self) -> str:
        return f"<Run {self._products.given}: {len(self.cells)} cells>"

    def _planned(self) -> dict[str, Cell]:
        tasks = self._products.plan.of_stage("train_segmenter")
        cells = [Cell(one.cell.seed, one.cell.fold, one.cell.labels) for one in tasks]
        return {"/".join(cell.parts): cell for cell in cells}


@dataclass(frozen=True, repr=False)
class RunCell:
    """One seed, fold and label count of a run.

    Attributes:
        name: such as `seed-0/fold-0/labels-06`.
    """

    name: str
    _products: Products
    _cell: Cell

    @property
    def arms(self) -> tuple[str, ...]:
        """Names of its segmenters, such as `baseline` and `ratio-2to1`."""
        return tuple(self._segmenters())

    @property
    def roles(self) -> Roles:
        """Ids of its test and training subjects and of its unlabelled pool.

        Raises:
            UserError: the cohort is not prepared yet.
        """
        return roles_of(self._products.plan.experiment, self._products.cohort(), self._cell)

    def generator(self, phase: int = PHASES[-1], group: int | None = None) -> SliceGenerator:
        """The generator of a GAN after a phase.

        Args:
            phase: 1, 2 or 3.
            group: which GAN, counted from 0, of a cell with several groups of subjects (III.F).

        Raises:
            UserError: no such phase or group, the GAN is not trained, or a product is damaged.
        """
        plan, storage = self._products.plan, self._products.storage
        if phase not in PHASES:
            raise UserError(f"phase {phase}: expected one of {', '.join(map(str, PHASES))}")
        tasks = self._own("synthesise")
        if group is None and len(tasks) > 1:
            raise UserError(
                f"{self.name}: has {len(tasks)} GANs, one for each group of labelled subjects; "
                f"give group=0 to {len(tasks) - 1}"
            )
        if group is not None and not 0 <= group < len(tasks):
            raise UserError(f"{self.name}: no group {group}, expected 0 to {len(tasks) - 1}")
        task = tasks[group or 0]
        cohort = self._products.cohort()
        (gan,) = (plan.by_id[need] for need in task.needs if need.startswith("train_gan/"))
        files = storage.files(gan)
        self._products.check(gan, files.code, files.phase(phase).generator)
        return SliceGenerator(self._products.context(task), cohort, phase)

    def segmenter(self, arm: str) -> TrainedSegmenter:
        """The segmenter of an arm.

        Args:
            arm: one of `arms`.

        Raises:
            UserError: no such arm, it is not trained, or the model is damaged.
        """
        segmenters = self._segmenters()
        if arm not in segmenters:
            raise UserError(f"{self.name}: " + _unknown("arm", arm, arm, list(segmenters)))
        task, cohort = segmenters[arm], self._products.cohort()
        self._products.check(task, self._products.storage.files(task).model)
        return TrainedSegmenter(self._products.context(task), cohort)

    def __repr__(self) -> str:
        return f"<RunCell {self.name}: {', '.join(self.arms)}>"

    def _own(self, stage: StageName) -> list[Task]:
        tasks = self._products.plan.of_stage(stage)
        return [task for task in tasks if task.id.startswith(f"{stage}/{self.name}/")]

    def _segmenters(self) -> dict[str, Task]:
        own = self._own("train_segmenter")
        return {task.cell.arm.name: task for task in own if task.cell.arm is not None}


def _unknown(what: str, given: str, whole: str, names: Sequence[str]) -> str:
    """One line on a name that is not there: the nearest first."""
    near = difflib.get_close_matches(whole, names, n=_MOST_NAMED, cutoff=0.0)
    more = f" and {len(names) - len(near)} more" if len(names) > len(near) else ""
    return f"no {what} {given!r}, expected one of {', '.join(near)}{more}"

"""What `gansfer export` hands on: one cell's real and synthetic labelled slices, for use elsewhere.

Formats: `nnunet` (export_nnunet.py), `nifti` and `png` (export_stacks.py). A folder is whole or
absent: it is written aside and renamed.

Legend: Z slices, H W rows and columns, K synthetic slices.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields

from gansfer.cohort.shards import Cohort
from gansfer.errors import UserError
from gansfer.export.cell import ExportedCell, RealCase, SyntheticPart
from gansfer.synthesis.synthetic_sets import SyntheticSet, read_synthetic
from jobs.experiment.plan import Cell, Plan, Task
from jobs.stages.inputs import roles_of
from jobs.store.ledger import Ledger
from jobs.store.storage import Storage


def cell_to_export(
    plan: Plan, storage: Storage, where: str, phases: Sequence[int], limit: int | None
) -> ExportedCell:
    """Read one cell's real and synthetic slices.

    Args:
        plan: the experiment's tasks.
        storage: where their products are.
        where: such as `fold-0/labels-06`; a seed before it and a group after it are optional.
        phases: GAN phases whose kept slices are wanted.
        limit: synthetic slices of each group and phase at most; None: all.

    Raises:
        UserError: there is no such cell, or its slices are not made yet.
    """
    tasks = _tasks(plan, where)
    ledger = Ledger(plan, storage)
    for task in tasks:
        if not ledger.done(task):
            raise UserError(
                f"--cell {where}: {task.id} is {ledger.finding(task).state}, expected done; "
                "run the experiment up to the stage synthesise first"
            )
    cell = tasks[0].cell
    whole = Cell(cell.seed, cell.fold, cell.labels)
    cohort = Cohort(storage.cohort)
    roles = roles_of(plan.experiment, cohort, whole)
    return ExportedCell(
        name="_".join((*whole.parts, *(() if len(tasks) > 1 else _group_of(where)))),
        structures=cohort.structures,
        spacing_zhw_mm=cohort.spacing_zhw_mm,
        ras_from_zhw=cohort.ras_from_zhw,
        training=_cases(cohort, roles.training_ids),
        test=_cases(cohort, roles.test_ids),
        synthetic=[
            SyntheticPart(
                task.cell.group or 0,
                phase,
                _first(read_synthetic(storage.files(task).slices(phase)), limit),
            )
            for task in tasks
            for phase in phases
        ],
    )


def _tasks(plan: Plan, where: str) -> list[Task]:
    wanted = plan.experiment.grid.with_seed(where)
    all_tasks = plan.of_stage("synthesise")
    tasks = [task for task in all_tasks if f"{'/'.join(task.cell.parts)}/".startswith(f"{wanted}/")]
    cells = {(task.cell.seed, task.cell.fold, task.cell.labels) for task in tasks}
    if len(cells) != 1:
        there = dict.fromkeys("/".join(task.cell.parts[:3]) for task in all_tasks)
        found = "no such cell" if not cells else f"{len(cells)} cells"
        raise UserError(f"--cell {where}: {found}, expected one of {', '.join(there)}")
    return tasks


def _group_of(where: str) -> tuple[str, ...]:
    last = where.strip("/").split("/")[-1]
    return (last,) if last.startswith("group-") else ()


def _cases(cohort: Cohort, ids: Sequence[str]) -> list[RealCase]:
    images, labels = cohort.images(ids), cohort.labels(ids)
    return [RealCase(*one) for one in zip(ids, images, labels, strict=True)]


def _first(slices: SyntheticSet, limit: int | None) -> SyntheticSet:
    return SyntheticSet(**{f.name: getattr(slices, f.name)[:limit] for f in fields(slices)})

"""Label maps that a run has predicted already, as files: the cohort's, or a fold's test subjects'.

They lie in the region of interest of the common space, and so do their volumes: the run keeps no
label map on an image's own grid.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from gansfer.application.label_numbers import label_numbers, numbered, volumes_mm3
from gansfer.application.outputs import write_label_map, write_number_table, write_volume_table
from gansfer.cohort.shards import Cohort
from gansfer.errors import UserError
from gansfer.evaluation.predictions import read_predictions
from gansfer.export.cell import new_folder
from jobs.application.packaging import protocol_of
from jobs.experiment.plan import Plan, Task
from jobs.store.integrity import withdraw_damaged
from jobs.store.ledger import Ledger
from jobs.store.storage import Storage

_STAGES = ("segment_cohort", "train_segmenter")
_MOST_NAMED = 12


def export_predictions(plan: Plan, storage: Storage, where: str, out: Path) -> tuple[Path, int]:
    """Write the predictions of a cell as NIfTI in the protocol's numbers, with their volumes.

    Args:
        plan: the experiment's tasks.
        storage: where their products are.
        where: such as `labels-06/ratio-2to1` (the whole cohort) or `fold-0/labels-06/ratio-2to1`
            (the fold's test subjects); a seed before it is optional.
        out: the cell's folder is created in it.

    Returns:
        The cell's folder, and its number of label maps.

    Raises:
        UserError: there is no such cell, it is not done, or the folder is there already.
    """
    task = _task(plan, where)
    finding = Ledger(plan, storage).finding(task)
    if finding.state != "done":
        raise UserError(
            f"--cell {where}: {task.id} is {finding.state}, expected done; run the experiment up "
            f"to the stage {task.stage} first"
        )
    files = storage.files(task)
    said = withdraw_damaged(storage, task, files.relative(files.predictions))
    if said is not None:
        raise UserError(said)
    cohort, folder = Cohort(storage.cohort), out / "_".join(task.cell.parts)
    numbers = label_numbers(protocol_of(plan.experiment.cohort), cohort.structures)
    # Columns first, as readers of NIfTI expect; the affine's columns go with them.
    affine_ras = np.asarray(cohort.ras_from_zhw[:, [2, 1, 0, 3]], np.float64)
    rows = []
    with new_folder(folder) as aside:
        for subject_id, label_zhw in read_predictions(files.predictions).items():
            label_xyz = np.ascontiguousarray(label_zhw.transpose(2, 1, 0))
            written_xyz = numbered(label_xyz, cohort.structures, numbers, affine_ras)
            write_label_map(aside / f"{subject_id}_dseg.nii.gz", written_xyz, affine_ras)
            rows.append((subject_id, volumes_mm3(written_xyz, numbers, affine_ras)))
        write_number_table(aside, numbers)
        write_volume_table(aside, numbers, rows)
    return folder, len(rows)


def _task(plan: Plan, where: str) -> Task:
    wanted = plan.experiment.grid.with_seed(where)
    for stage in _STAGES:
        if (task := plan.by_id.get(f"{stage}/{wanted}")) is not None:
            return task
    there = ["/".join(one.cell.parts) for stage in _STAGES for one in plan.of_stage(stage)]
    more = f" and {len(there) - _MOST_NAMED} more" if len(there) > _MOST_NAMED else ""
    raise UserError(
        f"--cell {where}: no predictions of this cell, expected one of "
        f"{', '.join(there[:_MOST_NAMED])}{more}"
    )

"""The stage `segment_cohort`: the analysis fold's model on every image of the cohort (III.G)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from safetensors.torch import load_file

from gansfer.cohort.shards import Cohort
from gansfer.quality.failures import segmenter_failure
from jobs.experiment.plan import Cell
from jobs.stages.context import Context, Outcome
from jobs.stages.inputs import analysis_fold_of, read_cohort
from jobs.stages.measured_labels import write_results
from jobs.stages.propagate import propagated_references
from jobs.stages.segmenting import segment_subjects
from jobs.store.partial_results import remove_parts

Labels = npt.NDArray[np.uint8]


def segment_cohort(context: Context) -> Outcome:
    """The analysis fold's model segments every image of the cohort (III.G)."""
    cell, experiment, cohort = context.task.cell, context.experiment, read_cohort(context)
    fold, why = analysis_fold_of(experiment, cohort)
    model_cell = Cell(cell.seed, fold, cell.labels, arm=cell.arm)
    model = context.plan.by_id["/".join(("train_segmenter", *model_cell.parts))]
    state = load_file(context.storage.files(model).model)
    ids = [subject.id for subject in cohort.subjects if subject.in_pool]
    label_nzhw = segment_subjects(context, cohort, state, ids)
    references = _references(context, cohort, ids)
    products = write_results(context, cohort, ids, label_nzhw, references, surfaces=False)
    n_references = sum(reference is not None for reference in references)
    remove_parts(context.files.folder)
    failure = segmenter_failure(label_nzhw, "images of the cohort")
    facts = {
        "fold": fold,
        "why": why,
        "subjects": len(ids),
        "references": n_references,
        "failed_quality": [failure] if failure else [],
    }
    return Outcome(products, facts)


def _references(context: Context, cohort: Cohort, ids: Sequence[str]) -> list[Labels | None]:
    """What each subject is measured against: propagated, else as prepared, or None."""
    if context.experiment.references_propagated:
        made = propagated_references(context)
        return [made[one] for one in ids]
    known = {row.subject.id for row in cohort.rows if row.reference_shard}
    return [cohort.references([one])[0] if one in known else None for one in ids]

"""The stage `propagate`: labels of others, warped and fused, where no segmentation is given.

Two kinds of task. A part of the pool gets references, which `segment_cohort` measures against; an
atlas is then any labelled subject of another person. A cell of the rival segments what the
segmenters of the same cell are judged by: the fold's test subjects, by the cell's N training
subjects (III.G).

A subject that is done is kept aside until all are, so that a killed task loses one.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence

import numpy as np

from gansfer.cohort.shards import Cohort
from gansfer.evaluation.predictions import read_predictions
from gansfer.progress import Share, StopRequested
from gansfer.propagation.atlases import atlases_of_others, nearest_atlases
from gansfer.propagation.multi_atlas import Labels, propagate
from jobs.experiment.cohort_section import PropagationReferences
from jobs.experiment.plan import reference_tasks
from jobs.stages.context import Context, Outcome
from jobs.stages.inputs import read_cohort, training_data
from jobs.stages.measured_labels import write_labels, write_results
from jobs.store.partial_results import Parts, remove_parts


def propagate_labels(context: Context) -> Outcome:
    """References for a part of the pool, or the rival's labels of a fold's test subjects."""
    # Read when ants is loaded; on one thread its results are the same to the bit everywhere.
    os.environ["ITK_GLOBAL_DEFAULT_NUMBER_OF_THREADS"] = "1"
    outcome = _references(context) if context.task.cell.part is not None else _rival(context)
    remove_parts(context.files.folder)
    return outcome


def propagated_references(context: Context) -> dict[str, Labels]:
    """Every reference that the needed tasks have made, by subject."""
    found: dict[str, Labels] = {}
    for files in context.files_needed("propagate"):
        found |= read_predictions(files.references)
    return found


def _references(context: Context) -> Outcome:
    settings, cohort = context.experiment.cohort.references, read_cohort(context)
    assert isinstance(settings, PropagationReferences)
    pool = [subject for subject in cohort.subjects if subject.in_pool]
    mine = pool[context.task.cell.part :: reference_tasks(context.experiment)]
    atlases_of = {one.id: nearest_atlases(one, cohort.subjects, settings.atlases) for one in mine}
    label_nzhw = _propagated(context, cohort, atlases_of)
    write_labels(context.files.references, cohort, list(atlases_of), label_nzhw)
    facts = {"subjects": len(mine), "atlases": {one: list(of) for one, of in atlases_of.items()}}
    return Outcome(context.files.relative(context.files.references), facts)


def _rival(context: Context) -> Outcome:
    cohort = read_cohort(context)
    roles = training_data(context, cohort).roles
    by_id = {subject.id: subject for subject in cohort.subjects}
    training = [by_id[one] for one in roles.training_ids]
    test_ids = roles.test_ids
    atlases_of = {
        one: tuple(atlas.id for atlas in atlases_of_others(by_id[one], training, cohort.subjects))
        for one in test_ids
    }
    label_nzhw = _propagated(context, cohort, atlases_of)
    truth_nzhw = cohort.labels(test_ids)
    products = write_results(context, cohort, test_ids, label_nzhw, list(truth_nzhw), surfaces=True)
    facts = {"training_subjects": list(roles.training_ids), "test_subjects": list(test_ids)}
    return Outcome(products, facts)


def _propagated(
    context: Context, cohort: Cohort, atlases_of: Mapping[str, Sequence[str]]
) -> Labels:
    """The label map [N, Z, H, W] of each subject, from its atlases; goes on where it was."""
    parts = Parts(context.files.folder, context.identity)
    n_atlases, done = sum(map(len, atlases_of.values())), 0
    label_nzhw = np.zeros((len(atlases_of), *cohort.shape_zhw), np.uint8)
    for n, (subject_id, atlas_ids) in enumerate(atlases_of.items()):
        if not parts.has(subject_id):
            if context.watch.stopping():
                raise StopRequested
            label_zhw = propagate(
                cohort.images([subject_id])[0],
                cohort.images(atlas_ids),
                cohort.labels(atlas_ids),
                cohort.spacing_zhw_mm,
                watch=Share(context.watch, done, n_atlases, subject_id),
            )
            parts.keep(subject_id, {"label_zhw": label_zhw})
        label_nzhw[n] = parts.read(subject_id)["label_zhw"]
        done += len(atlas_ids)
        context.watch.report(done, n_atlases, "atlases", subject_id)
    return label_nzhw

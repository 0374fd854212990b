"""One function a stage: read products, call gansfer, write products.

Here the rooms of `gansfer` meet. Legend: N subjects, K slices, S structures, Z H W as everywhere.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from safetensors.torch import load_file, save_file

import gansfer
from gansfer.atomic import replacing, write_text
from gansfer.cohort.splits import analysis_fold
from gansfer.cohort.writing import write_cohort
from gansfer.progress import Share, Watch
from gansfer.report.losses import loss_curves
from gansfer.segmentation.patches import Pool
from gansfer.segmentation.predict import segment_slices
from gansfer.segmentation.train import train_segmenter as fit_segmenter
from gansfer.synthesis.export import concatenate, read_synthetic
from jobs.aggregate import aggregate
from jobs.arms import Arm
from jobs.context import Context, Outcome
from jobs.gan_stage import train_gan
from jobs.input_files import INPUT_FILES
from jobs.metrics import measure_all, write_metrics
from jobs.parts import Parts, remove_parts
from jobs.plan import Cell
from jobs.predictions import write_predictions
from jobs.preparation import input_stamps, prepared_subjects
from jobs.propagation_stage import propagate_labels, propagated_references
from jobs.sources import make_source
from jobs.spec import StageName
from jobs.synthesis_stage import synthesise
from jobs.training_data import CellData, all_folds, as_slices

Labels = npt.NDArray[np.uint8]

# A full-size image takes a core about a minute: so long is what a kill may cost.
_SUBJECTS_AT_ONCE = 8


def run_stage(context: Context) -> Outcome:
    """Run the task's stage."""
    stages: dict[StageName, Callable[[Context], Outcome]] = {
        "prepare": prepare,
        "train_gan": train_gan,
        "synthesise": synthesise,
        "train_segmenter": train_segmenter,
        "propagate": propagate_labels,
        "segment_cohort": segment_cohort,
        "aggregate": aggregate,
    }
    return stages[context.task.stage](context)


def prepare(context: Context) -> Outcome:
    """Raw images become shards in the common space (III.A)."""
    cohort, source = context.experiment.cohort, make_source(context.experiment)
    files = input_stamps(cohort, source)
    rows = write_cohort(
        context.folder,
        prepared_subjects(
            context.experiment, source, context.folder, context.task.fingerprint, context.watch
        ),
        structures=cohort.structures,
        roi=cohort.roi,
        software=f"gansfer {gansfer.__version__}",
    )
    remove_parts(context.folder)
    shards = {row.shard for row in rows} | {row.reference_shard for row in rows}
    facts = {
        "subjects": len(rows),
        "labelled": sum(row.subject.labelled for row in rows),
        "label_voxels_outside_roi": sum(row.n_label_voxels_outside_roi or 0 for row in rows),
        INPUT_FILES: files,
    }
    return Outcome(("subjects.csv", *sorted(name for name in shards if name)), facts)


def train_segmenter(context: Context) -> Outcome:
    """One arm of one cell: train a DeepMedic, and segment the fold's test subjects (III.C)."""
    settings, data, arm = context.experiment.segmenter, context.data, context.cell.arm
    assert arm is not None
    n_classes = 1 + len(context.cohort.structures)
    synthetic = _synthetic_pool(context, arm)
    store = context.store("training", context.identity)
    result = fit_segmenter(
        settings,
        _real_pool(data) if arm.uses_real else None,
        synthetic,
        arm.real_per_synthetic,
        n_classes,
        seed=context.seed_for("segmenter"),
        store=store,
        watch=context.watch,
        device=context.device,
    )
    with replacing(context.folder / "model.safetensors") as aside:
        save_file(result.state, aside)
    _write_log(context, result.records)
    test_ids = data.fold.test_ids
    label_nzhw = _segment(context, result.state, test_ids)
    truth_nzhw = context.cohort.labels(test_ids)
    rows = measure_all(context.cohort, test_ids, label_nzhw, list(truth_nzhw), surfaces=True)
    write_metrics(context.folder / "metrics.csv", rows)
    write_predictions(context.folder / "predictions.h5", test_ids, label_nzhw, context.cohort)
    store.clear()
    remove_parts(context.folder)
    facts = {
        "training_subjects": list(data.training_ids) if arm.uses_real else [],
        "test_subjects": list(test_ids),
        "synthetic_slices": 0 if synthetic is None else len(synthetic.image_nhw),
        "achieved_real_per_synthetic": result.achieved_ratio,
    }
    return Outcome(("model.safetensors", "metrics.csv", "predictions.h5"), facts)


def segment_cohort(context: Context) -> Outcome:
    """The analysis fold's model segments every image of the cohort (III.G)."""
    cell, experiment = context.cell, context.experiment
    folds = all_folds(experiment, context.cohort)
    chosen = experiment.grid.analysis_fold
    if chosen == "auto":
        run_folds = [folds[index] for index in experiment.grid.run_folds]
        fold, why = analysis_fold(run_folds, context.cohort.subjects)
    else:
        fold, why = chosen, f"fold {chosen} is set in the experiment (grid.analysis_fold)"
    model_cell = Cell(cell.seed, fold, cell.labels, arm=cell.arm)
    model = context.plan.by_id["/".join(("train_segmenter", *model_cell.parts))]
    state = load_file(context.storage.folder(model) / "model.safetensors")
    ids = [subject.id for subject in context.cohort.subjects if subject.in_pool]
    label_nzhw = _segment(context, state, ids)
    references = _references(context, ids)
    rows = measure_all(context.cohort, ids, label_nzhw, references, surfaces=False)
    write_metrics(context.folder / "metrics.csv", rows)
    write_predictions(context.folder / "predictions.h5", ids, label_nzhw, context.cohort)
    n_references = sum(reference is not None for reference in references)
    remove_parts(context.folder)
    facts = {"fold": fold, "why": why, "subjects": len(ids), "references": n_references}
    return Outcome(("metrics.csv", "predictions.h5"), facts)


def _references(context: Context, ids: Sequence[str]) -> list[Labels | None]:
    """What each subject is measured against: propagated, else as prepared, or None."""
    if context.experiment.references_propagated:
        made = propagated_references(context)
        return [made[one] for one in ids]
    known = {row.subject.id for row in context.cohort.rows if row.reference_shard}
    return [context.cohort.references([one])[0] if one in known else None for one in ids]


def _segment(context: Context, state: dict[str, Any], ids: Sequence[str]) -> Labels:
    """Segment some subjects at a time, which are kept aside: a kill costs one such lot."""
    parts = Parts(context.folder, context.identity)
    z = context.cohort.shape_zhw[0]
    label_nzhw: Labels = np.empty((len(ids), *context.cohort.shape_zhw), np.uint8)
    for start in range(0, len(ids), _SUBJECTS_AT_ONCE):
        some = ids[start : start + _SUBJECTS_AT_ONCE]
        name = f"from-{start:06d}"
        if not parts.has(name):
            share = Share(context.watch, start * z, len(ids) * z)
            parts.keep(name, {"label_nzhw": _segment_lot(context, state, some, share)})
        label_nzhw[start : start + len(some)] = parts.read(name)["label_nzhw"]
    return label_nzhw


def _segment_lot(
    context: Context, state: dict[str, Any], ids: Sequence[str], watch: Watch
) -> Labels:
    image_nzhw = context.cohort.images(ids)
    n, z, h, w = image_nzhw.shape
    label_khw = segment_slices(
        state,
        as_slices(image_nzhw),
        context.experiment.segmenter,
        1 + len(context.cohort.structures),
        device=context.device,
        watch=watch,
    )
    return label_khw.reshape(n, z, h, w)


def _write_log(context: Context, records: list[dict[str, Any]]) -> None:
    write_text(context.folder / "log.jsonl", "".join(json.dumps(one) + "\n" for one in records))
    loss_curves(context.folder / "losses.png", records, context.task.id)


def _real_pool(data: CellData) -> Pool:
    n, z = data.training_images_nzhw.shape[:2]
    return Pool(
        as_slices(data.training_images_nzhw),
        as_slices(data.training_labels_nzhw),
        np.repeat(np.arange(n), z),
    )


def _synthetic_pool(context: Context, arm: Arm) -> Pool | None:
    """Kept slices of the arm's phases, of all groups of the cell (III.F)."""
    if not arm.phases:
        return None
    folders = [
        context.storage.folder(context.plan.by_id[need])
        for need in context.task.needs
        if need.startswith("synthesise/")
    ]
    made = concatenate(
        [read_synthetic(folder / f"phase-{phase}.h5") for folder in folders for phase in arm.phases]
    )
    return Pool(made.image_khw.astype(np.float32), made.label_khw, np.arange(len(made.label_khw)))

"""The stage `train_segmenter`: one arm of one cell, and the fold's test subjects (III.C)."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd
from safetensors.torch import load_file, save_file

from gansfer.atomic import replacing, write_json_lines
from gansfer.augmentation.deform import Augmentation
from gansfer.cohort.shards import Cohort
from gansfer.drawing.loss_curves import loss_curves
from gansfer.quality.failures import segmenter_failure
from gansfer.segmentation.patches import Pool
from gansfer.segmentation.pools import joined, real_pool, synthetic_pool
from gansfer.segmentation.train import train_segmenter as fit_segmenter
from gansfer.synthesis.synthetic_sets import concatenate, read_synthetic
from gansfer.volumes import as_slices
from jobs.experiment.arms import Arm
from jobs.stages.context import Context, Outcome
from jobs.stages.inputs import checkpoints, read_cohort, training_data
from jobs.stages.measured_labels import write_results
from jobs.stages.segmenting import segment_subjects
from jobs.store.partial_results import remove_parts


def train_segmenter(context: Context) -> Outcome:
    """One arm of one cell: train a DeepMedic, and segment the fold's test subjects (III.C)."""
    cohort, arm = read_cohort(context), context.task.cell.arm
    assert arm is not None
    data = training_data(context, cohort)
    n_classes = 1 + len(cohort.structures)
    real = (
        real_pool(data.training_images_nzhw, data.training_labels_nzhw) if arm.uses_real else None
    )
    synthetic = _synthetic_pool(context, arm)
    self_labelled = (
        _self_labelled_pool(context, cohort, data.roles.pool_ids)
        if arm.teacher is not None
        else None
    )
    store = checkpoints(context, "training", context.identity)
    result = fit_segmenter(
        context.experiment.segmenter,
        real,
        joined(synthetic, self_labelled),
        arm.real_per_synthetic,
        n_classes,
        seed=context.seed_for("segmenter"),
        store=store,
        watch=context.watch,
        device=context.device,
        augmentation=_augmentation(context, cohort, arm),
    )
    with replacing(context.files.model) as aside:
        save_file(result.state, aside)
    _write_log(context, result.records)
    test_ids = data.roles.test_ids
    label_nzhw = segment_subjects(context, cohort, result.state, test_ids)
    truth_nzhw = cohort.labels(test_ids)
    products = write_results(context, cohort, test_ids, label_nzhw, list(truth_nzhw), surfaces=True)
    measured = _test_dice(context.files.metrics)
    context.watch.record({"step": result.records[-1]["step"], **measured})
    store.clear()
    remove_parts(context.files.folder)
    facts = {
        "training_subjects": list(data.roles.training_ids) if arm.uses_real else [],
        "test_subjects": list(test_ids),
        "failed_quality": [failure] if (failure := segmenter_failure(label_nzhw)) else [],
        "synthetic_slices": 0 if synthetic is None else len(synthetic.image_nhw),
        "achieved_real_per_synthetic": result.achieved_real_per_synthetic,
        "precision": result.precision,
    }
    if self_labelled is not None:
        facts["self_labelled_slices"] = len(self_labelled.image_nhw)
    return Outcome((*context.files.relative(context.files.model), *products), facts)


def _test_dice(path: Path) -> dict[str, float]:
    """Mean Dice of the test subjects by structure, as TensorBoard names it, from a metric file."""
    table = pd.read_csv(path, dtype={"subject": str, "structure": str})
    means = table[table["metric"] == "dsc"].groupby("structure")["value"].mean()
    return {f"test_dice/{structure}": float(mean) for structure, mean in means.dropna().items()}


def _write_log(context: Context, records: list[dict[str, Any]]) -> None:
    write_json_lines(context.files.log, records)
    loss_curves(context.files.picture("losses"), records, context.task.id)


def _synthetic_pool(context: Context, arm: Arm) -> Pool | None:
    """Retained slices of the arm's phases, of all groups of the cell (III.F)."""
    if not arm.phases:
        return None
    groups = context.files_needed("synthesise")
    made = concatenate(
        [read_synthetic(files.slices(phase)) for files in groups for phase in arm.phases]
    )
    return synthetic_pool(made.image_khw, made.label_khw)


def _self_labelled_pool(context: Context, cohort: Cohort, pool_ids: Sequence[str]) -> Pool:
    """Every slice of the unlabelled images, with the labels that the arm's teacher gives it.

    No label of theirs is read, where there is one. A slice in which nothing is found stays in.
    """
    (teacher,) = context.files_needed("train_segmenter")
    state = load_file(teacher.model)
    label_mzhw = segment_subjects(context, cohort, state, pool_ids, part="pool")
    return synthetic_pool(as_slices(cohort.images(pool_ids)), as_slices(label_mzhw))


def _augmentation(context: Context, cohort: Cohort, arm: Arm) -> Augmentation | None:
    """How the arm's slices are deformed; None: they are not."""
    if not arm.deforms:
        return None
    return Augmentation(context.experiment.augmentation, cohort.spacing_zhw_mm[1])

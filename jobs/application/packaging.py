"""From a cell of a run to a model that says all of itself."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd
from safetensors.torch import load_file

import gansfer
from gansfer.application.label_numbers import label_numbers
from gansfer.application.likeness import fit_likeness, volumes_ml
from gansfer.application.model_file import (
    FORMAT,
    NORMALISATION,
    SUFFIX,
    ModelFacts,
    SegmenterModel,
    TrainingFacts,
    cropped,
    read_model,
)
from gansfer.cohort.shards import Cohort
from gansfer.errors import UserError
from gansfer.evaluation.overlap import OVERALL
from gansfer.subjects import Volume
from jobs.application.choosing import segmenter_of
from jobs.experiment.cohort_section import (
    BidsImages,
    ChallengeLabels,
    CohortSpec,
    EmbeddedLabels,
    FolderImages,
)
from jobs.experiment.model import Experiment
from jobs.experiment.plan import Plan, Task
from jobs.inputs.sources import make_source
from jobs.inputs.template import cohort_template
from jobs.store.integrity import withdraw_damaged
from jobs.store.ledger import Ledger
from jobs.store.storage import Storage

CHALLENGE_LICENCE = (
    "trained on labels by Neuromorphometrics, Inc., provided for the MICCAI 2012 multi-atlas "
    "challenge under CC BY-NC: for non-commercial use"
)
UNKNOWN_LICENCE = "none was given: the terms of the images and labels that it was trained on apply"
PHANTOM_LICENCE = "trained on the built-in cohort, which is drawn from formulas: Apache-2.0"


def packaged_model(
    plan: Plan, storage: Storage, where: str | None, licence: str | None = None
) -> tuple[SegmenterModel, str]:
    """The model of a cell, and why of this cell.

    Args:
        plan: the experiment's tasks.
        storage: where their products are.
        where: such as `fold-0/labels-06/ratio-2to1`; None: choose.
        licence: its terms; None: a note by the kind of labels.

    Raises:
        UserError: there is no such segmenter, it is not trained or damaged, or the template cannot
            be made from the cohort's files.
    """
    ledger = Ledger(plan, storage, sources=True)
    task, why = segmenter_of(ledger, where)
    prepare = plan.of_stage("prepare")[0]
    for one in (prepare, task):
        said = withdraw_damaged(storage, one)
        if said is not None:
            raise UserError(said)
    experiment, cohort = plan.experiment, Cohort(storage.cohort)
    likeness, mean_zhw = fit_likeness(
        lambda: (cohort.images([row.subject.id])[0] for row in cohort.rows),
        _labelled_ml(cohort),
    )
    template = _template(experiment)
    spec = experiment.cohort
    facts = ModelFacts(
        format=FORMAT,
        version=gansfer.__version__,
        structures=cohort.structures,
        protocol=protocol_of(spec),
        numbers=label_numbers(protocol_of(spec), cohort.structures),
        space=f"common space of the experiment {experiment.name}, RAS mm"
        + ("" if template is None else "; images are registered to the template (12 parameters)"),
        roi=spec.roi,
        template_ras=None if template is None else _rows_of(template.affine_ras),
        n4=isinstance(spec.images, BidsImages | FolderImages) and spec.images.n4,
        normalisation=NORMALISATION,
        encoding=spec.encoding,
        segmenter=experiment.segmenter,
        likeness=likeness,
        training=_training_facts(experiment, storage, task, cohort),
        licence=licence or _licence(spec),
    )
    state = load_file(storage.files(task).model)
    return SegmenterModel(facts, state, mean_zhw, template), why


def opened_model(path: Path) -> SegmenterModel | None:
    """The model of a packaged file; None: the path is an experiment's.

    Raises:
        UserError: the file is damaged, or no model.
    """
    return read_model(path) if path.suffix == SUFFIX and not path.is_dir() else None


def _labelled_ml(cohort: Cohort) -> dict[str, list[float]]:
    """By structure, the volumes of the labelled subjects."""
    each = [
        volumes_ml(cohort.labels([one.id])[0], cohort.structures, cohort.spacing_zhw_mm)
        for one in cohort.subjects
        if one.labelled
    ]
    return {name: [volumes[name] for volumes in each] for name in cohort.structures}


def _template(experiment: Experiment) -> Volume | None:
    """What the cohort's native images were registered to; None: all were in the common space."""
    source = make_source(experiment)
    subjects = source.subjects()
    if all(source.in_common_space(one.id) for one in subjects):
        return None
    return cropped(cohort_template(experiment.cohort, source, subjects))


def protocol_of(spec: CohortSpec) -> str | dict[str, list[int]] | None:
    """What the training labels' numbers mean; None: their own tables say so."""
    if isinstance(spec.labels, EmbeddedLabels):
        return "gansfer"
    return spec.labels.protocol


def _rows_of(affine_ras: npt.NDArray[np.float64]) -> tuple[tuple[float, ...], ...]:
    return tuple(tuple(float(value) for value in row) for row in affine_ras)


def _training_facts(
    experiment: Experiment, storage: Storage, task: Task, cohort: Cohort
) -> TrainingFacts:
    manifest = storage.read_manifest(task) or {}
    facts = manifest.get("facts", {})
    metrics = pd.read_csv(storage.files(task).metrics, dtype={"subject": str, "structure": str})
    is_dsc = (metrics["structure"] == OVERALL) & (metrics["metric"] == "dsc")
    dsc = metrics.loc[is_dsc, "value"].dropna()
    return TrainingFacts(
        experiment=experiment.name,
        cell="/".join(task.cell.parts),
        labelled_subjects=len(facts.get("training_subjects", [])),
        cohort_images=len(cohort.rows),
        synthetic_slices=int(facts.get("synthetic_slices", 0)),
        iterations=experiment.segmenter.iterations,
        test_subjects=len(dsc),
        test_dsc=float(dsc.mean()) if len(dsc) else None,
    )


def _licence(spec: CohortSpec) -> str:
    if isinstance(spec.labels, EmbeddedLabels):
        return PHANTOM_LICENCE
    return CHALLENGE_LICENCE if isinstance(spec.labels, ChallengeLabels) else UNKNOWN_LICENCE

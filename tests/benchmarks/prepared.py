"""A prepared cohort for the benchmarks: one of a finished `prepare`, or the built-in one, small."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import yaml

from gansfer.cohort.shards import Cohort
from gansfer.cohort.writing import write_cohort
from gansfer.phantom.phantom_source import PhantomSource
from gansfer.preprocessing.preprocess import prepare_subject
from gansfer.progress import Silent
from gansfer.segmentation.patches import Pool
from gansfer.segmentation.predict import segment_slices
from gansfer.segmentation.train import train_segmenter
from gansfer.settings import (
    EncodingSettings,
    RoiSettings,
    SegmenterSettings,
    SynthesisSettings,
)
from gansfer.structures import PAPER_STRUCTURES
from gansfer.subjects import Subject
from gansfer.training.checkpoint import CheckpointStore
from jobs.experiment.loading import load_experiment

Images = npt.NDArray[np.float32]
Labels = npt.NDArray[np.uint8]

SEGMENTER = SegmenterSettings(
    preset="deepmedic-original",
    learning_rate=1e-2,
    epochs=5,
    subepochs_per_epoch=20,
    segments_per_subepoch=200,
    batch_segments=20,
)


def built_in_cohort(folder: Path, labelled: int, unlabelled: int, voxel_mm: float) -> Cohort:
    """The built-in cohort, prepared in a folder; every subject has its truth as reference."""
    roi = RoiSettings(voxel_mm=voxel_mm)
    source = PhantomSource(labelled, unlabelled, seed=0, roi=roi)
    prepared = (prepare_subject(source.load(one.id), roi) for one in source.subjects())
    write_cohort(folder, prepared, structures=PAPER_STRUCTURES, roi=roi, software="benchmark")
    return Cohort(folder)


def unlabelled_people(cohort: Cohort) -> list[Subject]:
    """Subjects of the pool that are nobody's labelled copy and have a reference."""
    return [
        row.subject
        for row in cohort.rows
        if row.subject.in_pool
        and not row.subject.labelled
        and row.subject.labelled_as is None
        and row.reference_shard is not None
    ]


def flat(volume_nzhw: npt.NDArray) -> npt.NDArray:
    """[N, Z, H, W] -> [N * Z, H, W]."""
    return volume_nzhw.reshape(-1, *volume_nzhw.shape[2:])


def volumes_pool(image_nzhw: Images, label_nzhw: Labels) -> Pool:
    """Slices of whole subjects, drawn subject by subject."""
    subject_n = np.repeat(np.arange(len(image_nzhw)), image_nzhw.shape[1])
    return Pool(flat(image_nzhw), flat(label_nzhw), subject_n)


def slices_pool(image_khw: Images, label_khw: Labels) -> Pool:
    """Slices of which each is a subject of its own, as generated ones are."""
    return Pool(image_khw, label_khw, np.arange(len(image_khw)))


def trained(
    settings: SegmenterSettings,
    real: Pool | None,
    synthetic: Pool | None,
    ratio: float | None,
    n_classes: int,
    seed: int,
    folder: Path,
) -> dict:
    """Weights of a segmenter; what it keeps while it trains lies in `folder`."""
    store = CheckpointStore(folder, f"{seed}-{real is None}-{synthetic is None}-{ratio}")
    result = train_segmenter(
        settings, real, synthetic, ratio, n_classes, seed=seed, store=store, watch=Silent()
    )
    store.clear()
    return result.state


def segmented(state: dict, image_khw: Images, settings: SegmenterSettings, classes: int) -> Labels:
    """Label maps [K, H, W] by a trained segmenter."""
    return segment_slices(state, image_khw.astype(np.float32), settings, classes, watch=Silent())


def dice(one: Labels, other: Labels, n_structures: int) -> list[float]:
    """DSC overall (all structures as one foreground, as in the report), then of each structure."""
    pairs = [(one > 0, other > 0), *((one == v, other == v) for v in range(1, n_structures + 1))]
    sizes = [int(a.sum()) + int(b.sum()) for a, b in pairs]
    return [
        2.0 * int((a & b).sum()) / size if size else float("nan")
        for (a, b), size in zip(pairs, sizes, strict=True)
    ]


def header(structures: Sequence[str], width: int = 8) -> str:
    """Column heads of `numbers`."""
    return "".join(f"{name[: width - 1]:>{width}}" for name in ("overall", *structures))


def numbers(values: Sequence[float], width: int = 8, per: float = 100.0) -> str:
    """One row, in per cent unless said otherwise."""
    return "".join(f"{per * value:{width}.{1 if per > 1 else 2}f}" for value in values)


def chosen_settings(
    config: Path | None, changes: Sequence[str]
) -> tuple[EncodingSettings, SynthesisSettings]:
    """Settings of an experiment, or the defaults, with single ones changed."""
    encoding, synthesis = EncodingSettings(), SynthesisSettings()
    if config is not None:
        experiment = load_experiment(config)
        encoding, synthesis = experiment.cohort.encoding, experiment.synthesis
    values: dict[str, Any] = {}
    for change in changes:
        name, _, text = change.partition("=")
        values[name] = yaml.safe_load(text)
    of_encoding = {
        name: values.pop(name) for name in [*values] if name in type(encoding).model_fields
    }
    return (
        EncodingSettings.model_validate(encoding.model_dump() | of_encoding),
        SynthesisSettings.model_validate(synthesis.model_dump() | values),
    )

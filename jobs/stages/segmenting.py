"""Segment subjects with a trained model, some at a time, which are kept: a kill costs one lot.

Legend: N subjects, K slices, Z H W as everywhere.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from gansfer.cohort.shards import Cohort
from gansfer.progress import Share, Watch
from gansfer.segmentation.predict import segment_slices
from gansfer.volumes import as_slices
from jobs.stages.context import Context
from jobs.store.partial_results import Parts

Floats = npt.NDArray[np.float32]
Labels = npt.NDArray[np.uint8]


# A full-size image takes a core about a minute: so long is what a kill may cost.
_SUBJECTS_AT_ONCE = 8


def segment_subjects(
    context: Context,
    cohort: Cohort,
    state: dict[str, Any],
    ids: Sequence[str],
    *,
    part: str = "from",
) -> Labels:
    """Segment some subjects at a time, which are kept aside: a kill costs one such lot.

    Args:
        context: the task.
        cohort: the shards.
        state: the trained network's state dict.
        ids: whom to segment.
        part: what the parts kept aside are called, where a task segments twice.
    """
    parts = Parts(context.files.folder, context.identity)
    z = cohort.shape_zhw[0]
    label_nzhw: Labels = np.empty((len(ids), *cohort.shape_zhw), np.uint8)
    for start in range(0, len(ids), _SUBJECTS_AT_ONCE):
        some = ids[start : start + _SUBJECTS_AT_ONCE]
        name = f"{part}-{start:06d}"
        if not parts.has(name):
            share = Share(context.watch, start * z, len(ids) * z)
            parts.keep(name, {"label_nzhw": _segment_lot(context, cohort, state, some, share)})
        label_nzhw[start : start + len(some)] = parts.read(name)["label_nzhw"]
    return label_nzhw


def segment_volumes(
    context: Context, state: dict[str, Any], image_nzhw: Floats, n_classes: int, watch: Watch
) -> Labels:
    """Label maps [N, Z, H, W] of z-scored images [N, Z, H, W], as the experiment segments.

    Args:
        context: of a task of a stage that segments.
        state: the trained network's state dict.
        image_nzhw: in the cohort's common space.
        n_classes: structures + 1.
        watch: told of progress.
    """
    label_khw = segment_slices(
        state,
        as_slices(image_nzhw),
        context.experiment.segmenter,
        n_classes,
        device=context.device,
        watch=watch,
    )
    return label_khw.reshape(image_nzhw.shape)


def _segment_lot(
    context: Context, cohort: Cohort, state: dict[str, Any], ids: Sequence[str], watch: Watch
) -> Labels:
    n_classes = 1 + len(cohort.structures)
    return segment_volumes(context, state, cohort.images(ids), n_classes, watch)

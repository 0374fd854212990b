"""What every stage that segments leaves: label maps, and their numbers.

Legend: N subjects, Z H W as everywhere.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from gansfer.evaluation.metrics import measure_all, write_metrics
from gansfer.evaluation.predictions import write_predictions
from jobs.stages.context import Context

Labels = npt.NDArray[np.uint8]
PRODUCTS = ("metrics.csv", "predictions.h5")


def write_results(
    context: Context,
    ids: Sequence[str],
    label_nzhw: Labels,
    references: Sequence[Labels | None],
    *,
    surfaces: bool,
) -> None:
    """Measure label maps [N, Z, H, W] against their references; write both files."""
    cohort = context.cohort
    rows = measure_all(
        ids, label_nzhw, references, cohort.structures, cohort.spacing_zhw_mm, surfaces=surfaces
    )
    write_metrics(context.folder / "metrics.csv", rows)
    write_labels(context, "predictions.h5", ids, label_nzhw)


def write_labels(context: Context, name: str, ids: Sequence[str], label_nzhw: Labels) -> None:
    """Write label maps [N, Z, H, W] in the cohort's space to a file of the task's folder."""
    cohort = context.cohort
    write_predictions(
        context.folder / name,
        ids,
        label_nzhw,
        cohort.structures,
        cohort.spacing_zhw_mm,
        cohort.ras_from_zhw,
    )

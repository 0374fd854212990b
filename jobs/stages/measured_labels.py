"""What every stage that segments leaves: label maps, and their numbers.

Legend: N subjects, Z H W as everywhere.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from gansfer.cohort.shards import Cohort
from gansfer.evaluation.metrics import measure_all, write_metrics
from gansfer.evaluation.predictions import write_predictions
from jobs.stages.context import Context

Labels = npt.NDArray[np.uint8]


def write_results(
    context: Context,
    cohort: Cohort,
    ids: Sequence[str],
    label_nzhw: Labels,
    references: Sequence[Labels | None],
    *,
    surfaces: bool,
) -> tuple[str, ...]:
    """Measure label maps [N, Z, H, W] against their references; write both files, name them."""
    rows = measure_all(
        ids, label_nzhw, references, cohort.structures, cohort.spacing_zhw_mm, surfaces=surfaces
    )
    write_metrics(context.files.metrics, rows)
    write_labels(context.files.predictions, cohort, ids, label_nzhw)
    return context.files.relative(context.files.metrics, context.files.predictions)


def write_labels(path: Path, cohort: Cohort, ids: Sequence[str], label_nzhw: Labels) -> None:
    """Write label maps [N, Z, H, W] in the cohort's space."""
    write_predictions(
        path,
        ids,
        label_nzhw,
        cohort.structures,
        cohort.spacing_zhw_mm,
        cohort.ras_from_zhw,
    )

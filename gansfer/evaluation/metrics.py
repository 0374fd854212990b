"""Numbers of predicted label maps, and `metrics.csv`: tidy, one row a number."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from gansfer.atomic import write_csv
from gansfer.evaluation.overlap import MetricRow, dice_table, volume_table
from gansfer.evaluation.surface import surface_table

Labels = npt.NDArray[np.uint8]


def measure_all(
    ids: Sequence[str],
    label_nzhw: Labels,
    references: Sequence[Labels | None],
    names: Sequence[str],
    spacing_zhw_mm: tuple[float, float, float],
    *,
    surfaces: bool,
) -> Iterable[MetricRow]:
    """Volumes of all; overlap with the reference where there is one; surfaces where asked.

    Args:
        ids: subject of each map.
        label_nzhw: [N, Z, H, W] the maps.
        references: [Z, H, W] what each is measured against, or None.
        names: of labels 1, 2, ...
        spacing_zhw_mm: voxel size.
        surfaces: measure surface distances too.
    """
    for subject, label_zhw, reference_zhw in zip(ids, label_nzhw, references, strict=True):
        yield from volume_table(subject, label_zhw, names, spacing_zhw_mm)
        if reference_zhw is None:
            continue
        yield from volume_table(
            subject, reference_zhw, names, spacing_zhw_mm, metric="reference_volume_mm3"
        )
        yield from dice_table(subject, label_zhw, reference_zhw, names)
        if surfaces:
            yield from surface_table(subject, label_zhw, reference_zhw, names, spacing_zhw_mm)


def write_metrics(path: Path, rows: Iterable[MetricRow]) -> None:
    """Write rows as CSV, all digits, a value that is not defined as an empty field."""
    fields = (
        (
            row.subject,
            row.structure,
            row.metric,
            "" if row.value is None else repr(float(row.value)),
        )
        for row in rows
    )
    write_csv(path, ("subject", "structure", "metric", "value"), fields)

"""`quality.csv`: the measures of one cell, tidy, one row a number."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import astuple, fields
from pathlib import Path

import numpy as np

from gansfer.atomic import write_csv
from gansfer.quality.measures import QualityRow


def write_quality(path: Path, rows: Iterable[QualityRow]) -> None:
    """Write rows under the names of their fields, atomically; a value that is NaN is left empty."""
    write_csv(
        path,
        [field.name for field in fields(QualityRow)],
        [(*astuple(row)[:3], _to_text(row.value), row.n) for row in rows],
    )


def _to_text(value: float) -> str:
    return f"{value:.6g}" if np.isfinite(value) else ""

"""`quality.csv`: the measures of one cell, tidy, one row a number."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable
from dataclasses import astuple, fields
from pathlib import Path

import numpy as np

from gansfer.atomic import write_text
from gansfer.quality.measures import QualityRow


def write_quality(path: Path, rows: Iterable[QualityRow]) -> None:
    """Write rows under the names of their fields, atomically; a value that is NaN is left empty."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow([field.name for field in fields(QualityRow)])
    for row in rows:
        phase, name, part, value, n = astuple(row)
        writer.writerow((phase, name, part, f"{value:.6g}" if np.isfinite(value) else "", n))
    write_text(path, text.getvalue())

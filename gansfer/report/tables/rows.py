"""Tables row by row, for what is written cell by cell."""

from __future__ import annotations

from typing import Any

import pandas as pd

Row = dict[str, Any]


def rows_of(table: pd.DataFrame) -> list[Row]:
    """Each row as column -> plain Python value."""
    return [{str(name): value for name, value in row.items()} for row in table.to_dict("records")]


def rows_by(table: pd.DataFrame, *columns: str) -> dict[tuple[Any, ...], Row]:
    """The row of each combination of values in `columns`, which must name it."""
    return {tuple(row[name] for name in columns): row for row in rows_of(table)}


def label_counts(table: pd.DataFrame) -> list[int]:
    """The label counts in a table, ascending."""
    return sorted({int(n) for n in table["labels"].tolist()})

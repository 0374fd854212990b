"""What all tables share: how they are written, ordered, and read row by row."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

import pandas as pd

from gansfer.atomic import write_text
from gansfer.report.tables.arm_names import arm_order

Row = dict[str, Any]


def write_table(path: Path, table: pd.DataFrame) -> None:
    """Write a table as CSV with six significant digits, whole or not at all."""
    write_text(path, table.to_csv(index=False, float_format="%.6g"))


def write_tables(folder: Path, tables: Any) -> list[Path]:
    """Write each DataFrame of a dataclass that has rows to `<field>.csv`; return the files."""
    written = []
    for field in fields(tables):
        table = getattr(tables, field.name)
        if isinstance(table, pd.DataFrame) and len(table):
            path = folder / f"{field.name}.csv"
            write_table(path, table)
            written.append(path)
    return written


def in_order(table: pd.DataFrame) -> pd.DataFrame:
    """Rows by label count, and for each in the order of arms."""
    rank = table["arm"].map(arm_order)
    order = sorted(range(len(table)), key=lambda i: (table["labels"].iloc[i], rank.iloc[i]))
    return table.iloc[order].reset_index(drop=True)


def segmenter_arms(table: pd.DataFrame) -> list[str]:
    """The arms of Fig. 8 in a table: baseline, ratios, synthetic only; no ablation's, no rival."""
    arms = sorted(table["arm"].unique(), key=arm_order)
    return [arm for arm in arms if arm_order(arm)[0] < 3]


def structures_in(table: pd.DataFrame, structures: Sequence[str]) -> list[str]:
    """Those of "overall" and the structures that a table has, in the order to show them."""
    present = set(table["structure"])
    return [name for name in ("overall", *structures) if name in present]


def rows_of(table: pd.DataFrame) -> list[Row]:
    """Each row as column -> plain Python value."""
    return [{str(name): value for name, value in row.items()} for row in table.to_dict("records")]


def rows_by(table: pd.DataFrame, *columns: str) -> dict[tuple[Any, ...], Row]:
    """The row of each combination of values in `columns`, which must name it."""
    return {tuple(row[name] for name in columns): row for row in rows_of(table)}


def label_counts(table: pd.DataFrame) -> list[int]:
    """The label counts in a table, ascending."""
    return sorted({int(n) for n in table["labels"].tolist()})

"""The table that a run ends with, read from the report's own CSV."""

from __future__ import annotations

import csv
from pathlib import Path

from rich.table import Table


def results_table(path: Path) -> Table:
    """Mean overall DSC by arm (rows) and label count (columns), n subjects beside each.

    Args:
        path: the report's table of Dice by ratio.

    An arm that lacks some of its subjects has a dash: no mean is over holes.
    """
    with path.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    counts = sorted({int(row["labels"]) for row in rows})
    by_cell = {(row["arm"], int(row["labels"])): row for row in rows}
    table = Table(title="Overall DSC: mean over test subjects (n)")
    table.add_column("arm")
    for count in counts:
        table.add_column(f"N = {count}", justify="right")
    for arm in dict.fromkeys(row["arm"] for row in rows):
        table.add_row(arm, *(_cell(by_cell.get((arm, count))) for count in counts))
    return table


def _cell(row: dict[str, str] | None) -> str:
    if row is None or not int(row["n_subjects"]):
        return "-"
    if not row["mean_dsc"]:
        return f"- ({row['n_subjects']} of {row['n_planned']})"
    return f"{float(row['mean_dsc']):.3f} ({row['n_subjects']})"

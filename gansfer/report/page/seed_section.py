"""What the page says of several seeds: a table and a picture of their spread."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pandas as pd

from gansfer.report.page.cells import ABSENT, figure_image, number
from gansfer.report.page.page import DASH, Part, Section, Table, TableCell
from gansfer.report.tables.arm_names import arm_order, arm_title
from gansfer.report.tables.results import Results
from gansfer.report.tables.rows import label_counts, rows_by


def seed_section(results: Results, figures: Mapping[str, Path]) -> Section | None:
    """The spread of overall Dice over seeds, or None where no cell has two whole seeds."""
    if results.seed_spread.empty:
        return None
    text = (
        "The whole experiment was run from several seeds: other first weights, latents and "
        "batches, the same subjects and folds. A gain that is no larger than this spread may be "
        "luck."
    )
    parts: list[Part] = [_spread_table(results.seed_spread)]
    if "seed_spread" in figures:
        parts.append(
            figure_image(
                figures["seed_spread"],
                "Overall Dice of each seed.",
                "A dot: one seed, the mean over its folds of the mean over a fold's test subjects. "
                "Bar: mean over seeds ± their standard deviation. Not in the paper.",
            )
        )
    return Section("Spread over seeds", [text], parts)


def _spread_table(table: pd.DataFrame) -> Table:
    arms = sorted(table["arm"].unique(), key=arm_order)
    by_cell = rows_by(table, "labels", "arm")
    counts = label_counts(table)
    rows = []
    for arm in arms:
        cells = [TableCell(arm_title(arm))]
        for labels in counts:
            row = by_cell.get((labels, arm))
            if row is None:
                cells.append(ABSENT)
                continue
            fewer = row["n_seeds"] < row["n_seeds_planned"]
            n = f"n = {row['n_seeds']}" + (f" of {row['n_seeds_planned']} seeds" if fewer else "")
            note = f"± {row['sd_dsc']:.4f}, {n}"
            cells.append(number(row["mean_dsc"], kind="partial" if fewer else "", note=note))
        rows.append(cells)
    return Table(
        "Spread of overall Dice over seeds.",
        "Mean ± standard deviation over seeds of a seed's mean over folds of the mean over a "
        "fold's test subjects; n counts seeds. Only seeds that have every planned fold and "
        f"subject are in (red: not all have); {DASH}: fewer than two have. No test. Not in the "
        "paper. Every seed is in dsc_by_seed.csv; this table:",
        ["", *(f"N = {labels}" for labels in counts)],
        rows,
        "tables/seed_spread.csv",
    )

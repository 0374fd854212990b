"""What the page says of the segmenter's rival, multi-atlas label propagation (III.G)."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd

from gansfer.report.page.cells import ABSENT, figure_image, number, signed
from gansfer.report.page.page import DASH, Part, Section, Table, TableCell
from gansfer.report.tables import paper
from gansfer.report.tables.arm_names import arm_title
from gansfer.report.tables.rival import METHODS
from gansfer.report.tables.rows import label_counts, rows_by


def rival_section(table: pd.DataFrame, figures: Mapping[str, Path]) -> Section | None:
    """Overall Dice by method and label count, with the paper's, and every structure's figure."""
    if table.empty:
        return None
    (fold,) = table["fold"].unique()
    text = (
        f"On fold {fold}, the N images that DeepMedic was trained on are the atlases of label "
        "propagation: each is warped onto the test subject (SyN), and where there are two or more, "
        "their labels are fused (joint label fusion). No network, no unlabelled images."
    )
    parts: list[Part] = [_overall_table(table)]
    if "rival" in figures:
        parts.append(
            figure_image(
                figures["rival"],
                "Dice of each structure, segmenter and propagation.",
                f"Mean over the test subjects of fold {fold}. No test: one fold.",
            )
        )
    return Section("Beside label propagation", [text], parts)


def _overall_table(table: pd.DataFrame) -> Table:
    by_count = rows_by(table[table["structure"] == "overall"], "labels")
    counts = label_counts(table)
    theirs: Mapping[str, Mapping[int, float]] = {
        "baseline": paper.BASELINE_ONE_FOLD_PERCENT,
        "augmented": {},
        "propagation": paper.MALPEM_ONE_FOLD_PERCENT,
    }
    lines = []
    for source, name in METHODS.items():
        cells = [TableCell(name[0].upper() + name[1:])]
        for labels in counts:
            row = by_count.get((labels,))
            published = theirs[source].get(labels)
            note = "" if published is None else f"paper {published / 100:.2f}"
            if source == "propagation" and note:
                note += " (MALPEM)"
            if source == "augmented" and row is not None and row["arm"]:
                note = arm_title(row["arm"])
            if row is None or not math.isfinite(row[source]):
                cells.append(TableCell(DASH, note, "absent"))
                continue
            best = row[source] >= np.nanmax([row[one] for one in METHODS])
            cells.append(number(row[source], kind="strong" if best else "", note=note))
        lines.append(cells)
    cells = [TableCell("Propagation minus baseline")]
    for labels in counts:
        row = by_count.get((labels,))
        if row is None:
            cells.append(ABSENT)
            continue
        note = f"higher in {row['higher']} of {row['n_subjects']}"
        cells.append(TableCell(signed(row["difference"]), note))
    lines.append(cells)
    return Table(
        "Overall Dice of DeepMedic and of label propagation (paper: III.G).",
        "The same test subjects in every row. Bold: the highest of a column. No test: one fold. "
        "Every structure:",
        ["", *(f"N = {labels}" for labels in counts)],
        lines,
        "tables/rival.csv",
    )

"""Dice of the segmenter and of its rival by structure (III.G)."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from gansfer.drawing.style import (
    AUGMENTED_COLOUR,
    BASELINE_COLOUR,
    INK,
    report_style,
    save_png_and_pdf,
    structure_title,
)
from gansfer.report.tables.rival import METHODS
from gansfer.report.tables.rows import label_counts, structures_in

# column of the table -> colour and marker.
_MARKS = {
    "baseline": (BASELINE_COLOUR, "o"),
    "augmented": (AUGMENTED_COLOUR, "o"),
    "propagation": (INK, "D"),
}


def rival_figure(path: Path, table: pd.DataFrame, structures: Sequence[str]) -> None:
    """Mean Dice of each structure by method, a panel a label count.

    Args:
        path: the PNG; the PDF goes beside it.
        table: of `rival_table`.
        structures: names, in the order to draw.
    """
    names = structures_in(table, structures)
    counts = label_counts(table)
    with report_style():
        figure = Figure(figsize=(max(6.4, 3.2 * len(counts)), 3.9), layout="constrained")
        panels = figure.subplots(1, len(counts), sharey=True, squeeze=False)[0]
        x = np.arange(len(names))
        for axes, labels in zip(panels, counts, strict=True):
            rows = table[table["labels"] == labels].set_index("structure").reindex(names)
            for place, (source, (colour, marker)) in enumerate(_MARKS.items()):
                y = rows[source].to_numpy(float)
                axes.scatter(x + 0.22 * (place - 1), y, s=26, c=colour, marker=marker, zorder=3)
            axes.set_title(f"N = {labels}")
            titles = [structure_title(name) for name in names]
            axes.set_xticks(x, titles, rotation=45, ha="right", rotation_mode="anchor")
            axes.grid(axis="x", visible=False)
        panels[0].set_ylabel("mean Dice")
        handles = [
            Line2D([], [], ls="", marker=marker, ms=5, color=colour, label=METHODS[source])
            for source, (colour, marker) in _MARKS.items()
        ]
        figure.legend(handles=handles, loc="outside upper center", ncol=len(handles))
        save_png_and_pdf(figure, path)

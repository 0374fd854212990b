"""Every method's gain over the baseline: GANsfer beside what costs less."""

from __future__ import annotations

from pathlib import Path
from textwrap import fill

import pandas as pd
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from gansfer.drawing.style import (
    AUGMENTED_COLOUR,
    INK,
    report_style,
    save_png_and_pdf,
)
from gansfer.report.tables.methods import BASELINE, BEST_ON_TEST, GANSFER, method_title
from gansfer.report.tables.rows import label_counts, rows_of

# scope -> marker, its face and its place below the middle of a method's line, in lines.
_MARKS = {"test": ("o", True, -0.14), "cohort": ("D", False, 0.14)}
_NAMES = {"test": "test subjects", "cohort": "cohort"}
_LINE_INCHES, _NAME_CHARACTERS = 0.36, 22
_WIDTH_INCHES = 3.7  # 355 pixels of a page: a telephone's width, less its margins


def methods_figure(path: Path, table: pd.DataFrame) -> None:
    """Difference to the baseline with its interval, a panel a label count, a line a method.

    Narrow, with panels below one another, so that a telephone shows it whole.

    Args:
        path: the PNG; the PDF goes beside it.
        table: of `methods_table`; a method without a difference keeps its line and has no mark.
    """
    own = table[table["against"].eq(BASELINE) & table["scope"].isin(list(_MARKS))]
    own = own[own["method"] != BASELINE]
    methods = list(dict.fromkeys(own["method"]))
    scopes = [scope for scope in _MARKS if scope in set(own["scope"])]
    counts = label_counts(own)
    height = len(counts) * (_LINE_INCHES * len(methods) + 0.35) + 0.75
    with report_style():
        figure = Figure(figsize=(_WIDTH_INCHES, height), layout="constrained")
        panels = figure.subplots(len(counts), 1, sharex=True, squeeze=False)[:, 0]
        for axes, labels in zip(panels, counts, strict=True):
            axes.axvline(0, color=INK, lw=0.8)
            for row in rows_of(own[own["labels"] == labels].dropna(subset="difference")):
                marker, filled, below = _MARKS[row["scope"]]
                colour = AUGMENTED_COLOUR if row["method"] in (GANSFER, BEST_ON_TEST) else INK
                y = methods.index(row["method"]) + below
                if row["n_subjects"] > 1:
                    axes.hlines(y, row["low"], row["high"], color=colour, lw=1.3)
                face = colour if filled else "white"
                axes.scatter(
                    row["difference"], y, s=24, marker=marker, c=face, edgecolors=colour, zorder=3
                )
            axes.set_title(f"N = {labels}", loc="left")
            names = [fill(method_title(one), _NAME_CHARACTERS) for one in methods]
            axes.set_yticks(range(len(methods)), names, fontsize=8)
            axes.set_ylim(len(methods) - 0.5, -0.5)
            axes.grid(axis="y", visible=False)
        panels[-1].xaxis.set_major_locator(MaxNLocator(4))
        panels[-1].set_xlabel("difference in overall Dice")
        handles = [
            Line2D(
                [],
                [],
                ls="",
                marker=_MARKS[scope][0],
                ms=5,
                mec=INK,
                mfc=INK if _MARKS[scope][1] else "white",
                label=_NAMES[scope],
            )
            for scope in scopes
        ]
        figure.legend(handles=handles, loc="outside upper right", ncol=len(handles))
        save_png_and_pdf(figure, path)

"""Dice on the full cohort by clinical dementia rating (Fig. 13, 14).

Each function takes tidy rows of `tables.paired` with the column labels added, and writes a PNG and
a PDF.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from gansfer.drawing.style import (
    INK,
    label_count_colour,
    report_style,
    save_png_and_pdf,
    structure_title,
)
from gansfer.report.tables.rows import label_counts, structures_in

_FEW = 5  # below this, points say more than a box


def dsc_by_cdr_figure(path: Path, rows: pd.DataFrame, labelled_by_cdr: Mapping[float, int]) -> None:
    """Fig. 13: distribution of overall Dice at each CDR, baseline and augmented.

    Args:
        path: the PNG; the PDF goes beside it.
        rows: columns labels, structure, subject, cdr, baseline, augmented.
        labelled_by_cdr: CDR -> subjects in the labelled set, to be printed below.
    """
    rows = rows[rows["structure"] == "overall"].dropna(subset="cdr")
    counts = label_counts(rows)
    ratings = sorted(rows["cdr"].unique())
    width = 0.84 / (2 * len(counts))
    with report_style():
        figure = Figure(
            figsize=(max(6.0, 0.42 * len(counts) * len(ratings) + 2.0), 4.4), layout="constrained"
        )
        axes = figure.subplots()
        for place, labels in enumerate(counts):
            colour = label_count_colour(labels, counts)
            for rating_place, cdr in enumerate(ratings):
                here = rows[(rows["labels"] == labels) & (rows["cdr"] == cdr)]
                for side, name in enumerate(("baseline", "augmented")):
                    x = rating_place + (2 * place + side + 0.5 - len(counts)) * width
                    values = here[name].to_numpy(float)
                    _box(axes, x, values, 0.8 * width, colour, solid=side == 1, outliers=True)
        axes.set_xticks(
            range(len(ratings)),
            [
                f"CDR {cdr:g}\nn = {rows.loc[rows['cdr'] == cdr, 'subject'].nunique()}\n"
                f"labelled: {labelled_by_cdr.get(cdr, 0)}"
                for cdr in ratings
            ],
        )
        axes.set_xlim(-0.5, len(ratings) - 0.5)
        axes.set_ylabel("overall Dice")
        axes.grid(axis="x", visible=False)
        handles = [Patch(color=label_count_colour(n, counts), label=f"N = {n}") for n in counts]
        handles += [
            Patch(color=INK, alpha=0.3, lw=0, label="baseline"),
            Patch(color=INK, alpha=0.85, lw=0, label="with synthetic (*)"),
        ]
        figure.legend(handles=handles, loc="outside upper center", ncol=len(handles))
        save_png_and_pdf(figure, path)


def difference_by_cdr_figure(path: Path, rows: pd.DataFrame, structures: Sequence[str]) -> None:
    """Fig. 14: paired difference in Dice at each CDR, overall and for each structure.

    Outliers are not drawn, as in the paper.

    Args:
        path: the PNG; the PDF goes beside it.
        rows: columns labels, structure, subject, cdr, difference (augmented - baseline).
        structures: names, in the order to draw.
    """
    rows = rows.dropna(subset="cdr")
    names = structures_in(rows, structures)
    counts = label_counts(rows)
    ratings = sorted(rows["cdr"].unique())
    width = 0.84 / len(counts)
    columns = min(4, len(names))
    panels = math.ceil(len(names) / columns)
    with report_style():
        figure = Figure(figsize=(2.5 * columns + 0.5, 2.3 * panels + 0.5), layout="constrained")
        axes_rc = figure.subplots(panels, columns, squeeze=False)
        for axes, name in zip(axes_rc.flat, names, strict=False):
            axes.axhline(0, color=INK, lw=0.8)
            for place, labels in enumerate(counts):
                for rating_place, cdr in enumerate(ratings):
                    here = rows[
                        (rows["structure"] == name)
                        & (rows["labels"] == labels)
                        & (rows["cdr"] == cdr)
                    ]
                    x = rating_place + (place + 0.5 - len(counts) / 2) * width
                    colour = label_count_colour(labels, counts)
                    values = here["difference"].to_numpy(float)
                    _box(axes, x, values, 0.8 * width, colour, solid=True, outliers=False)
            axes.set_title(structure_title(name), loc="left")
            axes.set_xticks(range(len(ratings)), [f"{cdr:g}" for cdr in ratings])
            axes.set_xlim(-0.5, len(ratings) - 0.5)
            axes.grid(axis="x", visible=False)
        for axes in axes_rc.flat[len(names) :]:
            axes.set_visible(False)
        for axes in axes_rc[:, 0]:
            axes.set_ylabel("difference in Dice")
        for place in range(max(0, len(names) - columns), len(names)):
            axes_rc.flat[place].set_xlabel("CDR")
        handles = [Patch(color=label_count_colour(n, counts), label=f"N = {n}") for n in counts]
        figure.legend(handles=handles, loc="outside lower center", ncol=len(handles))
        save_png_and_pdf(figure, path)


def _box(
    axes: Axes,
    x: float,
    values: np.ndarray,
    width: float,
    colour: str,
    *,
    solid: bool,
    outliers: bool,
) -> None:
    values = values[np.isfinite(values)]
    alpha = 0.85 if solid else 0.3
    if values.size < _FEW:
        face = colour if solid else "white"
        axes.plot([x] * values.size, values, "o", ms=3.5, mec=colour, mfc=face, mew=0.9)
        return
    axes.boxplot(
        values,
        positions=[x],
        widths=width,
        patch_artist=True,
        showfliers=outliers,
        manage_ticks=False,
        boxprops={"facecolor": colour, "alpha": alpha, "edgecolor": colour, "lw": 0.8},
        medianprops={"color": INK, "lw": 1.1},
        whiskerprops={"color": colour, "lw": 0.9},
        capprops={"color": colour, "lw": 0.9},
        flierprops={"marker": "o", "ms": 2, "mec": colour, "alpha": 0.6, "mew": 0.6},
    )

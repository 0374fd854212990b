"""Dice on the full cohort against age (Fig. 11, 12).

Each function takes tidy rows of `tables.paired` with the columns labels and arm, and writes a PNG,
a PDF and a CSV of its curves and bands: columns labels, arm or structure, age_years, estimate, low,
high, n.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from gansfer.drawing.style import (
    BASELINE_COLOUR,
    INK,
    label_count_colour,
    report_style,
    save_png_and_pdf,
    structure_title,
)
from gansfer.evaluation.statistics import kernel_regression
from gansfer.report.tables.rows import label_counts, structures_in, write_table

_RESAMPLES = 400
_GRID_POINTS = 61
_CURVE_COLUMNS = ("age_years", "estimate", "low", "high", "n")
LOWEST_CUT_PERCENT = 0.5  # of Fig. 11's points


def dsc_by_age_figure(
    path: Path,
    rows: pd.DataFrame,
    labelled_age_years: npt.NDArray[np.floating],
    unlabelled_age_years: npt.NDArray[np.floating],
    bandwidth_years: float,
    seed: int,
) -> None:
    """Fig. 11: overall Dice against age, baseline and augmented, and the ages of both sets.

    Args:
        path: the PNG; PDF and CSV go beside it.
        rows: columns labels, structure, age_years, baseline, augmented.
        labelled_age_years: ages of the labelled subjects.
        unlabelled_age_years: ages of the cohort.
        bandwidth_years: SD of the Gaussian kernel.
        seed: of the bootstrap bands.
    """
    rows = rows[rows["structure"] == "overall"].dropna(subset="age_years")
    counts = label_counts(rows)
    curves: dict[tuple[int, str], pd.DataFrame] = {}
    with report_style():
        figure = Figure(figsize=(max(4.9, 2.15 * len(counts) + 0.8), 4.2), layout="constrained")
        axes_rc = figure.subplots(
            2, len(counts), squeeze=False, sharex=True, sharey="row", height_ratios=(4, 1)
        )
        for axes, below, labels in zip(axes_rc[0], axes_rc[1], counts, strict=True):
            part = rows[rows["labels"] == labels]
            ages = part["age_years"].to_numpy(float)
            colour = label_count_colour(labels, counts)
            for name, line_colour in (("baseline", BASELINE_COLOUR), ("augmented", colour)):
                values = part[name].to_numpy(float)
                axes.plot(ages, values, "o", ms=2.2, alpha=0.45, color=line_colour, mew=0)
                curves[labels, name] = _smooth_line(
                    axes, ages, values, line_colour, bandwidth_years, seed
                )
            axes.set_title(f"N = {labels}", color=colour)
            _age_histograms(below, labelled_age_years, unlabelled_age_years)
            below.set_xlabel("age (years)")
        axes_rc[0, 0].set_ylabel("overall Dice")
        _limits_of_bulk(axes_rc[0], rows[["baseline", "augmented"]].to_numpy(float))
        handles = [
            Line2D([], [], color=BASELINE_COLOUR, lw=2, label="baseline"),
            Line2D([], [], color=INK, lw=2, label="with synthetic (*), in the panel's colour"),
            *_histogram_handles(),
        ]
        figure.legend(handles=handles, loc="outside lower center", ncol=4 if len(counts) > 3 else 2)
        save_png_and_pdf(figure, path)
    _write_curves(path, curves, "arm")


def difference_by_age_figure(
    path: Path,
    rows: pd.DataFrame,
    structures: Sequence[str],
    labelled_age_years: npt.NDArray[np.floating],
    unlabelled_age_years: npt.NDArray[np.floating],
    bandwidth_years: float,
    seed: int,
) -> None:
    """Fig. 12: paired difference in Dice against age, overall and for each structure.

    Args:
        path: the PNG; PDF and CSV go beside it.
        rows: columns labels, structure, age_years, difference (augmented - baseline).
        structures: names, in the order to draw.
        labelled_age_years: ages of the labelled subjects.
        unlabelled_age_years: ages of the cohort.
        bandwidth_years: SD of the Gaussian kernel.
        seed: of the bootstrap bands.
    """
    rows = rows.dropna(subset="age_years")
    names = structures_in(rows, structures)
    counts = label_counts(rows)
    curves: dict[tuple[int, str], pd.DataFrame] = {}
    columns = min(4, len(names))
    panels = math.ceil(len(names) / columns)
    with report_style():
        figure = Figure(figsize=(2.5 * columns + 0.5, 2.75 * panels + 0.5), layout="constrained")
        axes_rc = figure.subplots(
            2 * panels, columns, squeeze=False, sharex=True, height_ratios=(4, 1) * panels
        )
        for place, name in enumerate(names):
            row, column = divmod(place, columns)
            axes, below = axes_rc[2 * row, column], axes_rc[2 * row + 1, column]
            axes.axhline(0, color=INK, lw=0.8)
            for labels in counts:
                part = rows[(rows["structure"] == name) & (rows["labels"] == labels)]
                curves[labels, name] = _smooth_line(
                    axes,
                    part["age_years"].to_numpy(float),
                    part["difference"].to_numpy(float),
                    label_count_colour(labels, counts),
                    bandwidth_years,
                    seed,
                )
            axes.set_title(structure_title(name), loc="left")
            _age_histograms(below, labelled_age_years, unlabelled_age_years)
            if row == panels - 1 or place + columns >= len(names):
                below.set_xlabel("age (years)")
                below.tick_params(labelbottom=True)
            if column == 0:
                axes.set_ylabel("difference in Dice")
        for place in range(len(names), panels * columns):
            row, column = divmod(place, columns)
            axes_rc[2 * row, column].set_visible(False)
            axes_rc[2 * row + 1, column].set_visible(False)
        handles = [
            *(
                Line2D([], [], color=label_count_colour(n, counts), lw=2, label=f"N = {n}")
                for n in counts
            ),
            *_histogram_handles(),
        ]
        figure.legend(handles=handles, loc="outside lower center", ncol=len(handles))
        save_png_and_pdf(figure, path)
    _write_curves(path, curves, "structure")


def _smooth_line(
    axes: Axes,
    age_n: npt.NDArray[np.floating],
    value_n: npt.NDArray[np.floating],
    colour: str,
    bandwidth_years: float,
    seed: int,
) -> pd.DataFrame:
    """Draw one curve with its band, and return both; no rows for fewer than two points."""
    if np.isfinite(value_n).sum() < 2:
        return pd.DataFrame(columns=_CURVE_COLUMNS)
    grid = np.linspace(np.nanmin(age_n), np.nanmax(age_n), _GRID_POINTS)
    curve = kernel_regression(
        age_n, value_n, grid, bandwidth_years, seed=seed, n_resamples=_RESAMPLES
    )
    axes.fill_between(grid, curve.low_g, curve.high_g, color=colour, alpha=0.16, lw=0)
    axes.plot(grid, curve.y_g, color=colour, lw=1.8)
    columns = (curve.x_g, curve.y_g, curve.low_g, curve.high_g, curve.n)
    return pd.DataFrame(dict(zip(_CURVE_COLUMNS, columns, strict=True)))


def _write_curves(
    path_png: Path, curves: Mapping[tuple[int, str], pd.DataFrame], second: str
) -> None:
    """Curves by label count and `second`, tidy, to be drawn again elsewhere."""
    table = pd.concat(curves, names=["labels", second]).reset_index(["labels", second])
    write_table(path_png.with_suffix(".csv"), table)


def _age_histograms(
    axes: Axes,
    labelled_age_years: npt.NDArray[np.floating],
    unlabelled_age_years: npt.NDArray[np.floating],
) -> None:
    known = np.concatenate([labelled_age_years, unlabelled_age_years])
    known = known[np.isfinite(known)]
    if not known.size:
        return
    edges = np.arange(known.min() // 5 * 5, known.max() + 5.1, 5)
    for ages, style in (
        (unlabelled_age_years, {"color": "#C9CED6", "histtype": "stepfilled"}),
        (labelled_age_years, {"color": INK, "histtype": "step", "lw": 1.1}),
    ):
        ages = ages[np.isfinite(ages)]
        if ages.size:
            axes.hist(ages, bins=edges.tolist(), weights=np.full(ages.size, 1 / ages.size), **style)
    axes.set_yticks([])
    axes.grid(visible=False)
    axes.spines["left"].set_visible(False)


def _histogram_handles() -> list[Patch]:
    return [
        Patch(facecolor="#C9CED6", label="ages: cohort"),
        Patch(facecolor="white", edgecolor=INK, label="ages: labelled"),
    ]


def _limits_of_bulk(axes_c: npt.NDArray[np.object_], values: npt.NDArray[np.floating]) -> None:
    """One failed segmentation must not squeeze all others into a strip."""
    finite = values[np.isfinite(values)]
    low, high = np.percentile(finite, (LOWEST_CUT_PERCENT, 100))
    margin = 0.05 * (high - low) or 0.02
    axes_c[0].set_ylim(low - margin, high + margin)

"""Figures of the synthetic slices' quality: measures by phase, and sizes of structures."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pandas as pd
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from gansfer.drawing.style import (
    INK,
    label_count_colour,
    report_style,
    save_png_and_pdf,
    structure_title,
)
from gansfer.gan_settings import PHASES
from gansfer.report.tables.quality_tables import (
    SUMMARY,
    WASSERSTEIN_LABELS,
    WASSERSTEIN_MR,
    QualityTables,
    means_by,
)
from gansfer.report.tables.rows import label_counts

# Real slices against each other, which the tables call phase 0, before the GAN's phases.
REAL_AND_PHASES = (0, *PHASES)
_NAMES = ("real", *(f"P{phase}" for phase in PHASES))
TITLES = {
    WASSERSTEIN_MR: "Distance, MR (SWD)",
    WASSERSTEIN_LABELS: "Distance, labels (SWD)",
    "precision": "Precision",
    "recall": "Recall",
    "density": "Density",
    "coverage": "Coverage",
}
_PHASE_COLOURS = (INK, "#E69F00", "#009E73", "#0072B2")


def draw_quality_figures(
    folder: Path, tables: QualityTables, structures: Sequence[str]
) -> dict[str, Path]:
    """Draw what there is data for, as PNG and PDF; name -> PNG."""
    drawn = {}
    if len(tables.synthetic_quality):
        drawn["synthetic_quality"] = folder / "synthetic_quality.png"
        quality_figure(drawn["synthetic_quality"], tables.synthetic_quality)
    if len(tables.synthetic_areas):
        drawn["synthetic_areas"] = folder / "synthetic_areas.png"
        area_figure(drawn["synthetic_areas"], tables.synthetic_areas, structures)
    return drawn


def quality_figure(path: Path, table: pd.DataFrame) -> None:
    """Each measure (a panel) of real slices and after each phase, a line a label count.

    Args:
        path: the PNG; the PDF goes beside it.
        table: `QualityTables.synthetic_quality`.
    """
    counts, by_key = label_counts(table), means_by(table)
    with report_style():
        figure = Figure(figsize=(9.4, 4.6), layout="constrained")
        panels = figure.subplots(2, 3, sharex=True)
        for axes, measure in zip(panels.T.ravel(), SUMMARY, strict=True):
            for labels in counts:
                values = [by_key.get((labels, phase, measure)) for phase in REAL_AND_PHASES]
                places = [place for place, one in enumerate(values) if one is not None]
                axes.plot(
                    places,
                    [one[0] for one in values if one is not None],
                    marker="o",
                    ms=4,
                    lw=1.4,
                    color=label_count_colour(labels, counts),
                    label=f"N = {labels}",
                )
            axes.set_title(TITLES[measure])
            axes.set_xticks(range(len(REAL_AND_PHASES)), _NAMES)
            axes.set_xlim(-0.3, len(REAL_AND_PHASES) - 0.7)
            axes.set_ylim(bottom=0)
            if measure in ("precision", "recall", "coverage"):
                axes.set_ylim(0, 1.05)
        handles, names = panels[0, 0].get_legend_handles_labels()
        figure.legend(handles, names, loc="outside lower center", ncol=len(names))
        save_png_and_pdf(figure, path)


def area_figure(path: Path, table: pd.DataFrame, structures: Sequence[str]) -> None:
    """Area of each structure in slices that have it: real, and after each phase.

    A dot is the median, a thick line the middle half, a thin one from the 5th to the 95th
    percentile; means of the cells of the smallest label count.

    Args:
        path: the PNG; the PDF goes beside it.
        table: `QualityTables.synthetic_areas`.
        structures: names, in order.
    """
    labels, by_key = label_counts(table)[0], means_by(table)
    with report_style():
        figure = Figure(figsize=(7.4, 0.62 * len(structures) + 1.3), layout="constrained")
        axes = figure.subplots()
        for place, structure in enumerate(structures):
            for phase, colour in zip(REAL_AND_PHASES, _PHASE_COLOURS, strict=True):
                values = [
                    by_key.get((labels, phase, f"area_mm2_p{p:02d}", structure))
                    for p in (5, 25, 50, 75, 95)
                ]
                if any(one is None for one in values):
                    continue
                low, first, median, third, high = (one[0] for one in values if one is not None)
                y = place + 0.19 * (phase - 1.5)
                axes.plot([low, high], [y, y], color=colour, lw=1)
                axes.plot([first, third], [y, y], color=colour, lw=3.2, solid_capstyle="butt")
                axes.plot([median], [y], "o", ms=4.5, mfc="white", color=colour)
        axes.set_yticks(range(len(structures)), [structure_title(name) for name in structures])
        axes.set_ylim(len(structures) - 0.5, -0.5)
        axes.set_xlim(left=0)
        axes.set_xlabel("area in a slice (mm²)")
        axes.grid(axis="y", visible=False)
        lines = [
            Line2D([], [], color=colour, lw=3.2, label=name)
            for name, colour in zip(_NAMES, _PHASE_COLOURS, strict=True)
        ]
        figure.legend(handles=lines, loc="outside lower center", ncol=len(lines))
        save_png_and_pdf(figure, path)

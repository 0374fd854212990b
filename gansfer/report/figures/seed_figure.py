"""Overall Dice of every seed, with its spread."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from gansfer.drawing.style import INK, label_count_colour, report_style, save_png_and_pdf
from gansfer.report.tables.arm_names import arm_title
from gansfer.report.tables.rows import label_counts, rows_by, segmenter_arms


def seed_figure(path: Path, by_seed: pd.DataFrame, spread: pd.DataFrame) -> None:
    """Overall Dice of every seed (dots) with mean and standard deviation, a colour a label count.

    Baseline, ratios and synthetic only; the ablation's rows are in the table.

    Args:
        path: the PNG; the PDF goes beside it.
        by_seed: of `seed_tables.dsc_by_seed`.
        spread: of `seed_tables.seed_spread`; what has no row there is not drawn.
    """
    arms = segmenter_arms(spread)
    counts = label_counts(spread)
    seeds = by_seed.groupby(["labels", "arm"])["dsc"].apply(list).to_dict()
    by_cell = rows_by(spread, "labels", "arm")
    apart = 0.76 / len(counts)
    with report_style():
        figure = Figure(figsize=(max(6.0, 1.2 * len(arms)), 4.0), layout="constrained")
        axes = figure.subplots()
        for place in range(0, len(arms), 2):
            axes.axvspan(place - 0.5, place + 0.5, color="#F5F7F9", lw=0, zorder=0)
        for place, labels in enumerate(counts):
            colour = label_count_colour(labels, counts)
            for arm_place, arm in enumerate(arms):
                row = by_cell.get((labels, arm))
                if row is None:
                    continue
                x = arm_place + (place - (len(counts) - 1) / 2) * apart
                values = seeds[labels, arm]
                axes.scatter([x - 0.04] * len(values), values, s=13, c=colour, lw=0, alpha=0.8)
                axes.errorbar(
                    x + 0.04,
                    row["mean_dsc"],
                    row["sd_dsc"],
                    fmt="_",
                    ms=7,
                    elinewidth=1.1,
                    capsize=2.5,
                    color=INK,
                )
        axes.set_xlim(-0.5, len(arms) - 0.5)
        axes.set_xticks(range(len(arms)), [arm_title(arm) for arm in arms])
        axes.set_xlabel("real : synthetic segments in training")
        axes.set_ylabel("overall Dice")
        axes.grid(axis="x", visible=False)
        colours = {n: label_count_colour(n, counts) for n in counts}
        handles = [
            Line2D([], [], ls="", marker="o", ms=5, color=colour, label=f"N = {n}")
            for n, colour in colours.items()
        ]
        figure.legend(handles=handles, loc="outside upper center", ncol=len(handles))
        save_png_and_pdf(figure, path)

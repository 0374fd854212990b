"""What the page says of several seeds: a table and a picture of their spread."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pandas as pd
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from gansfer.report.cells import ABSENT, figure_image, number
from gansfer.report.page import DASH, Part, Section, Table
from gansfer.report.page import Cell as TableCell
from gansfer.report.results import Results
from gansfer.report.rows import label_counts, rows_by
from gansfer.report.style import (
    INK,
    arm_order,
    arm_title,
    label_count_colour,
    report_style,
    save_png_and_pdf,
)


def seed_section(results: Results, figures: Mapping[str, Path]) -> Section | None:
    """The spread of overall Dice over seeds, or None where no cell has two whole seeds."""
    if results.seed_spread.empty:
        return None
    text = (
        "The whole experiment was run from several seeds: other first weights, latents and "
        "batches, the same people and folds. A gain that is no larger than this spread may be luck."
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


def seed_figure(path: Path, by_seed: pd.DataFrame, spread: pd.DataFrame) -> None:
    """Overall Dice of every seed (dots) with mean and standard deviation, a colour a label count.

    Baseline, ratios and synthetic only; the ablation's rows are in the table.

    Args:
        path: the PNG; the PDF goes beside it.
        by_seed: of `seed_tables.dsc_by_seed`.
        spread: of `seed_tables.seed_spread`; what has no row there is not drawn.
    """
    arms = sorted(spread["arm"].unique(), key=arm_order)
    arms = [arm for arm in arms if arm_order(arm)[0] < 3]
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

"""Dice on the labelled test subjects: Fig. 8 (ratios), 9 (structures) and 10 (distributions).

Each function takes a tidy table of `tables.py` or `comparisons.py` and writes a PNG and a PDF.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
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
from gansfer.report.tables.arm_names import arm_order, arm_title
from gansfer.report.tables.rows import label_counts, segmenter_arms, structures_in


def dsc_by_ratio_figure(path: Path, table: pd.DataFrame) -> None:
    """Fig. 8: mean overall Dice at baseline and at each ratio, one line a label count.

    Args:
        path: the PNG; the PDF goes beside it.
        table: of `tables.dsc_by_ratio`. Bars are standard errors of the mean; an open marker
            lacks a seed; an arm without a mean is not drawn.
    """
    arms = segmenter_arms(table)
    counts = label_counts(table)
    with report_style():
        figure = Figure(figsize=(7.2, 4.3), layout="constrained")
        axes = figure.subplots()
        for place, labels in enumerate(counts):
            rows = table[table["labels"] == labels].set_index("arm").reindex(arms)
            x = np.arange(len(arms)) + (place - (len(counts) - 1) / 2) * 0.06
            y = rows["mean_dsc"].to_numpy(float)
            error = (rows["sd_dsc"] / np.sqrt(rows["n_subjects"])).to_numpy(float)
            colour = label_count_colour(labels, counts)
            mixed = np.array([arm_order(arm)[0] < 2 for arm in arms])
            axes.plot(x[mixed], y[mixed], color=colour, lw=1.6)
            axes.errorbar(x, y, error, color=colour, fmt="none", elinewidth=1, capsize=2)
            whole = (rows["cells"] >= rows["cells_expected"]).to_numpy(bool)
            faces = [colour if full else "white" for full in whole]
            axes.scatter(x, y, s=26, c=faces, edgecolors=colour, zorder=3)
        handles = [
            Line2D([], [], color=label_count_colour(n, counts), marker="o", ms=5, label=f"N = {n}")
            for n in reversed(counts)
        ]
        figure.legend(handles=handles, loc="outside right upper", title="labelled\nimages")
        axes.set_xticks(range(len(arms)), [arm_title(arm) for arm in arms])
        axes.set_xlabel("real : synthetic segments in training")
        axes.set_ylabel("overall Dice")
        axes.grid(axis="x", visible=False)
        save_png_and_pdf(figure, path)


def per_structure_figure(path: Path, table: pd.DataFrame, structures: Sequence[str]) -> None:
    """Fig. 9: mean Dice of each structure, from baseline (open) to augmented (filled).

    Args:
        path: the PNG; the PDF goes beside it.
        table: of `comparisons.against_baseline`.
        structures: names, in the order to draw.
    """
    names = structures_in(table, structures)
    counts = label_counts(table)
    apart = 0.7 / max(len(counts), 3)
    with report_style():
        figure = Figure(figsize=(max(6.0, 1.1 * len(names)), 4.0), layout="constrained")
        axes = figure.subplots()
        for place in range(0, len(names), 2):
            axes.axvspan(place - 0.5, place + 0.5, color="#F5F7F9", lw=0, zorder=0)
        for place, labels in enumerate(counts):
            rows = table[table["labels"] == labels].set_index("structure").reindex(names)
            x = np.arange(len(names)) + (place - (len(counts) - 1) / 2) * apart
            colour = label_count_colour(labels, counts)
            axes.vlines(x, rows["baseline"], rows["augmented"], color=colour, lw=2.2, alpha=0.6)
            axes.scatter(x, rows["baseline"], s=24, c="white", edgecolors=colour, zorder=3)
            axes.scatter(x, rows["augmented"], s=24, c=colour, edgecolors=colour, zorder=4)
        axes.set_xlim(-0.5, len(names) - 0.5)
        axes.set_xticks(range(len(names)), [structure_title(name) for name in names])
        axes.set_ylabel("mean Dice")
        axes.grid(axis="x", visible=False)
        handles = [
            Line2D([], [], color=label_count_colour(n, counts), lw=3, label=f"N = {n}")
            for n in counts
        ]
        handles += [
            Line2D([], [], ls="", marker="o", ms=5, mec=INK, mfc=face, label=label)
            for face, label in (("white", "baseline"), (INK, "with synthetic (*)"))
        ]
        figure.legend(handles=handles, loc="outside upper center", ncol=len(handles))
        save_png_and_pdf(figure, path)


def box_figure(
    path: Path,
    dsc_by_group: Mapping[tuple[int, bool], Sequence[float]],
    undecided: Sequence[Sequence[tuple[int, bool]]],
    names_of: Mapping[tuple[int, bool], str],
) -> None:
    """Fig. 10: distribution of overall Dice over the test subjects, with brackets.

    Args:
        path: the PNG; the PDF goes beside it.
        dsc_by_group: (label count, augmented?) -> overall Dice, in the order to draw.
        undecided: sets of groups none of whose pairs differs; each is drawn as one bracket with a
            tick at each member.
        names_of: text under each box.
    """
    groups = list(dsc_by_group)
    counts = sorted({labels for labels, _ in groups})
    place_of = {
        group: 2.3 * counts.index(group[0]) + (0.95 if group[1] else 0.0) for group in groups
    }
    brackets = [sorted(place_of[group] for group in members) for members in undecided]
    levels = _bracket_levels([(at[0], at[-1]) for at in brackets])
    n_levels = max(levels, default=-1) + 1
    with report_style():
        figure = Figure(
            figsize=(max(5.0, 0.78 * len(groups) + 1.4), 4.3 + 0.16 * n_levels),
            layout="constrained",
        )
        axes = figure.subplots()
        for group in groups:
            values = np.asarray(dsc_by_group[group], float)
            colour = label_count_colour(group[0], counts)
            axes.boxplot(
                values,
                positions=[place_of[group]],
                widths=0.7,
                patch_artist=True,
                boxprops={
                    "facecolor": colour,
                    "alpha": 0.85 if group[1] else 0.35,
                    "edgecolor": colour,
                },
                medianprops={"color": INK, "lw": 1.4},
                whiskerprops={"color": colour},
                capprops={"color": colour},
                flierprops={"marker": "o", "ms": 3.5, "markeredgecolor": colour},
            )
        every = np.concatenate([np.asarray(v, float) for v in dsc_by_group.values()])
        low, high = float(every.min()), float(every.max())
        step = 0.055 * (high - low or 1.0)
        for at, level in zip(brackets, levels, strict=True):
            y = high + step * (1.2 + level)
            axes.plot([at[0], at[-1]], [y, y], color=INK, lw=1)
            axes.plot(at, [y] * len(at), ls="", marker="|", color=INK, ms=6, mew=1.4)
        axes.set_ylim(low - step, high + step * (2 + n_levels))
        axes.set_xticks([place_of[g] for g in groups], [names_of[g] for g in groups])
        axes.set_xlabel("labelled images (* with synthetic)")
        axes.set_ylabel("overall Dice")
        axes.grid(axis="x", visible=False)
        save_png_and_pdf(figure, path)


def _bracket_levels(spans: Sequence[tuple[float, float]]) -> list[int]:
    """The lowest height at which each bracket meets none of those before it."""
    levels: list[int] = []
    for first, last in spans:
        taken = {
            level
            for (other_first, other_last), level in zip(spans, levels, strict=False)
            if first <= other_last and other_first <= last
        }
        levels.append(next(level for level in range(len(spans)) if level not in taken))
    return levels

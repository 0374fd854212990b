"""The segmenter beside its rival, multi-atlas label propagation, on one fold (III.G)."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from gansfer.report import paper
from gansfer.report.cells import ABSENT, figure_image, number, signed
from gansfer.report.page import DASH, Cell, Part, Section, Table
from gansfer.report.rows import label_counts, rows_by, rows_of
from gansfer.report.style import (
    AUGMENTED_COLOUR,
    BASELINE_COLOUR,
    INK,
    PROPAGATION,
    arm_title,
    report_style,
    save_png_and_pdf,
    structure_title,
)
from gansfer.report.tables import paired, values_by_subject

# column of the table -> name, colour and marker.
_SOURCES = {
    "baseline": ("DeepMedic, baseline", BASELINE_COLOUR, "o"),
    "augmented": ("DeepMedic, with synthetic", AUGMENTED_COLOUR, "o"),
    "propagation": ("propagation", INK, "D"),
}


def rival_table(metrics: pd.DataFrame, augmented: Mapping[int, str]) -> pd.DataFrame:
    """Dice of propagation and of the segmenters of the same cells, on the same test subjects.

    Args:
        metrics: the metrics.
        augmented: label count -> arm.

    Returns:
        Columns fold, labels, structure, n_subjects, baseline, arm, augmented (NaN where a subject
        lacks it), propagation, difference (propagation minus baseline), higher (subjects in whom
        propagation is better). Empty where there is no propagation, or nothing beside it.
    """
    rows = []
    by_subject = values_by_subject(metrics, "test")
    of_rival = (metrics["arm"] == PROPAGATION) & (metrics["set"] == "test")
    for cell in rows_of(metrics.loc[of_rival, ["fold", "labels"]].drop_duplicates()):
        fold, labels = int(cell["fold"]), int(cell["labels"])
        arm = augmented.get(labels, "")
        both = paired(by_subject, labels, PROPAGATION).rename(columns={"augmented": "propagation"})
        third = paired(by_subject, labels, arm)[["structure", "subject", "augmented"]]
        every = both.merge(third, on=["structure", "subject"], how="left", validate="one_to_one")
        for structure, part in every.groupby("structure"):
            rows.append(
                {
                    "fold": fold,
                    "labels": labels,
                    "structure": structure,
                    "n_subjects": len(part),
                    "baseline": part["baseline"].mean(),
                    "arm": arm,
                    "augmented": part["augmented"].mean(skipna=False),
                    "propagation": part["propagation"].mean(),
                    "difference": part["difference"].mean(),
                    "higher": int((part["difference"] > 0).sum()),
                }
            )
    return pd.DataFrame(rows)


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
    for source, (name, _, _) in _SOURCES.items():
        cells = [Cell(name[0].upper() + name[1:])]
        for labels in counts:
            row = by_count.get((labels,))
            published = theirs[source].get(labels)
            note = "" if published is None else f"paper {published / 100:.2f}"
            if source == "propagation" and note:
                note += " (MALPEM)"
            if source == "augmented" and row is not None and row["arm"]:
                note = arm_title(row["arm"])
            if row is None or not math.isfinite(row[source]):
                cells.append(Cell(DASH, note, "absent"))
                continue
            best = row[source] >= np.nanmax([row[one] for one in _SOURCES])
            cells.append(number(row[source], kind="strong" if best else "", note=note))
        lines.append(cells)
    cells = [Cell("Propagation minus baseline")]
    for labels in counts:
        row = by_count.get((labels,))
        if row is None:
            cells.append(ABSENT)
            continue
        note = f"higher in {row['higher']} of {row['n_subjects']}"
        cells.append(Cell(signed(row["difference"]), note))
    lines.append(cells)
    return Table(
        "Overall Dice of DeepMedic and of label propagation (paper: III.G).",
        "The same test subjects in every row. Bold: the highest of a column. No test: one fold. "
        "Every structure:",
        ["", *(f"N = {labels}" for labels in counts)],
        lines,
        "tables/rival.csv",
    )


def rival_figure(path: Path, table: pd.DataFrame, structures: Sequence[str]) -> None:
    """Mean Dice of each structure by method, a panel a label count.

    Args:
        path: the PNG; the PDF goes beside it.
        table: of `rival_table`.
        structures: names, in the order to draw.
    """
    names = [name for name in ("overall", *structures) if name in set(table["structure"])]
    counts = label_counts(table)
    with report_style():
        figure = Figure(figsize=(max(6.4, 3.2 * len(counts)), 3.9), layout="constrained")
        panels = figure.subplots(1, len(counts), sharey=True, squeeze=False)[0]
        x = np.arange(len(names))
        for axes, labels in zip(panels, counts, strict=True):
            rows = table[table["labels"] == labels].set_index("structure").reindex(names)
            for place, (source, (_, colour, marker)) in enumerate(_SOURCES.items()):
                y = rows[source].to_numpy(float)
                axes.scatter(x + 0.22 * (place - 1), y, s=26, c=colour, marker=marker, zorder=3)
            axes.set_title(f"N = {labels}")
            titles = [structure_title(name) for name in names]
            axes.set_xticks(x, titles, rotation=45, ha="right", rotation_mode="anchor")
            axes.grid(axis="x", visible=False)
        panels[0].set_ylabel("mean Dice")
        handles = [
            Line2D([], [], ls="", marker=marker, ms=5, color=colour, label=name)
            for name, colour, marker in _SOURCES.values()
        ]
        figure.legend(handles=handles, loc="outside upper center", ncol=len(handles))
        save_png_and_pdf(figure, path)

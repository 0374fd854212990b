"""What the page says of rivals: label propagation (III.G), and every method side by side."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd

from gansfer.report.page.cells import (
    ABSENT,
    figure_image,
    interval,
    number,
    percent,
    signed,
    verdict,
)
from gansfer.report.page.page import DASH, Part, Section, Table, TableCell
from gansfer.report.tables import paper
from gansfer.report.tables.arm_names import arm_title
from gansfer.report.tables.methods import BASELINE, BEST_ON_TEST, GANSFER, method_title
from gansfer.report.tables.ratio_choice import PER_LABEL_COUNT
from gansfer.report.tables.results import Meta, Results
from gansfer.report.tables.rival import METHODS
from gansfer.report.tables.rows import Row, label_counts, rows_by


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


def methods_section(results: Results, meta: Meta, figures: Mapping[str, Path]) -> Section | None:
    """Every way to segment with N labels, a table for each N; None where no rival arm was run."""
    if results.methods.empty:
        return None
    own = results.methods[results.methods["against"] == BASELINE]
    text = [
        "Classical augmentation deforms the N real slices and changes their intensities at random "
        "while the segmenter trains; self-training adds the unlabelled pool with the labels that "
        "the baseline gives it. Neither needs a GAN. “And synthetic” adds the generated slices to "
        "either, at one ratio for every N: they are deformed as the real ones are, and the pool's "
        "labels are those of the segmenter trained at that ratio, not the baseline's."
    ]
    if results.best is not None:
        text.append(
            f"“{method_title(BEST_ON_TEST)}” is the paper's way: its ratio is the best on these "
            "same test subjects. That favours it, so it is no candidate for the highest."
        )
    elif meta["best_ratio"] == PER_LABEL_COUNT:
        text.append("The paper's way of choosing GANsfer's ratio chooses the same here.")
    parts: list[Part] = []
    if "methods" in figures:
        parts.append(
            figure_image(
                figures["methods"],
                "Gain of every method over the baseline, by label count.",
                "Overall Dice minus the baseline's on the same subjects, with its "
                f"{percent(0.95)} bootstrap interval over subjects. A method that lacks "
                "subjects is not drawn. Numbers, n and verdicts are in the tables below.",
            )
        )
    level = percent(meta["significance"])
    caption = (
        "Mean overall Dice; below it the difference to the baseline on the same subjects with its "
        f"{percent(0.95)} bootstrap interval, what the Wilcoxon signed-rank test shows at {level} "
        "(Holm over the label counts, for each method), and n. Bold: the highest of a column among "
        f"fair methods with all subjects. {DASH}: subjects are missing (n of those planned), or "
        "the method is not planned there. Against GANsfer too:"
    )
    for labels in label_counts(own):
        table = own[own["labels"] == labels]
        parts.append(_methods_table(results, meta, table, labels, caption))
        caption = "As above:"
    return Section("Beside classical augmentation and self-training", text, parts)


def _methods_table(
    results: Results, meta: Meta, table: pd.DataFrame, labels: int, caption: str
) -> Table:
    scopes = list(dict.fromkeys(table["scope"]))
    by_cell = rows_by(table, "method", "scope")
    rows = []
    for method in dict.fromkeys(table["method"]):
        cells = [TableCell(_named(results, method, labels))]
        for scope in scopes:
            base = by_cell.get((BASELINE, scope))
            row = by_cell.get((method, scope))
            cells.append(ABSENT if row is None else _method_cell(row, base, meta))
        rows.append(cells)
    return Table(
        f"Every method at N = {labels}.",
        caption,
        ["", *(scope_title(scope) for scope in scopes)],
        rows,
        "tables/methods.csv",
    )


def _named(results: Results, method: str, labels: int) -> str:
    """A method's name, with GANsfer's ratio on the test subjects."""
    choices = {GANSFER: results.fair.choice}
    if results.best is not None:
        choices[BEST_ON_TEST] = results.best.choice
    choice = choices.get(method)
    ratio = "" if choice is None or labels not in choice.test else f" ({choice.title(labels)})"
    return method_title(method) + ratio


def _method_cell(row: Row, base: Row | None, meta: Meta) -> TableCell:
    """The mean, and how it differs from the baseline; without a mean, how many subjects it has."""
    n, n_planned = row["n_subjects"], row["n_planned"]
    if not math.isfinite(row["mean_dsc"]):
        return TableCell(DASH, f"n = {n} of {n_planned}", "absent")
    kind = "strong" if row["highest"] else ""
    if not math.isfinite(row["difference"]):
        return number(row["mean_dsc"], kind=kind, note=f"n = {n}")
    said, _ = verdict(row, meta["significance"], row["n_tests"])
    notes = [f"{signed(row['difference'])}, {interval(row)}", f"{said}, n = {n}"]
    # Of fewer subjects, or seeds, than the baseline's own mean: that is no number to compare with.
    if base is None or f"{row['against_dsc']:.3f}" != f"{base['mean_dsc']:.3f}":
        notes.append(f"baseline of these {row['against_dsc']:.3f}")
    return number(row["mean_dsc"], kind=kind, note="\n".join(notes))


def scope_title(scope: str) -> str:
    """A group of subjects as readers see it."""
    return "Test subjects" if scope == "test" else scope.capitalize()

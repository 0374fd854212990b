"""What the page says of structures and subjects: Fig. 9, Fig. 10, Table I, surface distances."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path

import pandas as pd

from gansfer.drawing.style import structure_title
from gansfer.report.page.cells import (
    ABSENT,
    INFINITY,
    figure_image,
    gain_table,
    number,
    p_value,
    percent,
    signed,
    too_few_subjects,
)
from gansfer.report.page.page import Part, Section, Table, TableCell
from gansfer.report.tables.arm_names import ablation_title
from gansfer.report.tables.comparisons import group_name
from gansfer.report.tables.paper import SYNTHETIC_AFTER_PHASE_1_PERCENT
from gansfer.report.tables.results import Comparison, Meta, Results
from gansfer.report.tables.rows import Row, label_counts, rows_by, rows_of, structures_in

_DISTANCES = ("hd95_mm", "asd_mm")


def structure_section(
    compared: Comparison, meta: Meta, figures: Mapping[str, Path]
) -> Section | None:
    """Per structure (Fig. 9) and the distributions (Fig. 10)."""
    table = compared.baseline_and_augmented
    if table.empty:
        return None
    parts: list[Part] = []
    if "per_structure" in figures:
        parts.append(
            figure_image(
                figures["per_structure"],
                "Dice of each structure (paper: Fig. 9).",
                "Mean over the same test subjects, from baseline (open) to the augmented arm "
                "(filled); a subject without the structure in its reference is left out. n and "
                "tests are in the table below.",
            )
        )
    parts.append(_structure_table(compared, meta))
    if "boxes" in figures:
        level = meta["significance"]
        n_pairs = len(compared.pairs)
        n_most = max(int(values.count()) for values in compared.groups.values())
        parts.append(
            figure_image(
                figures["boxes"],
                "Distribution of overall Dice over the test subjects (paper: Fig. 10).",
                "An asterisk marks the augmented arm. A bracket joins groups none of whose pairs "
                f"differs at {percent(level)} (two-sided Wilcoxon signed-rank test, Holm over "
                f"{n_pairs} pairs); all other pairs differ. {n_most} subjects at most."
                f"{too_few_subjects(compared.pairs, level)} Boxes are quartiles; whiskers reach "
                "1.5 interquartile ranges.",
            )
        )
        parts.append(_pairs_table(compared.pairs, meta))
    return Section("Structures and subjects", [], parts)


def ablation_section(results: Results, meta: Meta) -> Section | None:
    """Table I, with the paper's numbers under ours."""
    cell = meta["ablation"]
    if cell is None or results.ablation.empty:
        return None
    names = ["overall", *meta["structures"], "mean"]
    best = results.ablation[names].max()
    rows = []
    for row in rows_of(results.ablation):
        cells = [TableCell(ablation_title(str(row["arm"])))]
        for name in names:
            ours = float(row[name])
            top = math.isfinite(ours) and ours == best[name]
            note = _published(row, name, cell["labels"])
            cells.append(number(ours, 1, "strong" if top else "", note))
        cells.append(TableCell(str(row["n_subjects"])) if row["n_subjects"] else ABSENT)
        rows.append(cells)
    table = Table(
        "Ablation (paper: Table I).",
        f"Dice in per cent on the test subjects of fold {cell['fold']} with N = {cell['labels']}. "
        f"BL: no synthetic slices; P1, P2, P3: slices after that phase; +: with real data, "
        f"{cell['ratio']}. Bold: the best of a column. III.F: what the paper's text gives for P1. "
        "No test: one fold.",
        ["", *(structure_title(name) for name in names[:-1]), "Mean", "n"],
        rows,
        "tables/ablation.csv",
    )
    return Section("What each phase contributes", [], [table])


def _published(row: Row, name: str, labels: int) -> str:
    """The paper's numbers for one cell of Table I; for P1 its text has another (III.F)."""
    theirs = float(row[f"paper_{name}"])
    lines = [] if math.isnan(theirs) else [f"paper {theirs:g}"]
    of_phase_1 = row["arm"] == "p1" and name == "overall"
    if of_phase_1 and labels in SYNTHETIC_AFTER_PHASE_1_PERCENT:
        lines.append(f"III.F {SYNTHETIC_AFTER_PHASE_1_PERCENT[labels]:g}")
    return "\n".join(lines)


def distance_section(
    results: Results, augmented: Mapping[int, str], structures: Sequence[str]
) -> Section | None:
    """Surface distances of each structure, baseline and `augmented` (label count -> arm)."""
    table = results.surface_distances
    if table.empty:
        return None
    by_cell = rows_by(table, "structure", "labels", "arm", "metric")
    arms = [(labels, "baseline") for labels in label_counts(table)]
    arms += list(augmented.items())
    columns = sorted(arms, key=lambda group: (group[0], group[1] != "baseline"))
    rows = [
        [
            TableCell(structure_title(structure)),
            *(
                _distance_cell(*(by_cell.get((structure, *column, name)) for name in _DISTANCES))
                for column in columns
            ),
        ]
        for structure in structures
    ]
    table_part = Table(
        "95 % Hausdorff distance, below it the mean surface distance (mm).",
        "Medians over the test subjects, by label count; * augmented. A structure that was not "
        f"predicted at all is missed and counts as infinitely far ({INFINITY}); a subject without "
        "it in the reference is empty and left out. Not in the paper. Every arm:",
        ["", *(group_name((labels, arm != "baseline")) for labels, arm in columns)],
        rows,
        "tables/surface_distances.csv",
    )
    return Section("Surface distances", [], [table_part])


def _distance_cell(hausdorff: Row | None, mean: Row | None) -> TableCell:
    """The Hausdorff distance; the mean distance and the counts are its note."""
    if hausdorff is None or mean is None:
        return ABSENT
    counts = [f"n = {hausdorff['n_subjects']}"]
    for name, word in (("n_infinite", "missed"), ("n_excluded", "empty")):
        if hausdorff[name]:
            counts.append(f"{hausdorff[name]} {word}")
    lines = [number(mean["median_mm"], 2).text, ", ".join(counts)]
    return number(hausdorff["median_mm"], 2, note="\n".join(lines))


def _structure_table(compared: Comparison, meta: Meta) -> Table:
    table = compared.baseline_and_augmented
    level = meta["significance"]
    names = structures_in(table, [*meta["structures"], "mean"])
    return gain_table(
        table,
        "structure",
        {name: structure_title(name) for name in names},
        "Gain in Dice by structure.",
        f"Augmented minus baseline on the same test subjects. Bold: differs at {percent(level)} "
        "(Wilcoxon, Holm over the label counts). Intervals and p values:",
        "tables/baseline_and_augmented.csv",
        level,
    )


def _pairs_table(pairs: pd.DataFrame, meta: Meta) -> Table:
    level = meta["significance"]
    rows = [
        [
            TableCell(f"{row['first']} and {row['second']}"),
            TableCell(signed(row["mean_difference"])),
            TableCell(str(row["n_subjects"])),
            TableCell(p_value(row["p_wilcoxon_holm"])),
            TableCell(p_value(row["p_t_holm"])),
        ]
        for row in rows_of(pairs)
        if not (row["p_wilcoxon_holm"] < level and row["p_t_holm"] < level)
    ]
    return Table(
        "Pairs that at least one test does not tell apart.",
        f"Of {len(pairs)} pairs of label counts and arms; Holm over all of them. All pairs:",
        ["", "Mean difference", "n", "Wilcoxon", "t-test"],
        rows or [[TableCell("none"), *[ABSENT] * 4]],
        "tables/pairs.csv",
    )

"""What the page says of the full cohort: by age, by CDR, Table II, agreement of volumes."""

from __future__ import annotations

import math
from collections.abc import Hashable, Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from gansfer.drawing.style import structure_title
from gansfer.report.figures.age_figures import LOWEST_CUT_PERCENT
from gansfer.report.page.cells import (
    ABSENT,
    figure_image,
    gain_table,
    interval,
    number,
    p_value,
    percent,
    signed,
)
from gansfer.report.page.page import DASH, Part, Section, Table, TableCell
from gansfer.report.tables import paper
from gansfer.report.tables.arm_names import arm_title
from gansfer.report.tables.comparisons import group_name
from gansfer.report.tables.dice import AGE_EDGES_YEARS
from gansfer.report.tables.results import Comparison, Meta, Results
from gansfer.report.tables.rows import Row, label_counts, rows_by, rows_of

_GAIN = "Augmented minus baseline on the same subjects, with n. Every structure:"


def cohort_section(
    results: Results, compared: Comparison, meta: Meta, figures: Mapping[str, Path]
) -> Section | None:
    """Overlap with the references by age (Fig. 11, 12) and by CDR (Fig. 13, 14)."""
    if compared.cohort_pairs.empty:
        return None
    n = compared.cohort_pairs["subject"].nunique()
    text = [
        "The analysis fold's models segment the full cohort; the overlap with its reference "
        f"segmentations shows how they perform on older and more affected subjects. {n} subjects. "
        f"{meta['analysis_reason']} {meta['reference']}".rstrip()
    ]
    parts: list[Part] = [_overall_table(compared)]
    aged = results.cohort["age_years"].dropna()
    band = (
        "Lines: Nadaraya-Watson regression (Gaussian kernel, SD "
        f"{meta['kernel_bandwidth_years']:g} years); bands: pointwise 95 % "
        f"bootstrap over subjects; below, the ages of the cohort and of all "
        f"{len(results.labelled)} labelled subjects, each as shares of its own number (the bars of "
        f"either add up to 1). {len(aged)} subjects of known age. No test."
    )
    cut = (
        f"The axis may cut off the lowest {percent(LOWEST_CUT_PERCENT / 100)} of the points; "
        "lines and bands are of all."
    )
    unrated = int(results.labelled["cdr"].isna().sum())
    unknown = f"; of {unrated} more the rating is unknown" if unrated else ""
    captions = {
        "dsc_by_age": ("Overall Dice against age (paper: Fig. 11).", f"{cut} {band}"),
        "difference_by_age": (
            "Gain in Dice against age (paper: Fig. 12).",
            f"Augmented minus baseline on the same subjects. {band}",
        ),
        "dsc_by_cdr": (
            "Overall Dice by clinical dementia rating (paper: Fig. 13).",
            "Baseline and augmented on the same subjects; n is below, and under it how many of the "
            f"labelled have that rating{unknown}. Boxes are quartiles; fewer than five subjects "
            "are drawn as points. No test.",
        ),
        "difference_by_cdr": (
            "Gain in Dice by clinical dementia rating (paper: Fig. 14).",
            "Augmented minus baseline on the same subjects, n as in the figure above; outliers are "
            "not drawn. No test.",
        ),
    }
    for name, (title, caption) in captions.items():
        if name in figures:
            parts.append(figure_image(figures[name], title, caption))
        if name == "difference_by_age" and len(compared.cohort_by_age):
            parts.append(_age_table(compared.cohort_by_age))
        if name == "difference_by_cdr" and len(compared.cohort_by_cdr):
            parts.append(_cdr_table(compared.cohort_by_cdr))
    return Section("Age and dementia", text, parts)


def stratification_section(compared: Comparison, meta: Meta) -> Section | None:
    """Table II, and the agreement of the volumes that it rests on."""
    parts: list[Part] = []
    table = compared.table_ii
    if len(table):
        parts.append(_table_ii(table, meta))
    if len(compared.volume_agreement):
        parts.append(_agreement_table(compared.volume_agreement))
    if not parts:
        return None
    text = [meta["reference"]] if meta["reference"] else []
    if table.empty:
        folds = meta["stratification_folds"]
        text.append(
            f"Table II is not here: fewer than {folds} subjects with CDR 0.5, or with CDR 1 or "
            "more, have every volume."
        )
    return Section("Telling stages of dementia apart by volume", text, parts)


def _overall_table(compared: Comparison) -> Table:
    table = compared.cohort_baseline_and_augmented
    rows = [
        [
            TableCell(f"N = {row['labels']}, {arm_title(row['arm'])}"),
            number(row["baseline"]),
            number(row["augmented"]),
            TableCell(
                signed(row["difference"]),
                interval(row),
                "strong",
            ),
            TableCell(f"{row['improved']} of {row['n_subjects']}"),
            TableCell(p_value(row["p_wilcoxon_holm"])),
        ]
        for row in rows_of(table[table["structure"] == "overall"])
    ]
    return Table(
        "Overall Dice against the references, full cohort.",
        "The same subjects in both columns; 95 % bootstrap interval over subjects; Wilcoxon "
        "signed-rank test, Holm over the label counts. Every structure:",
        ["", "Baseline", "Augmented", "Difference", "Improved", "Wilcoxon"],
        rows,
        "tables/cohort_baseline_and_augmented.csv",
    )


def _age_table(table: pd.DataFrame) -> Table:
    overall = table[table["structure"] == "overall"].sort_values("age_from")
    bands: dict[Hashable, str] = {
        row["age_from"]: f"{row['age_from']:.0f} to {row['age_to'] - 1:.0f}"
        for row in rows_of(overall)
    }
    if AGE_EDGES_YEARS[-2] in bands:
        bands[AGE_EDGES_YEARS[-2]] = f"{AGE_EDGES_YEARS[-2]} and older"
    if AGE_EDGES_YEARS[0] in bands:
        bands[AGE_EDGES_YEARS[0]] = f"under {AGE_EDGES_YEARS[1]}"
    title = "Gain in overall Dice by age (years)."
    return gain_table(overall, "age_from", bands, title, _GAIN, "tables/cohort_by_age.csv")


def _cdr_table(table: pd.DataFrame) -> Table:
    overall = table[table["structure"] == "overall"].sort_values("cdr")
    published = paper.ANALYSIS_SUBJECTS_BY_CDR
    bands: dict[Hashable, str] = {
        cdr: f"CDR {cdr:g}" + (f" (paper: n = {published[cdr]})" if cdr in published else "")
        for cdr in (row["cdr"] for row in rows_of(overall))
    }
    title = "Gain in overall Dice by clinical dementia rating."
    return gain_table(overall, "cdr", bands, title, _GAIN, "tables/cohort_by_cdr.csv")


def _table_ii(table: pd.DataFrame, meta: Meta) -> Table:
    counts = [n for n in label_counts(table) if n]
    by_cell = rows_by(table, "measure", "source", "labels")
    level = meta["significance"]
    lines = []
    for measure, title in (("accuracy", "Accuracy"), ("auc", "AUC")):
        for source in ("baseline", "augmented"):
            cells = [TableCell(f"{title}, {source}")]
            for labels in counts:
                row = by_cell.get((measure, source, labels))
                cells.append(
                    _table_ii_cell(row, paper.TABLE_II[measure][source].get(labels), level)
                )
            lines.append(cells)
        lines.append(
            [TableCell(f"{title}, reference"), _reference_cell(by_cell, measure, len(counts))]
        )
    repeats = meta["stratification_repeats"]
    marks = (
        "Beside a percentage, the paper's symbols for the comparison with the reference's volumes, "
        f"at {percent(level)}: † not significantly different, * significantly higher, none: "
        "significantly lower; by the corrected test, and below it by the naive one where that "
        "says otherwise. "
    )
    return Table(
        "CDR 0.5 against CDR 1 or more, by logistic regression on the volumes (paper: Table II).",
        f"Per cent. {_who(rows_of(table)[0])}; {meta['stratification_folds']}-fold "
        f"cross-validation repeated {repeats} times. p: augmented against baseline on the same "
        "splits, by the corrected resampled t-test over all splits (Nadeau and Bengio); bold below "
        f"{level:g}. Naive p: the paper's two-tailed t-test over the {repeats} repeats, which "
        "treats overlapping splits as independent and so finds too many differences. "
        f"{marks if ('accuracy', 'reference', 0) in by_cell else ''}All p values:",
        ["", *(f"N = {labels}" for labels in counts)],
        lines,
        "tables/table_ii.csv",
    )


def _who(row: Row) -> str:
    """How many subjects of either group Table II rests on, and how many it had to leave out."""
    groups = f"{row['n_very_mild']} subjects with CDR 0.5 and {row['n_mild']} with CDR 1 or more"
    n = row["n_left_out"]
    return groups + (f" ({n} left out: a volume is missing or empty)" if n else "")


def _reference_cell(
    by_cell: Mapping[tuple[Any, ...], Row], measure: str, columns: int
) -> TableCell:
    """One number for all label counts."""
    row = by_cell.get((measure, "reference", 0))
    theirs = f"paper {paper.TABLE_II_MALPEM_PERCENT[measure]:.1f} (MALPEM)"
    if row is None:
        return TableCell(DASH, theirs, "absent", columns)
    return TableCell(f"{row['percent']:.1f}", theirs, columns=columns)


def _table_ii_cell(row: Row | None, published: paper.Published | None, level: float) -> TableCell:
    theirs = f"paper {published.percent:.1f}{published.mark}" if published else ""
    if row is None:
        return TableCell(DASH, theirs, "absent")
    notes = []
    if row["source"] == "augmented":
        notes.append(f"p {p_value(row['p_corrected'])}, naive {p_value(row['p_naive'])}")
    if row["mark_naive"] != row["mark"]:
        notes.append(f"naive: {row['mark_naive'] or 'lower'}")
    notes.append(theirs)
    note = "\n".join(part for part in notes if part)
    return TableCell(
        f"{row['percent']:.1f}{row['mark']}", note, _strong(row["p_corrected"] < level)
    )


def _strong(is_strong: bool) -> str:
    return "strong" if is_strong else ""


def _agreement_table(table: pd.DataFrame) -> Table:
    by_cell = rows_by(table, "structure", "labels", "arm")
    columns = sorted({(labels, arm != "baseline", arm) for _, labels, arm in by_cell})
    lines = []
    for structure in dict.fromkeys(structure for structure, _, _ in by_cell):
        cells = [TableCell(structure_title(structure))]
        n, n_empty = [], 0
        for labels, _, arm in columns:
            row = by_cell.get((structure, labels, arm))
            n_empty = max(n_empty, 0 if row is None else row["n_empty"])
            if row is None or not math.isfinite(row["bias_mm3"]):
                cells.append(ABSENT)
                continue
            half = (row["high_mm3"] - row["low_mm3"]) / 2
            spread = f"± {half:.0f}" if math.isfinite(half) else ""
            cells.append(TableCell(signed(row["bias_mm3"], 0), spread))
            n.append(row["n_subjects"])
        cells.append(TableCell(str(min(n, default=0)), f"{n_empty} empty" if n_empty else ""))
        lines.append(cells)
    groups = [group_name((labels, augmented)) for labels, augmented, _ in columns]
    return Table(
        "Agreement of volumes with the references (mm³).",
        "Mean of measured minus reference ± half the width of the 95 % limits of agreement (Bland "
        "and Altman), by label count; * augmented; n is the smallest of a row. Empty: "
        "the reference lacks the structure, so the subject is left out. Not in the paper.",
        ["", *groups, "n"],
        lines,
        "tables/volume_agreement.csv",
    )

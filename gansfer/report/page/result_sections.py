"""What the page says first: baseline against augmented, and every ratio (Fig. 8)."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path

import pandas as pd

from gansfer.progress import duration
from gansfer.report.page.cells import (
    ABSENT,
    figure_image,
    interval,
    number,
    p_value,
    signed,
)
from gansfer.report.page.page import DASH, Fact, Part, Section, Table, TableCell
from gansfer.report.tables import paper
from gansfer.report.tables.arm_names import arm_title
from gansfer.report.tables.ratio_choice import PER_LABEL_COUNT
from gansfer.report.tables.results import Comparison, Meta, Results
from gansfer.report.tables.rows import Row, label_counts, rows_by, segmenter_arms


def facts(results: Results, meta: Meta) -> list[Fact]:
    """How much is there: subjects, label counts and computing time."""
    subjects = len(results.test_subjects)
    counts = ", ".join(map(str, results.label_counts))
    shown = [Fact("Test subjects", str(subjects), f"label counts {counts}")]
    if len(results.cohort):
        shown.append(Fact("Cohort subjects", str(len(results.cohort)), "segmented and measured"))
    if meta["wall_s"]:
        shown.append(Fact("Computing time", duration(sum(meta["wall_s"].values())), "all tasks"))
    return shown


def ratio_rule(results: Results, meta: Meta) -> str:
    """How the ratio of the augmented results was chosen, as part of a sentence."""
    if meta["best_ratio"] != PER_LABEL_COUNT:
        return f"the ratio {meta['best_ratio']} throughout"
    folds = results.ratio_choice.groupby("labels")["fold"].nunique()
    if len(folds) and folds.max() == 1:
        stated = ", ".join(
            f"{ratio} from N = {labels}" for labels, ratio in meta["ratio_from_labels"].items()
        )
        return (
            "the ratio that the settings state, as there is one fold alone and no other to choose "
            f"on ({stated}; the nearest that was run)"
        )
    return (
        "for each fold the ratio with the highest mean overall Dice on the test subjects of the "
        "other folds, so that no subject chooses the ratio that it is measured on"
    )


def key_section(results: Results, meta: Meta, figures: Mapping[str, Path]) -> Section:
    """Baseline against augmented by both choices of ratio, then every ratio (Fig. 8)."""
    beside = None
    text = f"The augmented results take {ratio_rule(results, meta)}."
    if meta["best_ratio"] == PER_LABEL_COUNT:
        beside = results.fair if results.best is None else results.best
        same = "; here it chooses the same" if results.best is None else ""
        text += (
            " Beside them stands the paper's way: the ratio with the highest mean overall Dice on "
            f"these same test subjects, which favours it{same}."
        )
    parts: list[Part] = [key_table(results, results.fair, ratio_rule(results, meta), beside)]
    if results.best is not None:
        parts.append(_choice_table(results.ratio_choice))
    parts.append(_ratio_table(results))
    if "dsc_by_ratio" in figures:
        parts.append(
            figure_image(
                figures["dsc_by_ratio"],
                "Overall Dice by ratio and label count (paper: Fig. 8).",
                f"Mean over the {len(results.test_subjects)} test subjects with its standard "
                "error; an arm that lacks some of them is not drawn; an open marker lacks a seed. "
                "Right: synthetic slices alone. No test.",
            )
        )
    return Section("Result", [text], parts)


def key_table(
    results: Results, compared: Comparison, chosen: str, beside: Comparison | None = None
) -> Table:
    """Baseline against augmented on the test subjects.

    Args:
        results: for what is planned.
        compared: by which choice of ratios.
        chosen: how they were chosen, as part of a sentence.
        beside: by the paper's choice, for a column of its own; None: no such column.
    """
    overall = _overall(compared)
    best = {} if beside is None else _overall(beside)
    planned = rows_by(results.dsc_by_ratio, "labels", "arm")
    rows = []
    for labels in results.label_counts:
        row = overall.get((labels,))
        cells = [TableCell(f"N = {labels}")]
        if row is None:
            cells += [_lacking(planned.get((labels, "baseline"))), *[ABSENT] * 5]
        else:
            cells += [
                number(row["baseline"]),
                number(
                    row["augmented"], kind="strong", note=_augmented_name(results, compared, labels)
                ),
                TableCell(signed(row["difference"]), interval(row), "strong"),
                TableCell(f"{row['improved']} of {row['n_subjects']}"),
                TableCell(p_value(row["p_wilcoxon_holm"])),
                TableCell(p_value(row["p_t"])),
            ]
        if beside is not None:
            cells.append(_best_cell(best.get((labels,)), beside, labels))
        rows.append([*cells, _published(labels)])
    headers = ["", "Baseline", "Augmented", "Difference", "Improved", "Wilcoxon", "t-test"]
    headers += ["Best on test"] * (beside is not None)
    return Table(
        "Overall Dice of test subjects, baseline against augmented.",
        f"Compared on the same subjects. Augmented: {chosen}. Difference with its 95 % bootstrap "
        "interval over subjects; two-sided Wilcoxon signed-rank test with Holm's correction over "
        "the label counts, paired t-test beside it."
        + (" Best on test: augmented by the paper's way." if beside is not None else ""),
        [*headers, "Paper"],
        rows,
        "tables/baseline_and_augmented.csv",
    )


def _overall(compared: Comparison) -> dict[tuple[int, ...], Row]:
    table = compared.baseline_and_augmented
    return rows_by(table[table["structure"] == "overall"], "labels")


def _best_cell(row: Row | None, best: Comparison, labels: int) -> TableCell:
    if row is None:
        return ABSENT
    gain = f"{best.choice.title(labels)}, {signed(row['difference'])}"
    return number(row["augmented"], note=f"{gain}\n{interval(row)}")


def _choice_table(table: pd.DataFrame) -> Table:
    """The ratio of every fold, and the one that is best on the test subjects."""
    by_cell = rows_by(table, "labels", "fold")
    folds = sorted(table["fold"].unique())
    rows = []
    for labels in label_counts(table):
        ours = [by_cell.get((labels, fold)) for fold in folds]
        arms = ["" if row is None else str(row["without_test_subjects"]) for row in ours]
        best = next(str(row["best_on_test"]) for row in ours if row is not None)
        cells = [TableCell(arm_title(arm)) if arm else ABSENT for arm in (*arms, best)]
        rows.append([TableCell(f"N = {labels}"), *cells])
    return Table(
        "Ratio of real to synthetic segments that stands for augmentation.",
        "For each fold, chosen without its test subjects; last, the best on all test subjects.",
        ["", *(f"Fold {fold}" for fold in folds), "Best on test"],
        rows,
        "tables/ratio_choice.csv",
    )


def _published(labels: int) -> TableCell:
    """What the paper prints as a number for this label count: one fold only."""
    base = paper.BASELINE_ONE_FOLD_PERCENT.get(labels)
    if base is None:
        return ABSENT
    if labels == 1:
        gain = paper.ABLATION_PERCENT["ratio-2to1"]["overall"] / 100
        first = paper.ABLATION_PERCENT["baseline"]["overall"] / 100
        return TableCell(f"{first:.3f} to {gain:.3f}", "one fold, 2:1", "paper")
    return TableCell(f"{base / 100:.2f}", "baseline, one fold", "paper")


def _augmented_name(results: Results, compared: Comparison, labels: int) -> str:
    """The ratio of a label count; if ratios are missing, of how many it was chosen."""
    there, planned = results.ratios.get(labels, (0, 0))
    name = compared.choice.title(labels).replace(", ", "\n")
    return name if there == planned else f"{name}, of {there} of {planned} ratios"


def _lacking(row: Row | None) -> TableCell:
    """A dash, with how many of the planned subjects are there."""
    if row is None or not row["n_subjects"]:
        return ABSENT
    return TableCell(DASH, f"n = {row['n_subjects']} of {row['n_planned']}", "absent")


def _ratio_table(results: Results) -> Table:
    table = results.dsc_by_ratio
    arms = segmenter_arms(table)
    by_cell = rows_by(table, "labels", "arm")
    rows = []
    for labels in results.label_counts:
        cells = [TableCell(f"N = {labels}")]
        means = [by_cell[labels, a]["mean_dsc"] for a in arms if (labels, a) in by_cell]
        best = max((mean for mean in means if math.isfinite(mean)), default=math.nan)
        for arm in arms:
            row = by_cell.get((labels, arm))
            if row is None or not math.isfinite(row["mean_dsc"]):
                cells.append(_lacking(row))
                continue
            whole = row["cells"] >= row["cells_expected"]
            sd = f"± {row['sd_dsc']:.3f}, " if math.isfinite(row["sd_dsc"]) else ""
            note = f"{sd}n = {row['n_subjects']}"
            if not whole:
                note += f", {row['cells']} of {row['cells_expected']} cells"
            kind = "partial" if not whole else "strong" if row["mean_dsc"] == best else ""
            cells.append(number(row["mean_dsc"], kind=kind, note=note))
        rows.append(cells)
    excluded = int(table["n_excluded"].sum())
    left_out = f" {excluded} values were excluded (empty reference)." if excluded else ""
    return Table(
        "Overall Dice by ratio of real to synthetic segments.",
        "Mean ± standard deviation over test subjects (a subject's seeds are averaged first). "
        "Bold: the highest of a row; red: a seed is missing; "
        f"{DASH}: subjects are missing, n of those planned.{left_out}",
        ["", *(arm_title(arm) for arm in arms)],
        rows,
        "tables/dsc_by_ratio.csv",
    )

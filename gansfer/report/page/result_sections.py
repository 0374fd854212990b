"""What the page says first: baseline against augmented, and every ratio (Fig. 8)."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path

from gansfer.progress import duration
from gansfer.report.page.cells import (
    ABSENT,
    figure_image,
    number,
    p_value,
    percent,
    signed,
    too_few_subjects,
)
from gansfer.report.page.page import DASH, Cell, Fact, Part, Section, Table
from gansfer.report.tables import paper
from gansfer.report.tables.arms import arm_title
from gansfer.report.tables.results import Meta, Results
from gansfer.report.tables.rows import Row, rows_by, rows_of, segmenter_arms


def facts(results: Results, meta: Meta) -> list[Fact]:
    """The numbers at the top: overall Dice of the smallest label count, and how much is there."""
    shown: list[Fact] = []
    table = results.baseline_and_augmented
    overall = table[table["structure"] == "overall"]
    for row in rows_of(overall.sort_values("labels"))[:2]:
        name = f"Gain at N = {row['labels']} ({arm_title(row['arm'])})"
        dice = f"overall Dice {row['baseline']:.3f} to {row['augmented']:.3f}"
        shown.append(Fact(name, signed(row["difference"]), f"{dice}, n = {row['n_subjects']}"))
    subjects = len(results.test_people)
    counts = ", ".join(map(str, results.label_counts))
    shown.append(Fact("Test subjects", str(subjects), f"label counts {counts}"))
    if len(results.cohort):
        shown.append(Fact("Cohort subjects", str(len(results.cohort)), "segmented and measured"))
    if meta["wall_s"]:
        shown.append(Fact("Computing time", duration(sum(meta["wall_s"].values())), "all tasks"))
    return shown


def key_section(results: Results, meta: Meta, figures: Mapping[str, Path]) -> Section:
    """Baseline against the best ratio, then every ratio (Fig. 8)."""
    rule = meta.get("best_ratio", "per_label_count")
    chosen = (
        "the ratio with the highest mean overall Dice on these same test subjects, chosen for each "
        "N as in the paper, which favours it a little"
        if rule == "per_label_count"
        else f"the ratio {rule} throughout"
    )
    parts: list[Part] = [_key_table(results, chosen), _ratio_table(results)]
    if "dsc_by_ratio" in figures:
        parts.append(
            figure_image(
                figures["dsc_by_ratio"],
                "Overall Dice by ratio and label count (paper: Fig. 8).",
                f"Mean over the {len(results.test_people)} test subjects with its standard error; "
                "an arm that lacks some of them is not drawn; an open marker lacks a seed. "
                "Right: synthetic slices alone. No test.",
            )
        )
    question = "Does adding generated slices to the real ones segment unseen people better?"
    return Section("Result", [f"{question} {_answer(results, meta)}"], parts)


def _answer(results: Results, meta: Meta) -> str:
    """One sentence: at which label counts it does, at which it does not."""
    table = results.baseline_and_augmented
    table = table[table["structure"] == "overall"]
    level = meta.get("significance", 0.05)
    sure = table["p_wilcoxon_holm"] < level
    verdicts = [
        ("Better", table[sure & (table["difference"] > 0)]),
        ("worse", table[sure & (table["difference"] < 0)]),
        ("no difference shown", table[~sure]),
    ]
    said = [
        f"{verdict} at N = {', '.join(str(n) for n in sorted(rows['labels']))}"
        for verdict, rows in verdicts
        if len(rows)
    ]
    if not said:
        return "Nothing to compare yet."
    later = [n for n in results.label_counts if n not in set(table["labels"])]
    if later:
        said.append(f"not all there at N = {', '.join(map(str, later))}")
    text = f"{'; '.join(said)} ({percent(level)} level)."
    return text[0].upper() + text[1:] + too_few_subjects(table, level)


def _key_table(results: Results, chosen: str) -> Table:
    table = results.baseline_and_augmented
    overall = rows_by(table[table["structure"] == "overall"], "labels")
    planned = rows_by(results.dsc_by_ratio, "labels", "arm")
    rows = []
    for labels in results.label_counts:
        published = _published(labels)
        row = overall.get((labels,))
        if row is None:
            base = _lacking(planned.get((labels, "baseline")))
            rows.append([Cell(f"N = {labels}"), base, *[ABSENT] * 5, published])
            continue
        low, high = signed(row["low"]), signed(row["high"])
        rows.append(
            [
                Cell(f"N = {labels}"),
                number(row["baseline"]),
                number(row["augmented"], kind="strong", note=augmented_name(results, labels)),
                Cell(signed(row["difference"]), f"{low} to {high}", "strong"),
                Cell(f"{row['improved']} of {row['n_subjects']}"),
                Cell(p_value(row["p_wilcoxon_holm"])),
                Cell(p_value(row["p_t"])),
                published,
            ]
        )
    return Table(
        "Overall Dice of test subjects, baseline against augmented.",
        f"Compared on the same subjects. Augmented: {chosen}. Difference with its 95 % bootstrap "
        "interval over subjects; two-sided Wilcoxon signed-rank test with Holm's correction over "
        "the label counts, paired t-test beside it.",
        ["", "Baseline", "Augmented", "Difference", "Improved", "Wilcoxon", "t-test", "Paper"],
        rows,
        "tables/baseline_and_augmented.csv",
    )


def _published(labels: int) -> Cell:
    """What the paper prints as a number for this label count: one fold only."""
    base = paper.BASELINE_ONE_FOLD_PERCENT.get(labels)
    if base is None:
        return ABSENT
    if labels == 1:
        gain = paper.ABLATION_PERCENT["ratio-2to1"]["overall"] / 100
        first = paper.ABLATION_PERCENT["baseline"]["overall"] / 100
        return Cell(f"{first:.3f} to {gain:.3f}", "one fold, 2:1", "paper")
    return Cell(f"{base / 100:.2f}", "baseline, one fold", "paper")


def augmented_name(results: Results, labels: int) -> str:
    """The augmented arm of a label count; if ratios are missing, of how many it is the best."""
    there, planned = results.ratios.get(labels, (0, 0))
    name = arm_title(results.augmented[labels])
    return name if there == planned else f"{name}, of {there} of {planned} ratios"


def _lacking(row: Row | None) -> Cell:
    """A dash, with how many of the planned subjects are there."""
    if row is None or not row["n_subjects"]:
        return ABSENT
    return Cell(DASH, f"n = {row['n_subjects']} of {row['n_planned']}", "absent")


def _ratio_table(results: Results) -> Table:
    table = results.dsc_by_ratio
    arms = segmenter_arms(table)
    by_cell = rows_by(table, "labels", "arm")
    rows = []
    for labels in results.label_counts:
        cells = [Cell(f"N = {labels}")]
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

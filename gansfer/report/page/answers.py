"""The first screen: whether augmentation helps, in whom, and how sure that is."""

from __future__ import annotations

import pandas as pd

from gansfer.report.page.cells import interval, percent, signed, too_few_subjects, verdict
from gansfer.report.page.page import Answer, AnswerRow
from gansfer.report.tables.results import Meta, Results
from gansfer.report.tables.rows import rows_of

_QUESTION = "Does adding generated slices to the real ones segment unseen subjects better?"


def answer_sentence(results: Results, meta: Meta) -> str:
    """The question, and for which label counts the test subjects answer it how."""
    table = results.fair.baseline_and_augmented
    table = table[table["structure"] == "overall"]
    level = meta["significance"]
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
        return f"{_QUESTION} Nothing to compare yet."
    later = [n for n in results.label_counts if n not in set(table["labels"])]
    if later:
        said.append(f"not all there at N = {', '.join(map(str, later))}")
    text = f"{'; '.join(said)} (test subjects, {percent(level)} level)."
    return f"{_QUESTION} {text[0].upper()}{text[1:]}{too_few_subjects(table, level)}"


def answers(results: Results, meta: Meta) -> list[Answer]:
    """The gain of each label count: in the test subjects, in the cohort, in its young and old."""
    compared = results.fair
    groups = [("All test subjects", compared.baseline_and_augmented)]
    groups.append(("Cohort", compared.cohort_baseline_and_augmented))
    for ages, table in compared.cohort_young_and_old.groupby("ages", sort=False):
        groups.append((f"Cohort, {ages}", table))
    named = ((name, table[table["structure"] == "overall"]) for name, table in groups)
    return [_answer(name, table, meta["significance"]) for name, table in named if len(table)]


def _answer(name: str, table: pd.DataFrame, level: float) -> Answer:
    n_tests = int(table["p_wilcoxon"].notna().sum())
    rows = []
    for row in rows_of(table.sort_values("labels")):
        said, kind = verdict(row, level, n_tests)
        gain = signed(row["difference"])
        rows.append(AnswerRow(f"N = {row['labels']}", gain, interval(row), said, kind))
    low, high = int(table["n_subjects"].min()), int(table["n_subjects"].max())
    return Answer(name, f"n = {high}" if low == high else f"n = {low} to {high}", rows)


def how_to_read(meta: Meta, ratio_rule: str) -> str:
    """What the numbers of `answers` are."""
    return (
        "Overall Dice, augmented minus baseline on the same subjects, with its 95 % bootstrap "
        "interval; verdicts by the two-sided Wilcoxon signed-rank test at "
        f"{percent(meta['significance'])}, Holm over the label counts. Augmented: {ratio_rule}."
    )

"""The first screen: whether augmentation helps, in whom, how sure that is, and what to pick."""

from __future__ import annotations

import math

import pandas as pd

from gansfer.report.page.cells import interval, percent, signed, too_few_subjects, verdict
from gansfer.report.page.page import Answer, AnswerRow
from gansfer.report.tables.arm_names import PROPAGATION
from gansfer.report.tables.methods import BASELINE, GANSFER, is_rival, method_title
from gansfer.report.tables.results import Meta, Results
from gansfer.report.tables.rows import Row, label_counts, rows_of

_QUESTION = "Does adding generated slices to the real ones segment unseen subjects better?"
_PICK_SCOPES = {"test": "Test subjects", "cohort": "Cohort"}


def answer_sentence(results: Results, meta: Meta) -> str:
    """The question, and for which label counts the test subjects and the cohort answer it how."""
    table = _overall(results.fair.baseline_and_augmented)
    level = meta["significance"]
    said = _verdicts(table, level)
    if not said:
        return f"{_QUESTION} Nothing to compare yet."
    later = [n for n in results.label_counts if n not in set(table["labels"])]
    if later:
        said.append(f"not all there at N = {', '.join(map(str, later))}")
    text = f"{'; '.join(said)} (test subjects, {percent(level)} level)."
    text = f"{_QUESTION} {text[0].upper()}{text[1:]}{too_few_subjects(table, level)}"
    in_cohort = _verdicts(_overall(results.fair.cohort_baseline_and_augmented), level)
    return f"{text} Cohort: {'; '.join(in_cohort)}." if in_cohort else text


def _overall(table: pd.DataFrame) -> pd.DataFrame:
    return table[table["structure"] == "overall"]


def _verdicts(table: pd.DataFrame, level: float) -> list[str]:
    sure = table["p_wilcoxon_holm"] < level
    by_verdict = [
        ("better", table[sure & (table["difference"] > 0)]),
        ("worse", table[sure & (table["difference"] < 0)]),
        ("no difference shown", table[~sure]),
    ]
    return [
        f"{verdict} at N = {', '.join(str(n) for n in sorted(rows['labels']))}"
        for verdict, rows in by_verdict
        if len(rows)
    ]


def answers(results: Results, meta: Meta) -> list[Answer]:
    """The gain of each label count: in the test subjects, in the cohort, in its young and old."""
    compared = results.fair
    groups = [("All test subjects", compared.baseline_and_augmented)]
    groups.append(("Cohort", compared.cohort_baseline_and_augmented))
    for ages, table in compared.cohort_young_and_old.groupby("ages", sort=False):
        groups.append((f"Cohort, {ages}", table))
    named = ((name, _overall(table)) for name, table in groups)
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


def pick_sentence(results: Results, meta: Meta) -> str:
    """Which method to pick at which N, as far as it is shown; empty where no rival was run."""
    said = []
    for scope, name in _PICK_SCOPES.items():
        table = results.methods[results.methods["scope"] == scope]
        phrases: dict[tuple[str, str], list[str]] = {}
        for labels in label_counts(table):
            rival = _best_rival(table, labels)
            phrase = _pick_phrase(_picked(table, labels), rival, meta["significance"])
            phrases.setdefault(phrase, []).append(str(labels))
        parts = [
            f"{what} at N = {', '.join(counts)}{note}" for (what, note), counts in phrases.items()
        ]
        if parts:
            said.append(f"{name}: {'; '.join(parts)}.")
    return f"What to pick? {' '.join(said)}" if said else ""


def picks(results: Results, meta: Meta) -> list[Answer]:
    """The method with the highest mean of each label count, over the baseline and over GANsfer."""
    cards = []
    for scope, name in _PICK_SCOPES.items():
        table = results.methods[results.methods["scope"] == scope]
        rows = []
        for labels in label_counts(table):
            rows += _pick_rows(table, labels, meta["significance"])
        if rows:
            n = int(table["n_subjects"].max())
            cards.append(Answer(f"What to pick, {name.lower()}", f"n = {n}", rows))
    return cards


def how_picked(results: Results, meta: Meta) -> str:
    """What the rows of `picks` are, and where propagation, on fewer subjects, is above GANsfer."""
    if results.methods.empty:
        return ""
    text = (
        "What to pick: the method whose overall Dice is the highest above the baseline's, of those "
        "that have all subjects and whose ratio no test subject chose. The highest of several is "
        "found on the subjects that it is measured on, which favours it: no verdict is corrected "
        "for that. Interval and verdicts as above, Holm over the label counts of each method."
    )
    test = results.methods[results.methods["scope"] == "test"]
    beside = []
    for row in rows_of(test[test["method"].eq(PROPAGATION) & test["against"].eq(GANSFER)]):
        everyone = test[test["labels"].eq(row["labels"]) & test["method"].eq(BASELINE)]
        if row["difference"] > 0 and row["n_subjects"] < everyone["n_subjects"].max():
            said, _ = verdict(row, meta["significance"], row["n_tests"])
            beside.append(
                f"N = {row['labels']}: {signed(row['difference'])}, {interval(row)}, {said}, "
                f"n = {row['n_subjects']}"
            )
    if beside:
        text += (
            " Label propagation was not run on all test subjects; on its own it is above GANsfer "
            f"at {'; '.join(beside)}."
        )
    return text


def _picked(table: pd.DataFrame, labels: int) -> dict[str, Row]:
    """The rows of the method to pick, by what it is compared with; none where there is none."""
    return {
        row["against"]: row
        for row in rows_of(table[table["labels"].eq(labels) & table["highest"].eq(True)])
    }


def _best_rival(table: pd.DataFrame, labels: int) -> Row | None:
    """GANsfer against the rival that is nearest to it, or above it, on all of its subjects."""
    here = table[table["labels"].eq(labels)]
    n = here.loc[here["method"].eq(GANSFER), "n_subjects"].max()
    beside = here[here["against"].eq(GANSFER) & here["n_subjects"].eq(n)]
    rivals = [row for row in rows_of(beside) if is_rival(row["method"])]
    if not rivals:
        return None
    best = max(rivals, key=lambda row: row["difference"])
    turned = {"difference": -best["difference"], "low": -best["high"], "high": -best["low"]}
    return best | turned


def _pick_phrase(picked: dict[str, Row], best_rival: Row | None, level: float) -> tuple[str, str]:
    """What to pick, and after the label counts what else is to be known of it."""
    if not picked:
        return "not all there", ""
    row = picked[BASELINE]
    if row["method"] == BASELINE:
        return "no method is above the baseline", ""
    said, kind = verdict(row, level, row["n_tests"])
    if kind != "better":
        few = said if said.startswith("too few") else "none is shown to be"
        return f"{few} better than the baseline", ""
    title = method_title(row["method"])
    if row["method"] == GANSFER:
        if best_rival is None:
            return title, ""
        said, kind = verdict(best_rival, level, best_rival["n_tests"])
        rival = method_title(best_rival["method"])
        rival = rival[0].lower() + rival[1:]
        return title, f" ({said} than {rival})" if kind else f" (against {rival} {said})"
    notes = ["a rival"] if is_rival(row["method"]) else []
    if GANSFER in picked:
        beside = picked[GANSFER]
        said, kind = verdict(beside, level, beside["n_tests"])
        notes.append(f"{said} than GANsfer alone" if kind else f"against GANsfer {said}")
    note = f" ({', '.join(notes)})" if notes else ""
    return title[0].lower() + title[1:], note


def _pick_rows(table: pd.DataFrame, labels: int, level: float) -> list[AnswerRow]:
    own = table[table["labels"].eq(labels) & table["against"].eq(BASELINE) & table["fair"].eq(True)]
    own = own[own["n_planned"] == own["n_planned"].max()]
    n_there = int(own["mean_dsc"].notna().sum())
    picked = _picked(table, labels)
    if not picked:
        return [AnswerRow(f"N = {labels}", "", "", f"{n_there} of {len(own)} methods are there")]
    row = picked[BASELINE]
    planned = "" if n_there == len(own) else f" ({len(own)} planned)"
    title, mean = method_title(row["method"]), f"{row['mean_dsc']:.3f}"
    rows = [AnswerRow(f"N = {labels}", title, mean, f"highest of {n_there}{planned}", "pick")]
    for other, title in ((BASELINE, "over baseline"), (GANSFER, "over GANsfer")):
        beside = picked.get(other)
        if beside is None and GANSFER in set(own["method"]) - {row["method"]}:
            rows.append(AnswerRow(title, "", "", "GANsfer is not all there"))
        if beside is not None and math.isfinite(beside["difference"]):
            said, kind = verdict(beside, level, beside["n_tests"])
            gain = signed(beside["difference"])
            rows.append(AnswerRow(title, gain, interval(beside), said, kind))
    rival = _best_rival(table, labels)
    if row["method"] == GANSFER and rival is not None:
        said, kind = verdict(rival, level, rival["n_tests"])
        beside_it = f"{interval(rival)}, {method_title(rival['method'])}"
        rows.append(
            AnswerRow("over best rival", signed(rival["difference"]), beside_it, said, kind)
        )
    return rows

"""Every way to segment with N labels, side by side: which one to pick at which N.

GANsfer stands beside what costs less: the baseline, classical augmentation, self-training and label
propagation. Legend as in `dice.py`; here an arm is a method: GANsfer is, in each fold, the ratio
that stands for augmentation there, chosen without the test subjects or in the paper's way.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import pandas as pd

from gansfer.report.tables.arm_names import (
    CLASSICAL,
    PROPAGATION,
    SELF_TRAINING,
    arm_order,
    arm_title,
    is_ratio,
    is_rival_arm,
)
from gansfer.report.tables.comparisons import against_baseline, age_parts
from gansfer.report.tables.completeness import subjects_by_arm
from gansfer.report.tables.dice import values_by_subject
from gansfer.report.tables.ratio_choice import Choice
from gansfer.report.tables.rows import Row, label_counts, rows_by, rows_of

BASELINE = "baseline"
GANSFER = "gansfer"
BEST_ON_TEST = "gansfer-best-on-test"
COLUMNS = (
    "labels",
    "scope",
    "method",
    "arm",
    "fair",
    "against",
    "n_subjects",
    "n_planned",
    "mean_dsc",
    "against_dsc",
    "difference",
    "low",
    "high",
    "improved",
    "p_wilcoxon",
    "p_wilcoxon_holm",
    "n_tests",
    "highest",
)
_TITLES = {
    BASELINE: "Baseline",
    CLASSICAL: "Classical augmentation",
    SELF_TRAINING: "Self-training",
    PROPAGATION: "Label propagation",
    GANSFER: "GANsfer",
    BEST_ON_TEST: "GANsfer, best on test",
}


def method_title(method: str) -> str:
    """A method's name as readers see it, such as "Classical augmentation and synthetic (2:1)"."""
    alone, _, mixed = method.partition("+")
    return _TITLES[alone] + (f" and synthetic ({arm_title(mixed)})" if mixed else "")


def is_rival(method: str) -> bool:
    """Whether a method needs no GAN, and is not the baseline."""
    return method == PROPAGATION or (is_rival_arm(method) and "+" not in method)


def methods_table(
    metrics: pd.DataFrame, expected: pd.DataFrame, fair: Choice, best: Choice | None, seed: int
) -> pd.DataFrame:
    """Overall Dice of every method at each label count, against the baseline and against GANsfer.

    Args:
        metrics: the metrics, holes included.
        expected: the planned cells: seed, fold, labels, arm, set.
        fair: GANsfer's ratios, chosen without the test subjects.
        best: by the paper's way; None where that is the same.
        seed: of the bootstrap intervals.

    Returns:
        Columns `COLUMNS`; for each label count and scope ("test", "cohort", and the cohort's ages)
        a row for every planned method, `against` the baseline, and more against "gansfer" where
        both are there. `fair`: no test subject chose the method's ratio. A method that lacks
        subjects has no mean. `against_dsc` is the other's mean on the same subjects; `n_tests`
        counts the label counts that Holm's correction is over. `highest` marks the fair method
        with the highest difference to the baseline, of those measured on all of its subjects.
        Empty where no rival arm was measured.
    """
    if not metrics["arm"].map(is_rival_arm).any():
        return pd.DataFrame(columns=list(COLUMNS))
    alone = [BASELINE, *filter(is_rival_arm, expected["arm"].unique()), PROPAGATION]
    choices = {GANSFER: fair} | ({} if best is None else {BEST_ON_TEST: best})
    rows = _by_method(metrics, alone, choices)
    planned = _planned_by_method(expected, alone, choices)
    methods = sorted(planned["arm"].unique(), key=_order)
    by_arm = rows_by(subjects_by_arm(rows, planned), "labels", "arm", "set")
    is_whole = {cell: bool(row["whole"]) for cell, row in by_arm.items()}
    records: list[Row] = []
    for scope, set_name, part in _scopes(rows):
        cells = zip(part["labels"], part["arm"], strict=True)
        whole = part[[is_whole.get((n, method, set_name), False) for n, method in cells]]
        compared = {
            (method, base): _against(whole, method, base, set_name, seed)
            for method in methods
            for base in (BASELINE, GANSFER)
            if method != base
        }
        there = part.dropna(subset="value").groupby(["labels", "arm"])["subject"].nunique()
        for labels in label_counts(planned):
            for method in methods:
                cell = by_arm.get((labels, method, set_name))
                if cell is None:
                    continue
                n_planned = cell["n_planned"]
                if scope != set_name:  # of an age, as many as were segmented by anything
                    n_planned = part["subject"].nunique()
                common: Row = {
                    "labels": labels,
                    "scope": scope,
                    "method": method,
                    "arm": _arm(method, choices.get(method), labels, set_name),
                    "fair": method != BEST_ON_TEST,
                    "n_planned": n_planned,
                }
                own = {
                    "against": BASELINE,
                    "n_subjects": int(there.get((labels, method), 0)),
                    "mean_dsc": _mean(whole, labels, method, set_name),
                }
                pair = compared.get((method, BASELINE), {}).get((labels,), {})
                records.append(common | own | pair)
                beside = compared.get((method, GANSFER), {}).get((labels,))
                if beside is not None:
                    records.append(common | {"against": GANSFER} | beside)
    table = pd.DataFrame(records).reindex(columns=list(COLUMNS))
    return table.assign(highest=_is_highest(table))


def _by_method(
    metrics: pd.DataFrame, alone: Iterable[str], choices: dict[str, Choice]
) -> pd.DataFrame:
    """The rows of overall Dice with a method as their arm; what is of no method is left out."""
    overall = metrics["structure"].eq("overall") & metrics["metric"].eq("dsc")
    rows = metrics[overall]
    seeds = rows["seed"].unique()
    # Nothing is trained for propagation, so it is the same at every seed.
    propagated = rows[rows["arm"] == PROPAGATION].drop(columns="seed")
    parts = [
        rows[rows["arm"].isin(set(alone) - {PROPAGATION})],
        propagated.merge(pd.DataFrame({"seed": seeds}), how="cross")[list(rows.columns)],
    ]
    for method, choice in choices.items():
        cells = zip(rows["labels"], rows["fold"], rows["set"], strict=True)
        arms = [
            choice.by_fold.get((labels, fold)) if name == "test" else choice.cohort.get(labels)
            for labels, fold, name in cells
        ]
        parts.append(rows[rows["arm"].eq(pd.Series(arms, rows.index))].assign(arm=method))
    return pd.concat(parts, ignore_index=True)


def _planned_by_method(
    expected: pd.DataFrame, alone: Iterable[str], choices: Iterable[str]
) -> pd.DataFrame:
    """The planned cells with a method as their arm: GANsfer's, wherever ratios are planned."""
    ratios = expected[expected["arm"].map(is_ratio).astype(bool)]
    cells = ratios.drop_duplicates(["seed", "fold", "labels", "set"])
    parts = [expected[expected["arm"].isin(alone)], *(cells.assign(arm=one) for one in choices)]
    return pd.concat(parts, ignore_index=True)


def _scopes(rows: pd.DataFrame) -> Iterator[tuple[str, str, pd.DataFrame]]:
    """Name, set and rows of each group of subjects that is there."""
    cohort = rows[rows["set"] == "cohort"]
    scopes = [("test", "test", rows[rows["set"] == "test"]), ("cohort", "cohort", cohort)]
    scopes += [(f"cohort, {ages}", "cohort", part) for ages, part in age_parts(cohort)]
    return (scope for scope in scopes if len(scope[2]))


def _against(
    rows: pd.DataFrame, method: str, base: str, set_name: str, seed: int
) -> dict[tuple[int, ...], Row]:
    """One method beside another on the same subjects, by label count."""
    arms = {base: BASELINE, method: "other"}
    both = rows[rows["arm"].isin(list(arms))]
    named = both.assign(arm=both["arm"].map(arms))
    counts = label_counts(both[both["arm"] == method])
    table = against_baseline(named, dict.fromkeys(counts, "other"), set_name, seed)
    table = table.rename(columns={"augmented": "mean_dsc", "baseline": "against_dsc"})
    table = table.assign(n_tests=table["p_wilcoxon"].notna().sum())
    kept = [name for name in COLUMNS if name in table and name != "arm"]
    return rows_by(table[kept], "labels")


def _mean(rows: pd.DataFrame, labels: int, method: str, set_name: str) -> float:
    here = rows[(rows["labels"] == labels) & (rows["arm"] == method)]
    return float(values_by_subject(here, set_name)["value"].mean())


def _is_highest(table: pd.DataFrame) -> pd.Series:
    """Marks the rows of the highest in each (label count, scope); none where one is alone."""
    highest = set()
    own = table[(table["against"] == BASELINE) & table["fair"].eq(True)]
    for (labels, scope), rows in own.groupby(["labels", "scope"]):
        by_method = {row["method"]: row for row in rows_of(rows.dropna(subset="mean_dsc"))}
        base = by_method.pop(BASELINE, None)
        gains = {
            method: row["difference"]
            for method, row in by_method.items()
            if base is not None and row["n_subjects"] == base["n_subjects"]
        }
        if gains:
            method = max(gains, key=lambda one: gains[one])
            highest.add((labels, scope, method if gains[method] > 0 else BASELINE))
    cells = zip(table["labels"], table["scope"], table["method"], strict=True)
    return pd.Series([cell in highest for cell in cells], table.index, dtype=bool)


def _arm(method: str, choice: Choice | None, labels: int, set_name: str) -> str:
    if choice is None:
        return method
    return (choice.test if set_name == "test" else choice.cohort).get(labels, "")


def _order(method: str) -> tuple[int, str]:
    """Baseline, each rival and then the same with synthetic slices, propagation, GANsfer."""
    if method in (GANSFER, BEST_ON_TEST):
        return 9, method
    return (8, method) if method == PROPAGATION else (arm_order(method)[0], method)

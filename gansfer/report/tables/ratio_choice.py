"""Which ratio stands for augmentation at each label count, chosen in two ways.

The paper takes the "optimal ratio" (IV.B): the one that is best on the test subjects themselves,
which flatters it. The fair way never looks at them: a fold takes the ratio that is best on the test
subjects of the other folds; where there is one fold alone, a rule names a ratio for each label
count.

Legend as in `dice.py`.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import pandas as pd

from gansfer.report.tables.arm_names import (
    BY_FOLD,
    arm_order,
    arm_title,
    is_ratio,
    ratio_arm,
    real_per_synthetic,
)
from gansfer.report.tables.dice import values_by_subject
from gansfer.report.tables.rows import label_counts
from gansfer.report.tables.seed_tables import at_equal_seeds

PER_LABEL_COUNT = "per_label_count"
FoldAndLabels = tuple[int, int]


@dataclass(frozen=True)
class Choice:
    """The augmented arms.

    Attributes:
        by_fold: (label count, fold) -> arm.
        test: label count -> arm on the test subjects of all folds; `BY_FOLD` where folds differ.
        cohort: label count -> arm on the cohort, which the analysis fold's models segment.
    """

    by_fold: Mapping[FoldAndLabels, str]
    test: Mapping[int, str]
    cohort: Mapping[int, str]

    def title(self, labels: int) -> str:
        """The ratio of a label count; where folds differ, each with its number of folds."""
        arm = self.test[labels]
        if arm != BY_FOLD:
            return arm_title(arm)
        folds = Counter(arm for (n, _), arm in self.by_fold.items() if n == labels)
        named = sorted(folds.items(), key=lambda item: (-item[1], arm_order(item[0])))
        return ", ".join(f"{arm_title(arm)} in {n} fold{'' if n == 1 else 's'}" for arm, n in named)


def best_on_test(
    metrics: pd.DataFrame, expected: pd.DataFrame, rule: str = PER_LABEL_COUNT
) -> Choice:
    """The paper's way: for each label count the ratio that is best on its test subjects.

    Args:
        metrics: the metrics, of arms that lack no subject.
        expected: the planned cells: seed, fold, labels, arm, set.
        rule: "per_label_count", or one ratio such as "2:1" for all label counts.
    """
    arms = best_ratio_arms(metrics, rule)
    return _choice(
        {
            (labels, fold): arms[labels]
            for labels, fold in _cells(metrics, expected)
            if labels in arms
        },
        expected,
        metrics,
    )


def without_test_subjects(
    metrics: pd.DataFrame, expected: pd.DataFrame, ratio_from_labels: Mapping[int, str]
) -> Choice:
    """The fair way: no ratio is chosen by the subjects that it is then measured on.

    Args:
        metrics: the metrics, of arms that lack no subject.
        expected: the planned cells: seed, fold, labels, arm, set.
        ratio_from_labels: label count -> ratio from that label count on, for label counts with
            one fold alone; the planned ratio that is nearest to it is taken.
    """
    test = metrics[metrics["set"] == "test"]
    there = {(int(n), str(arm)) for n, arm in zip(test["labels"], test["arm"], strict=True)}
    planned = _planned_ratios(expected)
    best_without: dict[int, dict[int, str]] = {}
    by_fold: dict[FoldAndLabels, str] = {}
    for labels, fold in _cells(metrics, expected):
        of_count = planned[planned["labels"] == labels]
        if set(of_count["fold"]) - {fold}:
            if fold not in best_without:
                best_without[fold] = best_ratio_arms(test[test["fold"] != fold])
            arm = best_without[fold].get(labels, "")
        else:
            arm = ratio_by_rule(labels, of_count["arm"].unique(), ratio_from_labels)
        if (labels, arm) in there:
            by_fold[labels, fold] = arm
    return _choice(by_fold, expected, metrics)


def ratio_by_rule(labels: int, arms: Iterable[str], ratio_from_labels: Mapping[int, str]) -> str:
    """The arm whose ratio is nearest, as a factor, to that of the rule for this label count."""
    start = max(n for n in ratio_from_labels if n <= labels)
    wanted = real_per_synthetic(ratio_arm(ratio_from_labels[start]))

    def distance(arm: str) -> tuple[float, tuple[int, float, str]]:
        return abs(math.log(real_per_synthetic(arm) / wanted)), arm_order(arm)

    return min(arms, key=distance)


def best_ratio_arms(metrics: pd.DataFrame, rule: str = PER_LABEL_COUNT) -> dict[int, str]:
    """The best ratio of each label count ("optimal ratio", IV.B).

    Args:
        metrics: the metrics.
        rule: "per_label_count": the ratio with the highest mean overall Dice on the test subjects
            that all of that label count's ratios have in common; or one ratio such as "2:1".

    Returns:
        labels -> arm, without the label counts that have no such arm.
    """
    rows = metrics[(metrics["set"] == "test") & metrics["structure"].eq("overall")]
    rows = rows[rows["arm"].map(is_ratio).astype(bool)]
    parts = [at_equal_seeds(part, ["arm"]) for _, part in rows.groupby("labels")]
    table = values_by_subject(pd.concat([rows.iloc[:0], *parts]), "test")
    if rule != PER_LABEL_COUNT:
        wanted = ratio_arm(rule)
        return dict.fromkeys(label_counts(table[table["arm"] == wanted]), wanted)
    best: dict[int, str] = {}
    for labels in label_counts(table):
        wide = table[table["labels"] == labels].pivot(
            index="subject", columns="arm", values="value"
        )
        common = (wide.dropna() if len(wide.dropna()) else wide).mean()
        if common.notna().any():
            best[labels] = str(common.idxmax())
    return best


def with_chosen(metrics: pd.DataFrame, choice: Choice) -> pd.DataFrame:
    """The metrics, and under `BY_FOLD` each fold's arm of the label counts whose folds differ."""
    parts = [metrics]
    for (labels, fold), arm in choice.by_fold.items():
        if choice.test.get(labels) == BY_FOLD:
            cell = metrics["labels"].eq(labels) & metrics["fold"].eq(fold)
            rows = metrics[cell & metrics["arm"].eq(arm) & metrics["set"].eq("test")]
            parts.append(rows.assign(arm=BY_FOLD))
    return pd.concat(parts, ignore_index=True) if len(parts) > 1 else metrics


def choice_table(fair: Choice, best: Choice) -> pd.DataFrame:
    """Columns labels, fold, without_test_subjects and best_on_test (arms; empty: none yet)."""
    rows = [
        (*cell, fair.by_fold.get(cell, ""), best.by_fold.get(cell, ""))
        for cell in sorted({*fair.by_fold, *best.by_fold})
    ]
    columns = ["labels", "fold", "without_test_subjects", "best_on_test"]
    return pd.DataFrame(rows, columns=columns)


def _planned_ratios(expected: pd.DataFrame) -> pd.DataFrame:
    of_ratio = expected["set"].eq("test") & expected["arm"].map(is_ratio).astype(bool)
    return expected.loc[of_ratio, ["labels", "fold", "arm"]].drop_duplicates()


def _cells(metrics: pd.DataFrame, expected: pd.DataFrame) -> list[FoldAndLabels]:
    """Label counts and folds that ratios are planned for; the cohort's fold is one of them."""
    planned = _planned_ratios(expected)
    cells = set(zip(planned["labels"].tolist(), planned["fold"].tolist(), strict=True))
    cohort_folds = metrics.loc[metrics["set"] == "cohort", "fold"].unique().tolist()
    return sorted(cells | {(n, fold) for n in label_counts(planned) for fold in cohort_folds})


def _choice(
    by_fold: Mapping[FoldAndLabels, str], expected: pd.DataFrame, metrics: pd.DataFrame
) -> Choice:
    planned = _planned_ratios(expected)
    test: dict[int, str] = {}
    of_test: dict[FoldAndLabels, str] = {}
    for labels in label_counts(planned):
        folds = planned.loc[planned["labels"] == labels, "fold"].unique().tolist()
        arms = {(labels, fold): by_fold.get((labels, fold), "") for fold in folds}
        of_test |= {cell: arm for cell, arm in arms.items() if arm}
        if all(arms.values()):
            test[labels] = arms.popitem()[1] if len(set(arms.values())) == 1 else BY_FOLD
    cohort_folds = metrics.loc[metrics["set"] == "cohort", "fold"].unique().tolist()
    cohort = {labels: arm for (labels, fold), arm in by_fold.items() if fold in cohort_folds}
    return Choice(of_test, test, cohort)

from __future__ import annotations

import itertools

import numpy as np
import pandas as pd
import pytest

from gansfer.report.tables.ratio_choice import Choice
from gansfer.report.viewer.shown_subjects import shown_subjects

# In either fold three subjects, each with its Dice by arm: fold 0 takes 2:1, fold 1 takes 10:1.
DICE = {
    (0, "a"): {"baseline": 0.50, "ratio-2to1": 0.70, "ratio-10to1": 0.01},
    (0, "b"): {"baseline": 0.50, "ratio-2to1": 0.60, "ratio-10to1": 0.99},
    (0, "c"): {"baseline": 0.90, "ratio-2to1": 0.65, "ratio-10to1": 0.98},
    (1, "d"): {"baseline": 0.10, "ratio-2to1": 0.02, "ratio-10to1": 0.64},
    (1, "e"): {"baseline": 0.20, "ratio-2to1": 0.03, "ratio-10to1": 0.80},
    (1, "f"): {"baseline": 0.30, "ratio-2to1": 0.04, "ratio-10to1": np.nan},
}
CHOICE = Choice({(3, 0): "ratio-2to1", (3, 1): "ratio-10to1"}, {}, {})


def _metrics(seeds: tuple[int, ...] = (0,)) -> pd.DataFrame:
    rows = [
        (seed, fold, 3, arm, "test", subject, structure, metric, value + 0.01 * seed)
        for seed, ((fold, subject), arms) in itertools.product(seeds, DICE.items())
        for arm, value in arms.items()
        for structure, metric in (("overall", "dsc"), ("mean", "dsc"), ("overall", "hd95_mm"))
    ]
    names = ["seed", "fold", "labels", "arm", "set", "subject", "structure", "metric", "value"]
    return pd.DataFrame(rows, columns=names)


def test_worst_median_and_best_are_those_of_each_folds_augmented_arm() -> None:
    worst, median, best = shown_subjects(_metrics(), CHOICE)
    assert [one.rank for one in (worst, median, best)] == ["worst", "median", "best"]
    # Dice 0.60 0.64 0.65 0.70 0.80; f, whose value was excluded, is none of them.
    assert [one.subject for one in (worst, median, best)] == ["b", "c", "e"]
    assert {one.n_subjects for one in (worst, median, best)} == {5}
    assert (worst.augmented, best.augmented) == ("ratio-2to1", "ratio-10to1")
    assert (best.fold, best.labels, best.seed) == (1, 3, 0)
    assert (best.baseline_dsc, best.augmented_dsc) == (0.20, 0.80)


def test_several_seeds_show_the_first_that_has_both_arms() -> None:
    metrics = _metrics((1, 2))
    lacking = metrics["seed"].eq(1) & metrics["arm"].eq("baseline")
    assert {one.seed for one in shown_subjects(metrics, CHOICE)} == {1}
    assert {one.seed for one in shown_subjects(metrics[~lacking], CHOICE)} == {2}


@pytest.mark.parametrize(
    ("subjects", "ranks"),
    [
        ("", []),
        ("a", [("only", "a")]),
        ("ab", [("worst", "b"), ("best", "a")]),
        ("abcd", [("worst", "b"), ("median", "d"), ("best", "a")]),  # of c and d, the worse
    ],
)
def test_fewer_subjects_are_shown_once(subjects: str, ranks: list[tuple[str, str]]) -> None:
    metrics = _metrics()
    shown = shown_subjects(metrics[metrics["subject"].isin(list(subjects))], CHOICE)
    assert [(one.rank, one.subject) for one in shown] == ranks


def test_equal_subjects_are_taken_by_id_whatever_the_order_of_rows() -> None:
    metrics = _metrics()
    equal = metrics.assign(value=0.5)
    shown = shown_subjects(equal, CHOICE)
    assert [one.subject for one in shown] == ["a", "c", "f"]
    assert shown_subjects(equal.iloc[::-1], CHOICE) == shown

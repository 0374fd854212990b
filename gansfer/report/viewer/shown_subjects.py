"""The test subjects whose segmentations the page shows: worst, median and best of a label count.

Worst and best are the augmented segmenter's, by overall Dice: this is how bad and how good the
result that is reported gets. (By gain, they would be the subjects where either arm had an
accident.)
"""

from __future__ import annotations

from dataclasses import dataclass

import pandas as pd

from gansfer.report.tables.ratio_choice import Choice
from gansfer.report.tables.rows import rows_of

_KEYS = ["seed", "fold", "subject"]


@dataclass(frozen=True)
class ShownSubject:
    """One test subject, segmented by the baseline and by the augmented segmenter of its fold.

    Attributes:
        rank: "worst", "median" or "best"; "only" where there is one alone.
        labels: label count.
        seed: of both segmenters.
        fold: whose test subject it is.
        subject: its id.
        augmented: arm.
        baseline_dsc: overall Dice.
        augmented_dsc: overall Dice.
        n_subjects: that it is worst, median or best of.
    """

    rank: str
    labels: int
    seed: int
    fold: int
    subject: str
    augmented: str
    baseline_dsc: float
    augmented_dsc: float
    n_subjects: int


def shown_subjects(metrics: pd.DataFrame, choice: Choice) -> list[ShownSubject]:
    """Worst, median and best of each label count, as far as there are so many.

    With several seeds, of the first. Of two in the middle the worse is the median; of equal ones
    the first by id comes first.

    Args:
        metrics: the metrics.
        choice: which arm is the augmented one.
    """
    overall = metrics["structure"].eq("overall") & metrics["metric"].eq("dsc")
    rows = metrics[overall & metrics["set"].eq("test")].dropna(subset="value")
    shown = []
    for labels in sorted({labels for labels, _ in choice.by_fold}):
        pairs = _pairs(rows[rows["labels"] == labels], choice, labels)
        pairs = pairs[pairs["seed"] == pairs["seed"].min()]
        ordered = rows_of(pairs.sort_values(["augmented", "subject"]))
        for rank, row in _ranks(len(ordered)).items():
            one = ordered[row]
            fold = int(one["fold"])
            shown.append(
                ShownSubject(
                    rank,
                    labels,
                    int(one["seed"]),
                    fold,
                    str(one["subject"]),
                    choice.by_fold[labels, fold],
                    float(one["baseline"]),
                    float(one["augmented"]),
                    len(ordered),
                )
            )
    return shown


def _pairs(rows: pd.DataFrame, choice: Choice, labels: int) -> pd.DataFrame:
    """Baseline and augmented Dice of each (seed, fold, subject) that has both."""
    arm_of_row = rows["fold"].map(
        {fold: arm for (n, fold), arm in choice.by_fold.items() if n == labels}
    )
    base = rows[rows["arm"] == "baseline"].set_index(_KEYS)["value"].rename("baseline")
    other = rows[rows["arm"] == arm_of_row].set_index(_KEYS)["value"].rename("augmented")
    return pd.concat([base, other], axis=1, join="inner").reset_index()


def _ranks(n: int) -> dict[str, int]:
    """Rank -> place in the order from worst to best."""
    if n < 2:
        return {"only": 0} if n else {}
    return {"worst": 0} | ({"median": (n - 1) // 2} if n > 2 else {}) | {"best": n - 1}

"""The paper's published numbers, to be set beside ours. Dice overlaps and rates in per cent.

Only what the paper prints as numbers is here; its figures give no more than their shape.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

# Table I: one fold, one labelled image; arm -> total, seven structures in the paper's order, mean.
ABLATION_PERCENT: Mapping[str, Mapping[str, int | float]] = {
    arm: dict(
        zip(
            (
                "overall",
                "accumbens",
                "amygdala",
                "caudate",
                "hippocampus",
                "pallidum",
                "putamen",
                "thalamus",
                "mean",
            ),
            values,
            strict=True,
        )
    )
    for arm, values in {
        "baseline": (80.1, 46, 57, 80, 58, 78, 81, 84, 69),
        "p1": (81.6, 57, 56, 82, 67, 78, 82, 87, 73),
        "p1+": (81.4, 51, 59, 80, 67, 80, 82, 85, 72),
        "p2": (79.7, 24, 51, 79, 67, 72, 75, 84, 64),
        "p2+": (82.0, 49, 60, 81, 68, 81, 80, 87, 72),
        "p3": (79.5, 44, 55, 80, 71, 69, 75, 85, 68),
        "p3+": (83.1, 54, 63, 83, 72, 80, 81, 87, 74),
        "synthetic": (79.0, 38, 53, 80, 68, 71, 73, 85, 67),
        "ratio-2to1": (83.9, 56, 62, 84, 74, 81, 81, 88, 75),
    }.items()
}


@dataclass(frozen=True)
class Published:
    """One number of Table II with its mark: "†" not different from MALPEM, "*" higher, or ""."""

    percent: float
    mark: str = ""


# Table II: measure -> source -> label count -> number; MALPEM has one for all label counts.
TABLE_II: Mapping[str, Mapping[str, Mapping[int, Published]]] = {
    "accuracy": {
        "baseline": {
            1: Published(64.3),
            3: Published(62.9),
            6: Published(66.0),
            12: Published(63.0),
            24: Published(63.3),
        },
        "augmented": {
            1: Published(66.0),
            3: Published(64.6),
            6: Published(67.8, "†"),
            12: Published(62.6),
            24: Published(66.6),
        },
    },
    "auc": {
        "baseline": {
            1: Published(56.4),
            3: Published(47.9),
            6: Published(55.0),
            12: Published(58.7, "†"),
            24: Published(57.6, "†"),
        },
        "augmented": {
            1: Published(57.0),
            3: Published(56.7),
            6: Published(65.6, "*"),
            12: Published(60.0, "*"),
            24: Published(66.7, "*"),
        },
    },
}
TABLE_II_MALPEM_PERCENT: Mapping[str, float] = {"accuracy": 67.6, "auc": 58.5}

# III.F: segmenters trained on phase-1 slices alone, one fold, overall Dice.
SYNTHETIC_AFTER_PHASE_1_PERCENT: Mapping[int, float] = {1: 68, 3: 73, 6: 73, 12: 68, 24: 64}

# III.G: overall Dice on one fold, against manual labels.
BASELINE_ONE_FOLD_PERCENT: Mapping[int, float] = {1: 80, 6: 85, 24: 87}
MALPEM_ONE_FOLD_PERCENT: Mapping[int, float] = {1: 80, 6: 92, 24: 92}

# III.A: people with manual labels, and images of OASIS-1 without (repeats too).
LABELLED_PEOPLE, POOL_IMAGES = 30, 436

# III.G: subjects with each CDR once repeats and training images are removed.
ANALYSIS_SUBJECTS_BY_CDR: Mapping[float, int] = {0.0: 287, 0.5: 69, 1.0: 28, 2.0: 2}

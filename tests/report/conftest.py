"""A made-up grid of metrics whose answers are known by construction.

Overall Dice is base(N) + effect(subject) + gain(arm) * full_gain(N), without noise; structure k is
0.1 - 0.02 k below it; the references' volumes fall with the CDR and the measured ones follow.
"""

from __future__ import annotations

import itertools

import numpy as np
import pandas as pd
import pytest

from gansfer.report.tables.results import Meta
from gansfer.structures import PAPER_STRUCTURES

FOLDS = 3
LABEL_COUNTS = (1, 6)
ARMS = ("baseline", "ratio-10to1", "ratio-2to1", "synthetic")
# arm -> label count -> its gain over the baseline. At N = 1 a rival is the highest.
RIVAL_GAIN = {
    "classical": {1: 0.06, 6: -0.01},
    "self-training": {1: 0.02, 6: 0.004},
    "classical+ratio-2to1": {1: 0.05, 6: 0.005},
    "self-training+ratio-2to1": {1: 0.03, 6: 0.0},
    "propagation": {1: 0.08, 6: -0.05},
}
RIVAL_FOLD = 1  # of propagation
ABLATION = ("p1", "p1+", "p2", "p2+", "p3", "p3+")
BASE = {1: 0.80, 6: 0.86}
FULL_GAIN = {1: 0.04, 6: 0.01}
GAIN = {"baseline": 0.0, "ratio-10to1": 0.5, "ratio-2to1": 1.0, "synthetic": -0.4}
CELL = ["seed", "fold", "labels", "arm", "set"]


def people() -> dict[str, tuple[float, float, float]]:
    """Subject -> age, CDR, effect. 4 labelled subjects a fold, 24 in the cohort."""
    found = {}
    for i in range(4 * FOLDS):
        found[f"L{i:02d}"] = (20.0 + 5 * i, 0.0, -0.002 * i)
    for i in range(24):
        found[f"U{i:02d}"] = (22.0 + 3 * i, (0.0, 0.5, 1.0)[i % 3], -0.002 * i)
    return found


def subjects_of(set_name: str, fold: int) -> list[str]:
    if set_name == "cohort":
        return [f"U{i:02d}" for i in range(24)]
    return [f"L{i:02d}" for i in range(4 * fold, 4 * fold + 4)]


def _rows(cell: dict[str, object], subject: str) -> list[dict[str, object]]:
    age, cdr, effect = people()[subject]
    labels, arm = int(str(cell["labels"])), str(cell["arm"])
    overall = BASE[labels] + effect + GAIN.get(arm, 0.2) * FULL_GAIN[labels]
    parts = [overall - 0.1 + 0.02 * k for k in range(7)]
    dsc = {"overall": overall, "mean": float(np.mean(parts))}
    dsc |= dict(zip(PAPER_STRUCTURES, parts, strict=True))
    where = {**cell, "subject": subject, "age_years": age, "cdr": cdr}
    rows = [{**where, "structure": s, "metric": "dsc", "value": v} for s, v in dsc.items()]
    for k, structure in enumerate(PAPER_STRUCTURES):
        true = 1000.0 * (k + 1) * (1 - 0.1 * cdr)
        values = {"volume_mm3": true - 30.0 + (ord(subject[-1]) + k) % 5}
        if cell["set"] == "cohort":
            values["reference_volume_mm3"] = true
        else:
            values |= {"hd95_mm": 10 * (1 - overall), "asd_mm": 2 * (1 - overall)}
        for metric, value in values.items():
            rows.append({**where, "structure": structure, "metric": metric, "value": value})
    return rows


@pytest.fixture(scope="session")
def expected() -> pd.DataFrame:
    grid = itertools.product(range(FOLDS), LABEL_COUNTS, ARMS)
    cells = [(0, fold, labels, arm, "test") for fold, labels, arm in grid]
    cells += [(0, 0, 1, arm, "test") for arm in ABLATION]
    cells += [(0, 2, labels, arm, "cohort") for labels in LABEL_COUNTS for arm in ARMS]
    return pd.DataFrame(cells, columns=CELL)


@pytest.fixture(scope="session")
def metrics(expected: pd.DataFrame) -> pd.DataFrame:
    return pd.DataFrame(
        [
            row
            for cell in expected.to_dict("records")
            for subject in subjects_of(str(cell["set"]), int(cell["fold"]))
            for row in _rows({str(k): v for k, v in cell.items()}, subject)
        ]
    )


@pytest.fixture(scope="session")
def expected_with_rivals(expected: pd.DataFrame) -> pd.DataFrame:
    """Rival arms wherever there is a baseline, and propagation on one fold's test subjects."""
    base = expected[expected["arm"] == "baseline"]
    alone = base["fold"].eq(RIVAL_FOLD) & base["set"].eq("test")
    parts = [(base if arm != "propagation" else base[alone]).assign(arm=arm) for arm in RIVAL_GAIN]
    return pd.concat([expected, *parts], ignore_index=True)


@pytest.fixture(scope="session")
def metrics_with_rivals(metrics: pd.DataFrame, expected_with_rivals: pd.DataFrame) -> pd.DataFrame:
    """Known gains with a little noise of each value."""
    base = metrics[metrics["arm"] == "baseline"]
    parts = [metrics]
    for arm, gain in RIVAL_GAIN.items():
        planned = expected_with_rivals.loc[
            expected_with_rivals["arm"] == arm, ["seed", "fold", "labels", "set"]
        ]
        rows = base.merge(planned, on=list(planned.columns))
        better = rows["labels"].map(gain) * rows["metric"].eq("dsc")
        parts.append(rows.assign(arm=arm, value=rows["value"] + better))
    table = pd.concat(parts, ignore_index=True)
    noise = np.random.default_rng(2).normal(0, 2e-3, len(table)) * table["metric"].eq("dsc")
    return table.assign(value=table["value"] + noise)


@pytest.fixture(scope="session")
def labelled() -> pd.DataFrame:
    """The tested people, and four that no fold that ran tests: 22 to 25 years old, CDR 2."""
    rows = [(one, *people()[one][:2]) for one in people() if one.startswith("L")]
    rows += [(f"X{i:02d}", 22.0 + i, 2.0) for i in range(4)]
    return pd.DataFrame(rows, columns=["subject", "age_years", "cdr"])


@pytest.fixture(scope="session")
def meta() -> Meta:
    return {
        "name": "made-up",
        "dataset": "a made-up cohort",
        "is_paper_data": False,
        "structures": PAPER_STRUCTURES,
        "analysis_fold": 2,
        "analysis_reason": "Lowest mean age without a dementia case.",
        "pool_rule": "The pool holds the test subjects' images without labels.",
        "versions": {"gansfer": "0.0", "python": "3.11"},
        "wall_s": {"prepare": 61.0, "train_gan": 7300.0},
        "ablation": {"fold": 0, "labels": 1, "ratio": "2:1"},
        "reference": "",
        "beyond_paper": "",
        "best_ratio": "per_label_count",
        "ratio_from_labels": {1: "2:1", 6: "10:1", 12: "100:1"},
        "significance": 0.05,
        "stratification_folds": 5,
        "stratification_repeats": 2,
        "kernel_bandwidth_years": 6.0,
    }

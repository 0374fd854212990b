"""Tidy tables of overlap: by ratio, by structure, the ablation, by age and by CDR.

Legend: `metrics` has one row a measured value, with columns seed, fold, labels (N, the number of
labelled images), arm, set ("test" or "cohort"), subject, age_years, cdr, structure ("overall",
"mean" or a structure), metric and value (NaN: excluded, such as an empty reference).
`by_subject` has one row a (labels, arm, structure, subject): seeds (and folds) averaged first, so
that n always counts subjects. Every mean comes with its n; arms are compared on the same subjects
and at the same seeds.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from gansfer.errors import UserError
from gansfer.report.tables.arm_names import ablation_arms
from gansfer.report.tables.completeness import subjects_by_arm
from gansfer.report.tables.paper import ABLATION_PERCENT
from gansfer.report.tables.rows import in_order
from gansfer.report.tables.seed_tables import at_equal_seeds, compared_rows

# Of the metrics of all cells: one row a measurement.
COLUMNS = (
    "seed",
    "fold",
    "labels",
    "arm",
    "set",
    "subject",
    "age_years",
    "cdr",
    "structure",
    "metric",
    "value",
)
AGE_EDGES_YEARS = (0, 30, 45, 60, 70, 80, 120)


def checked(metrics: pd.DataFrame) -> pd.DataFrame:
    """The metrics with the types of its columns set; a frame may be empty.

    Raises:
        UserError: a column is missing.
    """
    absent = [name for name in COLUMNS if name not in metrics.columns]
    if absent and len(metrics):
        raise UserError(
            f"metrics: no column {', '.join(absent)}; found {', '.join(map(str, metrics.columns))};"
            f" wanted {', '.join(COLUMNS)}"
        )
    table = metrics.reindex(columns=list(COLUMNS)).copy()
    for name in ("seed", "fold", "labels"):
        table[name] = table[name].astype("int64")
    for name in ("age_years", "cdr", "value"):
        table[name] = pd.to_numeric(table[name]).astype("float64")
    for name in ("arm", "set", "subject", "structure", "metric"):
        table[name] = table[name].astype(str)
    return table


def values_by_subject(metrics: pd.DataFrame, set_name: str, metric: str = "dsc") -> pd.DataFrame:
    """One row a (labels, arm, structure, subject): the value averaged over seeds and folds.

    Returns:
        Columns labels, arm, structure, subject, age_years, cdr, value (NaN: excluded in all).
    """
    rows = metrics[(metrics["set"] == set_name) & (metrics["metric"] == metric)]
    keys = ["labels", "arm", "structure", "subject"]
    return rows.groupby(keys, as_index=False, sort=True).agg(
        age_years=("age_years", "first"), cdr=("cdr", "first"), value=("value", "mean")
    )


def paired(by_subject: pd.DataFrame, labels: int, augmented: str) -> pd.DataFrame:
    """Baseline and one augmented arm side by side, for subjects and structures that have both.

    Returns:
        Columns structure, subject, age_years, cdr, baseline, augmented, difference.
    """
    here = by_subject[by_subject["labels"] == labels].dropna(subset="value")
    keys = ["structure", "subject"]
    base = here[here["arm"] == "baseline"].rename(columns={"value": "baseline"})
    other = here[here["arm"] == augmented].rename(columns={"value": "augmented"})
    both = base[[*keys, "age_years", "cdr", "baseline"]].merge(
        other[[*keys, "augmented"]], on=keys, validate="one_to_one"
    )
    return both.assign(difference=both["augmented"] - both["baseline"])


def paired_rows(metrics: pd.DataFrame, augmented: Mapping[int, str], set_name: str) -> pd.DataFrame:
    """`paired` for every label count and its augmented arm, with the columns labels and arm."""
    table = values_by_subject(compared_rows(metrics, augmented, set_name), set_name)
    parts = [
        paired(table, labels, arm).assign(labels=labels, arm=arm)
        for labels, arm in sorted(augmented.items())
    ]
    parts = [part for part in parts if len(part)] or [paired(table, 0, "").assign(labels=0, arm="")]
    return pd.concat(parts, ignore_index=True)


def dsc_by_ratio(metrics: pd.DataFrame, expected: pd.DataFrame) -> pd.DataFrame:
    """Overall Dice on the test subjects by label count and arm (Fig. 8).

    Args:
        metrics: the metrics.
        expected: the planned cells: seed, fold, labels, arm, set.

    Returns:
        Columns labels, arm, n_subjects, n_excluded, n_planned, cells, cells_expected, mean_dsc,
        sd_dsc; one row for every planned (labels, arm). The mean is NaN where subjects are missing:
        it would be over other subjects than its neighbours'.
    """
    table = values_by_subject(metrics, "test")
    table = table[table["structure"] == "overall"]
    summary = table.groupby(["labels", "arm"])["value"].agg(
        n_subjects="count", n_excluded=lambda v: v.isna().sum(), mean_dsc="mean", sd_dsc="std"
    )
    test = metrics[(metrics["set"] == "test") & (metrics["metric"] == "dsc")]
    cells = ["labels", "arm", "seed", "fold"]
    summary["cells"] = test[cells].drop_duplicates().groupby(["labels", "arm"]).size()
    planned = expected.loc[expected["set"] == "test", cells].drop_duplicates()
    count = planned.groupby(["labels", "arm"]).size().rename("cells_expected")
    joined = summary.join(count, how="outer")
    by_arm = subjects_by_arm(metrics, expected)
    by_arm = by_arm[by_arm["set"] == "test"].set_index(["labels", "arm"])
    joined = joined.join(by_arm[["n_planned", "whole"]])
    for name in ("n_subjects", "n_excluded", "n_planned", "cells", "cells_expected"):
        joined[name] = joined[name].fillna(0).astype(int)
    for name in ("mean_dsc", "sd_dsc"):
        joined[name] = joined[name].where(joined["whole"].eq(True))
    columns = ["n_subjects", "n_excluded", "n_planned", "cells", "cells_expected"]
    return in_order(joined[[*columns, "mean_dsc", "sd_dsc"]].reset_index())


def ablation_table(
    metrics: pd.DataFrame, structures: Sequence[str], fold: int, labels: int, ratio: str = "2:1"
) -> pd.DataFrame:
    """Table I: Dice after each phase, without and with (+) real data; ours, with the paper's.

    Args:
        metrics: the metrics.
        structures: names, in order.
        fold: the one fold.
        labels: the one label count.
        ratio: real to synthetic in the "+" rows.

    Returns:
        One row an arm of Table I; columns arm, n_subjects, then in per cent overall, each
        structure, mean (ours), and paper_overall, paper_<structure>, paper_mean.
    """
    arms = ablation_arms(ratio)
    here = metrics[(metrics["fold"] == fold) & (metrics["labels"] == labels)]
    here = here[here["arm"].isin(arms) & here["set"].eq("test")]
    table = values_by_subject(at_equal_seeds(here, ["arm"]), "test")
    names = ["overall", *structures, "mean"]
    means = table.pivot_table(index="arm", columns="structure", values="value", aggfunc="mean")
    means = means.reindex(index=list(arms), columns=names) * 100
    counts = table[table["structure"] == "overall"].groupby("arm")["value"].count()
    means.insert(0, "n_subjects", counts.reindex(means.index).fillna(0).astype(int))
    for name in names:
        means[f"paper_{name}"] = [
            ABLATION_PERCENT[published].get(name, np.nan) for published in ABLATION_PERCENT
        ]
    return means.rename_axis("arm").rename_axis(None, axis=1).reset_index()


def by_age(
    metrics: pd.DataFrame,
    augmented: Mapping[int, str],
    edges_years: Sequence[float] = AGE_EDGES_YEARS,
) -> pd.DataFrame:
    """Cohort Dice in bands of age, baseline against augmented on the same subjects (Fig. 11, 12).

    Returns:
        Columns labels, arm, structure, age_from, age_to (exclusive), n_subjects, baseline,
        augmented, difference, sd_difference. Subjects of unknown age are left out.
    """
    strata = paired_rows(metrics, augmented, "cohort").dropna(subset="age_years")
    low = pd.cut(strata["age_years"], list(edges_years), right=False, labels=list(edges_years[:-1]))
    high = dict(itertools.pairwise(edges_years))
    strata = strata.assign(age_from=low.astype("float64"))
    table = _summary(strata, "age_from")
    table.insert(4, "age_to", table["age_from"].map(high))
    return table


def by_cdr(metrics: pd.DataFrame, augmented: Mapping[int, str]) -> pd.DataFrame:
    """Cohort Dice by CDR, baseline against augmented on the same subjects (Fig. 13, 14).

    Returns:
        Columns labels, arm, structure, cdr, n_subjects, baseline, augmented, difference,
        sd_difference. Subjects of unknown CDR are left out.
    """
    return _summary(paired_rows(metrics, augmented, "cohort").dropna(subset="cdr"), "cdr")


def surface_distances(metrics: pd.DataFrame) -> pd.DataFrame:
    """Surface distances on the test subjects by label count, arm, structure and metric.

    A structure that was not predicted at all is infinitely far away, so medians are given.

    Returns:
        Columns labels, arm, structure, metric ("hd95_mm", "asd_mm"), n_subjects, n_infinite,
        n_excluded (empty reference), median_mm, upper_quartile_mm (NaN without subjects).
    """
    parts = []
    for metric in ("hd95_mm", "asd_mm"):
        values = values_by_subject(metrics, "test", metric)
        values = values.assign(infinite=np.isinf(values["value"]))
        parts.append(
            values.groupby(["labels", "arm", "structure"], as_index=False)
            .agg(
                n_subjects=("value", "count"),
                n_infinite=("infinite", "sum"),
                n_excluded=("value", lambda v: v.isna().sum()),
                median_mm=("value", lambda v: _nearest_quantile(v, 0.5)),
                upper_quartile_mm=("value", lambda v: _nearest_quantile(v, 0.75)),
            )
            .assign(metric=metric)
        )
    order = ["labels", "arm", "structure", "metric", "n_subjects", "n_infinite", "n_excluded"]
    return in_order(pd.concat(parts)[[*order, "median_mm", "upper_quartile_mm"]])


def _nearest_quantile(values: pd.Series, fraction: float) -> float:
    """A quantile that is one of the values, as between a number and infinity there is none."""
    known = values.dropna()
    return float(np.quantile(known, fraction, method="nearest")) if len(known) else math.nan


def _summary(strata: pd.DataFrame, column: str) -> pd.DataFrame:
    return strata.groupby(["labels", "arm", "structure", column], as_index=False).agg(
        n_subjects=("difference", "count"),
        baseline=("baseline", "mean"),
        augmented=("augmented", "mean"),
        difference=("difference", "mean"),
        sd_difference=("difference", "std"),
    )

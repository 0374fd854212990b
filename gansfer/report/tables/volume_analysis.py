"""What the segmented volumes say: Table II, and their agreement with the references'."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from gansfer.evaluation.agreement import bland_altman
from gansfer.evaluation.stratify import (
    Stratification,
    compare_arms,
    reference_mark,
    stratify,
)
from gansfer.report.tables.dice import values_by_subject
from gansfer.report.tables.rows import label_counts
from gansfer.report.tables.seed_tables import compared_rows


def table_ii(
    metrics: pd.DataFrame,
    augmented: Mapping[int, str],
    structures: Sequence[str],
    folds: int,
    repeats: int,
    significance: float,
    seed: int,
) -> pd.DataFrame:
    """Table II: telling CDR 0.5 from CDR 1 or more by the volumes of the structures (III.G).

    Subjects are those with every volume in every arm and in the reference, so that all are
    compared on the same splits.

    Returns:
        Columns source ("baseline", "augmented", "reference"), labels (0 for the reference), arm,
        measure ("accuracy", "auc"), percent, n_very_mild, n_mild, n_left_out (they lack a volume),
        p_naive and p_corrected (of augmented against baseline), p_reference_naive and p_reference
        (corrected; against the reference), mark_naive and mark (by either).
        Empty where a group has fewer subjects than `folds`.
    """
    columns = ["source", "labels", "arm", "measure", "percent", "n_very_mild", "n_mild"]
    columns += ["n_left_out"]
    columns += ["p_naive", "p_corrected", "p_reference_naive", "p_reference", "mark_naive", "mark"]
    features, positive, n_left_out = _volume_features(metrics, augmented, structures)
    if not features or min(positive.sum(), (~positive).sum()) < folds:
        return pd.DataFrame(columns=columns)
    results: dict[tuple[str, int], Stratification] = {
        key: stratify(volumes, positive, folds=folds, repeats=repeats, seed=seed)
        for key, volumes in features.items()
    }
    reference = results.get(("reference", 0))
    rows = []
    for (source, labels), result in results.items():
        for measure in ("accuracy", "auc"):
            row = {
                "source": source,
                "labels": labels,
                "arm": augmented[labels] if source == "augmented" else source,
                "measure": measure,
                "percent": 100 * float(result.values_rk(measure).mean()),
                "n_very_mild": result.n_negative,
                "n_mild": result.n_positive,
                "n_left_out": n_left_out,
                "mark_naive": "",
                "mark": "",
            }
            if source == "augmented" and ("baseline", labels) in results:
                tests = compare_arms(result, results["baseline", labels], measure)
                row |= {"p_naive": tests.naive.p_value, "p_corrected": tests.corrected.p_value}
            if reference is not None and source != "reference":
                tests = compare_arms(result, reference, measure)
                for suffix, test in (("_naive", tests.naive), ("", tests.corrected)):
                    row[f"p_reference{suffix}"] = test.p_value
                    row[f"mark{suffix}"] = reference_mark(test, significance)
            rows.append(row)
    return pd.DataFrame(rows, columns=columns)


def volume_agreement(metrics: pd.DataFrame, augmented: Mapping[int, str]) -> pd.DataFrame:
    """Bias and 95 % limits of agreement of the cohort's volumes against the references'.

    Returns:
        Columns labels, arm, structure, n_subjects, n_empty (left out: the reference lacks the
        structure), bias_mm3, low_mm3, high_mm3, reference_mm3.
    """
    measured = values_by_subject(metrics, "cohort", "volume_mm3")
    both = measured.merge(
        _reference_volumes(metrics), on=["structure", "subject"], suffixes=("", "_reference")
    )
    wanted = both["arm"].eq("baseline") | both["arm"].eq(both["labels"].map(dict(augmented)))
    rows = []
    for (labels, arm, structure), part in both[wanted].groupby(["labels", "arm", "structure"]):
        agreement = bland_altman(part["value"].to_numpy(), part["value_reference"].to_numpy())
        rows.append(
            {
                "labels": labels,
                "arm": arm,
                "structure": structure,
                "n_subjects": agreement.n,
                "n_empty": int(part["value_reference"].isna().sum()),
                "bias_mm3": agreement.bias,
                "low_mm3": agreement.low,
                "high_mm3": agreement.high,
                "reference_mm3": part["value_reference"].mean(),
            }
        )
    columns = ["labels", "arm", "structure", "n_subjects", "n_empty"]
    columns += ["bias_mm3", "low_mm3", "high_mm3", "reference_mm3"]
    return pd.DataFrame(rows, columns=columns)


def _reference_volumes(metrics: pd.DataFrame) -> pd.DataFrame:
    """Columns structure, subject, value (mm³; NaN where the reference lacks the structure).

    A reference without a structure says nothing of its size: 0 mm³ would be no measurement.
    """
    rows = values_by_subject(metrics, "cohort", "reference_volume_mm3")
    rows = rows.groupby(["structure", "subject"], as_index=False).agg(value=("value", "mean"))
    return rows.assign(value=rows["value"].where(rows["value"] > 0))


def _volume_features(
    metrics: pd.DataFrame, augmented: Mapping[int, str], structures: Sequence[str]
) -> tuple[dict[tuple[str, int], np.ndarray], np.ndarray, int]:
    """Volumes of the N subjects with CDR 0.5 or more who have every volume.

    Returns:
        (source, labels) -> [N, F]; who of the N has CDR 1 or more; how many lack a volume.
    """
    compared = compared_rows(metrics, augmented, "cohort", across_label_counts=True)
    measured = values_by_subject(compared, "cohort", "volume_mm3")
    wide: dict[tuple[str, int], pd.DataFrame] = {}
    for labels in label_counts(measured):
        for source, arm in (("baseline", "baseline"), ("augmented", augmented.get(labels))):
            rows = measured[(measured["labels"] == labels) & (measured["arm"] == arm)]
            if len(rows):
                wide[source, labels] = rows.pivot(
                    index="subject", columns="structure", values="value"
                )
    reference = _reference_volumes(metrics)
    if len(reference):
        wide["reference", 0] = reference.pivot(index="subject", columns="structure", values="value")
    cdr = measured.groupby("subject")["cdr"].first()
    subjects = cdr[cdr >= 0.5].index
    n_rated = len(subjects)
    for key, table in wide.items():
        wide[key] = table.reindex(columns=list(structures))
        subjects = subjects.intersection(wide[key].dropna().index)
    subjects = subjects.sort_values()
    features = {
        key: table.loc[subjects, list(structures)].to_numpy(np.float64)
        for key, table in wide.items()
    }
    return features, (cdr.loc[subjects] >= 1).to_numpy(), n_rated - len(subjects)

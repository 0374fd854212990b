"""The segmenter beside its rival, multi-atlas label propagation, on one fold (III.G)."""

from __future__ import annotations

from collections.abc import Mapping

import pandas as pd

from gansfer.report.tables.arm_names import PROPAGATION
from gansfer.report.tables.dice import paired, values_by_subject
from gansfer.report.tables.rows import rows_of

# column of the table -> name.
METHODS = {
    "baseline": "DeepMedic, baseline",
    "augmented": "DeepMedic, with synthetic",
    "propagation": "propagation",
}


def rival_table(metrics: pd.DataFrame, augmented: Mapping[tuple[int, int], str]) -> pd.DataFrame:
    """Dice of propagation and of the segmenters of the same cells, on the same test subjects.

    Args:
        metrics: the metrics.
        augmented: (label count, fold) -> arm.

    Returns:
        Columns fold, labels, structure, n_subjects, baseline, arm, augmented (NaN where a subject
        lacks it), propagation, difference (propagation minus baseline), higher (subjects in whom
        propagation is better). Empty where there is no propagation, or nothing beside it.
    """
    rows = []
    by_subject = values_by_subject(metrics, "test")
    of_rival = (metrics["arm"] == PROPAGATION) & (metrics["set"] == "test")
    for cell in rows_of(metrics.loc[of_rival, ["fold", "labels"]].drop_duplicates()):
        fold, labels = int(cell["fold"]), int(cell["labels"])
        arm = augmented.get((labels, fold), "")
        both = paired(by_subject, labels, PROPAGATION).rename(columns={"augmented": "propagation"})
        third = paired(by_subject, labels, arm)[["structure", "subject", "augmented"]]
        every = both.merge(third, on=["structure", "subject"], how="left", validate="one_to_one")
        for structure, part in every.groupby("structure"):
            rows.append(
                {
                    "fold": fold,
                    "labels": labels,
                    "structure": structure,
                    "n_subjects": len(part),
                    "baseline": part["baseline"].mean(),
                    "arm": arm,
                    "augmented": part["augmented"].mean(skipna=False),
                    "propagation": part["propagation"].mean(),
                    "difference": part["difference"].mean(),
                    "higher": int((part["difference"] > 0).sum()),
                }
            )
    return pd.DataFrame(rows)

"""What the plan wants and the metrics lack. A report says it on its first line."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from gansfer.report.style import arm_order, arm_title

CELL = ("seed", "fold", "labels", "arm", "set")
_LISTED = 6


def missing_cells(metrics: pd.DataFrame, expected: pd.DataFrame) -> pd.DataFrame:
    """The planned cells that are absent, or have fewer subjects than the others of their fold.

    Args:
        metrics: the metrics.
        expected: the planned cells: seed, fold (-1: to be chosen), labels, arm, set.

    Returns:
        Columns seed, fold, labels, arm, set, subjects, subjects_expected (0: nobody knows).
    """
    cell = list(CELL)
    subjects = metrics.groupby(cell)["subject"].nunique().rename("subjects")
    shared = ["seed", "fold", "set"]
    everyone = metrics.groupby(shared)["subject"].nunique().rename("subjects_expected")
    planned = expected[cell].drop_duplicates()
    planned = planned.join(subjects, on=cell).join(everyone, on=shared)
    planned[["subjects", "subjects_expected"]] = (
        planned[["subjects", "subjects_expected"]].fillna(0).astype(int)
    )
    lacking = planned["subjects"].eq(0) | planned["subjects"].lt(planned["subjects_expected"])
    return planned[lacking].sort_values(cell).reset_index(drop=True)


def completeness_line(missing: pd.DataFrame, expected: pd.DataFrame) -> str:
    """The first line of a report: complete, or exactly what is missing."""
    total = len(expected[list(CELL)].drop_duplicates())
    if missing.empty:
        return f"Complete: all {total} planned results are here."
    groups = missing_in_words(missing, expected["seed"].nunique())
    listed = "; ".join(groups[:_LISTED])
    rest = len(groups) - _LISTED
    more = f"; and {rest} more (listed at the end of this page)" if rest > 0 else ""
    verb = "is" if len(missing) == 1 else "are"
    if missing["subjects"].sum() == 0 and len(missing) == total:
        return f"Incomplete: nothing of the {total} planned results is here yet."
    return (
        f"Incomplete: {len(missing)} of {total} planned results {verb} missing: {listed}{more}."
        " Every number below is from what is there."
    )


def missing_in_words(missing: pd.DataFrame, n_seeds: int = 1) -> list[str]:
    """One phrase a (label count, arm, set), naming its missing folds, and seeds of several."""
    order = missing.assign(
        rank=missing["arm"].map(arm_order), partial=missing["subjects"] > 0
    ).sort_values(["labels", "rank", "set", "partial", "seed", "fold"])
    phrases = []
    keys = ["labels", "arm", "set", "partial"]
    for (labels, arm, set_name, partial), rows in order.groupby(keys, sort=False):
        parts = [f"N = {labels}", arm_title(str(arm))]
        if set_name == "cohort":
            parts.append("on the cohort")
        known = [fold for fold in rows["fold"].unique().tolist() if fold >= 0]
        folds = _numbers("fold", known) if known else "fold not chosen yet"
        if n_seeds > 1 or (missing["seed"] != 0).any():
            folds += f" of {_numbers('seed', rows['seed'].unique().tolist())}"
        if partial:
            folds += f" ({rows['subjects'].sum()} of {rows['subjects_expected'].sum()} subjects)"
        phrases.append(f"{' '.join(parts)}, {folds}")
    return phrases


def _numbers(noun: str, numbers: Sequence[int]) -> str:
    plural = "s" if len(numbers) > 1 else ""
    return f"{noun}{plural} {', '.join(str(number) for number in sorted(numbers))}"

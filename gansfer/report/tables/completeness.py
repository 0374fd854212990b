"""What the plan wants and the metrics lack. A report says it on its first line."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from gansfer.report.tables.arm_names import arm_order, arm_title

CELL = ("seed", "fold", "labels", "arm", "set")
_LISTED = 6


def missing_cells(metrics: pd.DataFrame, expected: pd.DataFrame) -> pd.DataFrame:
    """The planned cells that are absent, or have fewer subjects than the others of their fold.

    Args:
        metrics: the metrics.
        expected: the planned cells: seed, fold (-1: to be chosen), labels, arm, set; if known also
            planned (subjects that the cell is to measure; 0: unknown) and stale (why what is there
            does not count; else empty).

    Returns:
        Columns seed, fold, labels, arm, set, stale, subjects, subjects_expected (0: unknown).
    """
    planned = _planned_cells(metrics, expected)
    lacking = planned["subjects"].eq(0) | planned["subjects"].lt(planned["subjects_expected"])
    return planned[lacking].sort_values(list(CELL)).reset_index(drop=True)


def subjects_by_arm(metrics: pd.DataFrame, expected: pd.DataFrame) -> pd.DataFrame:
    """How many subjects each arm has of those planned, over all of its folds.

    A subject counts that is there at one seed or more.

    Args:
        metrics: the metrics.
        expected: the planned cells, as of `missing_cells`.

    Returns:
        Columns labels, arm, set, n_subjects, n_planned (of the folds where it is known), whole.
    """
    fold = ["labels", "arm", "set", "fold"]
    planned = _planned_cells(metrics, expected).groupby(fold)["subjects_expected"].max()
    there = metrics.groupby(fold)["subject"].nunique().reindex(planned.index, fill_value=0)
    folds = pd.DataFrame({"n_subjects": there, "n_planned": planned})
    folds["whole"] = (there > 0) & (there >= planned)
    arms = folds.groupby(["labels", "arm", "set"])
    return arms.agg({"n_subjects": "sum", "n_planned": "sum", "whole": "all"}).reset_index()


def _planned_cells(metrics: pd.DataFrame, expected: pd.DataFrame) -> pd.DataFrame:
    """Each planned cell with the subjects that it has, and those that it should have."""
    cell = list(CELL)
    subjects = metrics.groupby(cell)["subject"].nunique().rename("subjects")
    shared = ["seed", "fold", "set"]
    everyone = metrics.groupby(shared)["subject"].nunique().rename("subjects_expected")
    stale = expected.get("stale", "")
    subjects_planned = expected.get("planned", 0)
    planned = expected[cell].assign(stale=stale, planned=subjects_planned).drop_duplicates(cell)
    planned = planned.join(subjects, on=cell).join(everyone, on=shared)
    planned[["subjects", "subjects_expected"]] = (
        planned[["subjects", "subjects_expected"]].fillna(0).astype(int)
    )
    planned["subjects_expected"] = planned[["subjects_expected", "planned"]].max(axis=1)
    return planned.drop(columns="planned")


def completeness_line(
    missing: pd.DataFrame, expected: pd.DataFrame, files: pd.DataFrame | None = None
) -> str:
    """The first line of a report: complete, or exactly what is missing.

    Args:
        missing: of `missing_cells`.
        expected: the planned cells.
        files: what the GANs are to leave for the report (see `missing_files`); None: nothing.
    """
    total = len(expected[list(CELL)].drop_duplicates())
    lacking = [] if files is None else missing_files(files)
    if missing.empty and not lacking:
        return f"Complete: all {total} planned results are here."
    if missing["subjects"].sum() == 0 and len(missing) == total:
        return f"Incomplete: {_nothing(missing, total)}"
    parts = [f"all {total} planned results are here, but not all pictures and measures of slices"]
    if len(missing):
        groups = missing_in_words(missing, expected["seed"].nunique())
        listed = "; ".join(groups[:_LISTED])
        rest = len(groups) - _LISTED
        more = f"; and {rest} more (listed at the end of this page)" if rest > 0 else ""
        verb = "is" if len(missing) == 1 else "are"
        parts = [f"{len(missing)} of {total} planned results {verb} missing: {listed}{more}"]
    if lacking:
        parts.append(f"missing of the generated slices: {'; '.join(lacking)}")
    return f"Incomplete: {'. Also '.join(parts)}. Every number below is from what is there."


def missing_files(files: pd.DataFrame) -> list[str]:
    """One phrase for the files that the same GANs lack.

    Args:
        files: columns seed, fold, labels, group, file (its name), there.
    """
    cell = ["seed", "fold", "labels", "group"]
    names_by_cells: dict[tuple[object, ...], list[str]] = {}
    for name, rows in files.groupby("file", sort=False):
        absent = rows.loc[~rows["there"], cell]
        if len(absent):
            cells = tuple(absent.itertuples(index=False, name=None))
            names_by_cells.setdefault(cells, []).append(str(name))
    total = len(files[cell].drop_duplicates())
    return [
        f"{', '.join(names)} of {len(cells)} of {total} GANs"
        for cells, names in names_by_cells.items()
    ]


def _nothing(missing: pd.DataFrame, total: int) -> str:
    """That there is nothing; of what is stale, why it does not count."""
    stale = missing["stale"] != ""
    if not stale.any():
        return f"nothing of the {total} planned results is here yet."
    causes = "; ".join(dict.fromkeys(missing.loc[stale, "stale"]))
    return (
        f"nothing of the {total} planned results is of the current settings; {stale.sum()} are "
        f"stale: {causes}."
    )


def missing_in_words(missing: pd.DataFrame, n_seeds: int = 1) -> list[str]:
    """One phrase a (label count, arm, set, cause of being stale): its missing folds (and seeds)."""
    order = missing.assign(
        rank=missing["arm"].map(arm_order), partial=missing["subjects"] > 0
    ).sort_values(["labels", "rank", "set", "partial", "seed", "fold"])
    phrases = []
    keys = ["labels", "arm", "set", "partial", "stale"]
    for (labels, arm, set_name, partial, stale), rows in order.groupby(keys, sort=False):
        parts = [f"N = {labels}", arm_title(str(arm))]
        if set_name == "cohort":
            parts.append("on the cohort")
        known = [fold for fold in rows["fold"].unique().tolist() if fold >= 0]
        folds = _numbers("fold", known) if known else "fold not chosen yet"
        if n_seeds > 1 or (missing["seed"] != 0).any():
            folds += f" of {_numbers('seed', rows['seed'].unique().tolist())}"
        if partial:
            folds += f" ({rows['subjects'].sum()} of {rows['subjects_expected'].sum()} subjects)"
        if stale:
            folds += f" (stale: {stale})"
        phrases.append(f"{' '.join(parts)}, {folds}")
    return phrases


def _numbers(noun: str, numbers: Sequence[int]) -> str:
    plural = "s" if len(numbers) > 1 else ""
    return f"{noun}{plural} {', '.join(str(number) for number in sorted(numbers))}"

"""Several seeds of one grid: how far they spread, and comparisons at equal seeds.

Legend as in `dice.py`. A seed is the whole experiment run once more: other networks and other
batches, the same subjects and folds.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pandas as pd

from gansfer.report.tables.rows import in_order

SPREAD_COLUMNS = (
    "labels",
    "arm",
    "n_seeds",
    "n_seeds_planned",
    "n_folds",
    "n_subjects",
    "mean_dsc",
    "sd_dsc",
    "lowest_dsc",
    "highest_dsc",
)


def dsc_by_seed(
    metrics: pd.DataFrame, expected: pd.DataFrame, missing: pd.DataFrame
) -> pd.DataFrame:
    """Overall Dice of each whole seed: the mean over its folds of the mean over a fold's subjects.

    Args:
        metrics: the metrics.
        expected: the planned cells: seed, fold, labels, arm, set.
        missing: those of them that lack subjects, of `completeness.missing_cells`.

    Returns:
        Columns labels, arm, seed, n_folds, n_subjects, dsc. A seed that lacks any planned fold of
        a (labels, arm), or a subject of one, has no row: it would be a mean over other subjects.
    """
    cell = ["labels", "arm", "seed"]
    planned = expected[expected["set"] == "test"].drop_duplicates([*cell, "fold"])
    holes = missing[missing["set"] == "test"].groupby(cell).size().rename("n_holes")
    whole = planned.groupby(cell).size().rename("n_folds").to_frame().join(holes)
    whole = whole[whole["n_holes"].isna()][["n_folds"]]
    rows = metrics[
        (metrics["set"] == "test")
        & (metrics["metric"] == "dsc")
        & (metrics["structure"] == "overall")
    ]
    folds = rows.groupby([*cell, "fold"])["value"].agg(["mean", "count"]).reset_index()
    seeds = folds.groupby(cell).agg(dsc=("mean", "mean"), n_subjects=("count", "sum"))
    complete = whole.join(seeds, how="inner").reset_index()
    return complete[[*cell, "n_folds", "n_subjects", "dsc"]]


def seed_spread(by_seed: pd.DataFrame, expected: pd.DataFrame) -> pd.DataFrame:
    """Mean and standard deviation of `dsc_by_seed` over the seeds, where there are two or more.

    Args:
        by_seed: of `dsc_by_seed`.
        expected: the planned cells.

    Returns:
        Columns `SPREAD_COLUMNS`: a row for each (labels, arm) with two whole seeds or more.
        `sd_dsc` is the sample's (n - 1).
    """
    keys = ["labels", "arm"]
    planned = expected[expected["set"] == "test"].groupby(keys)["seed"].nunique()
    table = by_seed.groupby(keys).agg(
        n_seeds=("seed", "nunique"),
        n_folds=("n_folds", "first"),
        n_subjects=("n_subjects", "min"),
        mean_dsc=("dsc", "mean"),
        sd_dsc=("dsc", "std"),
        lowest_dsc=("dsc", "min"),
        highest_dsc=("dsc", "max"),
    )
    table = table.join(planned.rename("n_seeds_planned")).reset_index()
    table = table[table["n_seeds"] >= 2]
    return in_order(table)[list(SPREAD_COLUMNS)]


def compared_rows(
    metrics: pd.DataFrame,
    augmented: Mapping[int, str],
    set_name: str,
    across_label_counts: bool = False,
) -> pd.DataFrame:
    """The metrics of the baseline and the augmented arms, at equal seeds.

    Args:
        metrics: the metrics.
        augmented: label count -> arm.
        set_name: "test" or "cohort".
        across_label_counts: label counts are compared with each other too.
    """
    rows = metrics[metrics["set"] == set_name]
    arms = rows["labels"].map(dict(augmented))
    rows = rows[rows["arm"].eq("baseline") | rows["arm"].eq(arms)]
    if across_label_counts:
        return at_equal_seeds(rows, ["labels", "arm"])
    parts = [at_equal_seeds(part, ["arm"]) for _, part in rows.groupby("labels")]
    return pd.concat(parts) if parts else rows


def at_equal_seeds(rows: pd.DataFrame, groups: Sequence[str]) -> pd.DataFrame:
    """Rows of the seeds at which a subject has every group, so that groups differ in nothing else.

    A subject without such a seed keeps the first of the seeds with most groups, and that alone.

    Args:
        rows: metrics of one set.
        groups: columns that name what is compared, such as arm.
    """
    if rows["seed"].nunique() < 2:
        return rows
    there = rows[["subject", "seed", *groups]].drop_duplicates()
    wanted = there.drop_duplicates(["subject", *groups]).groupby("subject").size()
    seeds = there.groupby(["subject", "seed"]).size().rename("present").reset_index()
    seeds["wanted"] = seeds["subject"].map(wanted)
    seeds["most"] = seeds.groupby("subject")["present"].transform("max")
    fullest = seeds[seeds["present"] == seeds["most"]]
    first = ~fullest.duplicated("subject")
    chosen = fullest[first | (fullest["present"] == fullest["wanted"])]
    return rows.merge(chosen[["subject", "seed"]], on=["subject", "seed"])

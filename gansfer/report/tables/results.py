"""Every table of the report, computed once: the CSVs, and what the figures and the page show."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NotRequired, TypedDict

import numpy as np
import numpy.typing as npt
import pandas as pd

from gansfer.report.tables import comparisons, volumes
from gansfer.report.tables import overlap as tables
from gansfer.report.tables.arms import is_ratio
from gansfer.report.tables.completeness import missing_cells, people_by_arm
from gansfer.report.tables.rival import rival_table
from gansfer.report.tables.rows import label_counts
from gansfer.report.tables.seed_tables import dsc_by_seed, seed_spread
from gansfer.seeds import seed_for


class AblationCell(TypedDict):
    """The one cell of Table I; `ratio`, such as "2:1", is that of the "+" rows."""

    fold: int
    labels: int
    ratio: str


class Meta(TypedDict):
    """What the report says of the experiment beside its numbers.

    `analysis_reason`, `pool_rule`, `reference` (what the cohort is measured against) and each of
    `notes` are whole sentences. `versions` is what goes under provenance (program, revision, image,
    packages). `wall_s` is seconds by stage.
    """

    name: str
    dataset: str
    is_paper_data: bool
    structures: Sequence[str]
    analysis_fold: int | None
    analysis_reason: str
    pool_rule: str
    reference: NotRequired[str]
    versions: Mapping[str, str]
    wall_s: Mapping[str, float]
    ablation: NotRequired[AblationCell | None]
    best_ratio: NotRequired[str]
    significance: NotRequired[float]
    stratification_folds: NotRequired[int]
    stratification_repeats: NotRequired[int]
    kernel_bandwidth_years: NotRequired[float]
    notes: NotRequired[Sequence[str]]


@dataclass(frozen=True)
class Results:
    """The report's tables. Each DataFrame becomes `tables/<field>.csv`.

    `augmented` is the arm that stands for augmentation at each label count, `ratios` how many
    ratios it was chosen from, and from how many it was to be.
    """

    metrics: pd.DataFrame
    missing: pd.DataFrame
    dsc_by_ratio: pd.DataFrame
    dsc_by_seed: pd.DataFrame
    seed_spread: pd.DataFrame
    baseline_and_augmented: pd.DataFrame
    pairs: pd.DataFrame
    ablation: pd.DataFrame
    rival: pd.DataFrame
    surface_distances: pd.DataFrame
    cohort_baseline_and_augmented: pd.DataFrame
    cohort_by_age: pd.DataFrame
    cohort_by_cdr: pd.DataFrame
    table_ii: pd.DataFrame
    volume_agreement: pd.DataFrame
    cohort_pairs: pd.DataFrame
    augmented: Mapping[int, str]
    ratios: Mapping[int, tuple[int, int]]
    groups: Mapping[comparisons.Group, pd.Series]
    undecided: Sequence[Sequence[comparisons.Group]]
    labelled: pd.DataFrame
    test_people: pd.DataFrame
    cohort: pd.DataFrame
    seed: int

    @property
    def label_counts(self) -> list[int]:
        """The experiment's label counts, planned or measured."""
        return label_counts(self.dsc_by_ratio)


def compute(
    metrics: pd.DataFrame, expected: pd.DataFrame, meta: Meta, labelled: pd.DataFrame
) -> Results:
    """Every table from the metrics.

    Args:
        metrics: one row a measured value; columns `tables.COLUMNS`.
        expected: the planned cells: seed, fold (-1: to be chosen), labels, arm, set.
        meta: the structures, and how to choose and test.
        labelled: every labelled person, tested or not: subject, age_years, cdr.

    Raises:
        UserError: the metrics lack a column.
    """
    metrics = tables.checked(metrics)
    seed = seed_for("report", meta["name"])
    people = people_by_arm(metrics, expected)
    whole = _of_whole_arms(metrics, people)
    rule = meta.get("best_ratio", "per_label_count")
    augmented = tables.best_ratio_arms(whole if rule == "per_label_count" else metrics, rule)
    groups = comparisons.overall_by_group(whole, augmented)
    pairs = comparisons.all_pairs(groups)
    cell = meta.get("ablation")
    missing = missing_cells(metrics, expected)
    by_seed = dsc_by_seed(metrics, expected, missing)
    return Results(
        metrics=metrics,
        missing=missing,
        dsc_by_ratio=tables.dsc_by_ratio(metrics, expected),
        dsc_by_seed=by_seed,
        seed_spread=seed_spread(by_seed, expected),
        baseline_and_augmented=comparisons.against_baseline(whole, augmented, "test", seed),
        pairs=pairs,
        ablation=pd.DataFrame()
        if cell is None
        else tables.ablation_table(
            metrics, meta["structures"], cell["fold"], cell["labels"], cell["ratio"]
        ),
        rival=rival_table(metrics, augmented),
        surface_distances=tables.surface_distances(whole),
        cohort_baseline_and_augmented=comparisons.against_baseline(
            metrics, augmented, "cohort", seed
        ),
        cohort_by_age=tables.by_age(metrics, augmented),
        cohort_by_cdr=tables.by_cdr(metrics, augmented),
        table_ii=volumes.table_ii(
            metrics,
            augmented,
            meta["structures"],
            meta.get("stratification_folds", 5),
            meta.get("stratification_repeats", 100),
            meta.get("significance", 0.05),
            seed,
        ),
        volume_agreement=volumes.volume_agreement(metrics, augmented),
        cohort_pairs=tables.paired_rows(metrics, augmented, "cohort"),
        augmented=augmented,
        ratios=_ratios(people),
        groups=groups,
        undecided=comparisons.undecided_sets(list(groups), pairs, meta.get("significance", 0.05)),
        labelled=labelled,
        test_people=_people(metrics, "test"),
        cohort=_people(metrics, "cohort"),
        seed=seed,
    )


def bandwidth_years(meta: Meta) -> float:
    """SD of the kernel of Fig. 11 and 12."""
    return meta.get("kernel_bandwidth_years", 6.0)


def ages(people: pd.DataFrame) -> npt.NDArray[np.float64]:
    """Known ages in years."""
    return people["age_years"].dropna().to_numpy(np.float64)


def _of_whole_arms(metrics: pd.DataFrame, people: pd.DataFrame) -> pd.DataFrame:
    """The metrics without the test rows of arms that lack people: no mean is over holes."""
    holed = people[~people["whole"] & people["set"].eq("test")]
    keys = set(holed[["labels", "arm", "set"]].itertuples(index=False, name=None))
    cells = zip(metrics["labels"], metrics["arm"], metrics["set"], strict=True)
    return metrics[np.array([cell not in keys for cell in cells], dtype=bool)]


def _ratios(people: pd.DataFrame) -> dict[int, tuple[int, int]]:
    """Label count -> ratios with all of their test subjects, and planned ones."""
    ratios = people[people["set"].eq("test") & people["arm"].map(is_ratio).astype(bool)]
    return {
        int(rows["labels"].iloc[0]): (int(rows["whole"].sum()), len(rows))
        for _, rows in ratios.groupby("labels")
    }


def _people(metrics: pd.DataFrame, set_name: str) -> pd.DataFrame:
    rows = metrics[metrics["set"] == set_name]
    return rows.groupby("subject", as_index=False)[["age_years", "cdr"]].first()

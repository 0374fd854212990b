"""Every table of the report, computed once: the CSVs, and what the figures and the page show."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NotRequired, TypedDict

import numpy as np
import numpy.typing as npt
import pandas as pd

from gansfer.report.tables import comparisons
from gansfer.report.tables import dice as tables
from gansfer.report.tables import volume_analysis as volumes
from gansfer.report.tables.arm_names import is_ratio
from gansfer.report.tables.completeness import missing_cells, subjects_by_arm
from gansfer.report.tables.methods import methods_table
from gansfer.report.tables.ratio_choice import (
    PER_LABEL_COUNT,
    Choice,
    best_on_test,
    choice_table,
    with_chosen,
    without_test_subjects,
)
from gansfer.report.tables.rival import rival_table
from gansfer.report.tables.rows import label_counts
from gansfer.report.tables.seed_tables import dsc_by_seed, seed_spread
from gansfer.seeds import seed_for

# Folder, in tables/ and figures/, of what is by the paper's way of choosing ratios.
BEST_FOLDER = "best_on_test"


class AblationCell(TypedDict):
    """The one cell of Table I; `ratio`, such as "2:1", is that of the "+" rows."""

    fold: int
    labels: int
    ratio: str


class Meta(TypedDict):
    """What the report says of the experiment beside its numbers.

    `analysis_reason`, `pool_rule`, `reference` (what the cohort is measured against) and
    `beyond_paper` (what GANs have that the paper's have not) are whole sentences. `versions` is
    what goes under provenance (program, revision, image, packages). `wall_s` is seconds by stage.
    `failed_quality` is a line for each training that is no result, the cell's name in front;
    `skipped_updates` are a GAN and how many it skipped. The others are the settings of the
    analysis.
    """

    name: str
    dataset: str
    is_paper_data: bool
    structures: Sequence[str]
    analysis_fold: int | None
    analysis_reason: str
    pool_rule: str
    reference: str
    beyond_paper: str
    versions: Mapping[str, str]
    wall_s: Mapping[str, float]
    ablation: AblationCell | None
    best_ratio: str
    ratio_from_labels: Mapping[int, str]
    significance: float
    stratification_folds: int
    stratification_repeats: int
    kernel_bandwidth_years: float
    failed_quality: NotRequired[Sequence[str]]
    skipped_updates: NotRequired[Sequence[tuple[str, str]]]


@dataclass(frozen=True)
class Comparison:
    """Baseline against augmented, by one choice of ratios. Each DataFrame becomes a CSV."""

    choice: Choice
    baseline_and_augmented: pd.DataFrame
    pairs: pd.DataFrame
    rival: pd.DataFrame
    cohort_baseline_and_augmented: pd.DataFrame
    cohort_young_and_old: pd.DataFrame
    cohort_by_age: pd.DataFrame
    cohort_by_cdr: pd.DataFrame
    table_ii: pd.DataFrame
    volume_agreement: pd.DataFrame
    cohort_pairs: pd.DataFrame
    groups: Mapping[comparisons.Group, pd.Series]
    undecided: Sequence[Sequence[comparisons.Group]]


@dataclass(frozen=True)
class Results:
    """The report's tables. Each DataFrame becomes `tables/<field>.csv`.

    Attributes:
        fair: by ratios that no test subject has chosen; the page leads with it.
        best: by the paper's way, the best ratio on the test subjects; None where that is the same.
        methods: every way beside one another; empty where no rival arm was measured.
        ratios: label count -> ratios that are there to choose from, and planned ones.
    """

    metrics: pd.DataFrame
    missing: pd.DataFrame
    dsc_by_ratio: pd.DataFrame
    dsc_by_seed: pd.DataFrame
    seed_spread: pd.DataFrame
    ratio_choice: pd.DataFrame
    ablation: pd.DataFrame
    surface_distances: pd.DataFrame
    fair: Comparison
    best: Comparison | None
    methods: pd.DataFrame
    ratios: Mapping[int, tuple[int, int]]
    labelled: pd.DataFrame
    test_subjects: pd.DataFrame
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
        labelled: every labelled subject, tested or not: subject, age_years, cdr.

    Raises:
        UserError: the metrics lack a column.
    """
    metrics = tables.checked(metrics)
    seed = seed_for("report", meta["name"])
    by_arm = subjects_by_arm(metrics, expected)
    whole = _of_whole_arms(metrics, by_arm)
    best, fair = _choices(metrics, whole, expected, meta)
    cell = meta["ablation"]
    missing = missing_cells(metrics, expected)
    by_seed = dsc_by_seed(metrics, expected, missing)
    return Results(
        metrics=metrics,
        missing=missing,
        dsc_by_ratio=tables.dsc_by_ratio(metrics, expected),
        dsc_by_seed=by_seed,
        seed_spread=seed_spread(by_seed, expected),
        ratio_choice=choice_table(fair, best),
        ablation=pd.DataFrame()
        if cell is None
        else tables.ablation_table(
            metrics, meta["structures"], cell["fold"], cell["labels"], cell["ratio"]
        ),
        surface_distances=tables.surface_distances(with_chosen(whole, fair)),
        fair=_compare(metrics, whole, fair, meta, seed),
        best=None if best == fair else _compare(metrics, whole, best, meta, seed),
        methods=methods_table(metrics, expected, fair, None if best == fair else best, seed),
        ratios=_ratios(by_arm),
        labelled=labelled,
        test_subjects=_subjects(metrics, "test"),
        cohort=_subjects(metrics, "cohort"),
        seed=seed,
    )


def _choices(
    metrics: pd.DataFrame, whole: pd.DataFrame, expected: pd.DataFrame, meta: Meta
) -> tuple[Choice, Choice]:
    """The paper's choice of ratios, and the fair one; a ratio that the settings fix is both."""
    if meta["best_ratio"] != PER_LABEL_COUNT:
        fixed = best_on_test(metrics, expected, meta["best_ratio"])
        return fixed, fixed
    fair = without_test_subjects(whole, expected, meta["ratio_from_labels"])
    return best_on_test(whole, expected), fair


def _compare(
    metrics: pd.DataFrame, whole: pd.DataFrame, choice: Choice, meta: Meta, seed: int
) -> Comparison:
    """All that compares baseline and augmented.

    Args:
        metrics: the metrics.
        whole: without the test rows of arms that lack subjects.
        choice: of ratios.
        meta: the structures, and how to test.
        seed: of intervals and splits.
    """
    test = with_chosen(whole, choice)
    groups = comparisons.overall_by_group(test, choice.test)
    pairs = comparisons.all_pairs(groups)
    against = comparisons.against_baseline
    return Comparison(
        choice=choice,
        baseline_and_augmented=against(test, choice.test, "test", seed),
        pairs=pairs,
        rival=rival_table(metrics, choice.by_fold),
        cohort_baseline_and_augmented=against(metrics, choice.cohort, "cohort", seed),
        cohort_young_and_old=comparisons.young_and_old(metrics, choice.cohort, seed),
        cohort_by_age=tables.by_age(metrics, choice.cohort),
        cohort_by_cdr=tables.by_cdr(metrics, choice.cohort),
        table_ii=volumes.table_ii(
            metrics,
            choice.cohort,
            meta["structures"],
            meta["stratification_folds"],
            meta["stratification_repeats"],
            meta["significance"],
            seed,
        ),
        volume_agreement=volumes.volume_agreement(metrics, choice.cohort),
        cohort_pairs=tables.paired_rows(metrics, choice.cohort, "cohort"),
        groups=groups,
        undecided=comparisons.undecided_sets(list(groups), pairs, meta["significance"]),
    )


def ages(subjects: pd.DataFrame) -> npt.NDArray[np.float64]:
    """Known ages in years."""
    return subjects["age_years"].dropna().to_numpy(np.float64)


def _of_whole_arms(metrics: pd.DataFrame, by_arm: pd.DataFrame) -> pd.DataFrame:
    """The metrics without the test rows of arms that lack subjects: no mean is over holes."""
    holed = by_arm[~by_arm["whole"] & by_arm["set"].eq("test")]
    keys = set(holed[["labels", "arm", "set"]].itertuples(index=False, name=None))
    cells = zip(metrics["labels"], metrics["arm"], metrics["set"], strict=True)
    return metrics[np.array([cell not in keys for cell in cells], dtype=bool)]


def _ratios(by_arm: pd.DataFrame) -> dict[int, tuple[int, int]]:
    """Label count -> ratios with all of their test subjects, and planned ones."""
    ratios = by_arm[by_arm["set"].eq("test") & by_arm["arm"].map(is_ratio).astype(bool)]
    return {
        int(rows["labels"].iloc[0]): (int(rows["whole"].sum()), len(rows))
        for _, rows in ratios.groupby("labels")
    }


def _subjects(metrics: pd.DataFrame, set_name: str) -> pd.DataFrame:
    rows = metrics[metrics["set"] == set_name]
    return rows.groupby("subject", as_index=False)[["age_years", "cdr"]].first()

"""Every method beside the baseline and GANsfer, against sums over plain lists."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest

from gansfer.report.tables.comparisons import OLD_FROM_YEARS
from gansfer.report.tables.methods import COLUMNS, is_rival, method_title, methods_table
from gansfer.report.tables.results import Meta, Results, compute
from gansfer.report.tables.rows import rows_of
from tests.report.conftest import LABEL_COUNTS, RIVAL_GAIN

METHODS = [
    "baseline",
    "classical",
    "classical+ratio-2to1",
    "self-training",
    "self-training+ratio-2to1",
    "propagation",
    "gansfer",
]
SCOPES = {
    "test": ("test", 0, 200),
    "cohort": ("cohort", 0, 200),
    "cohort, under 60 years": ("cohort", 0, OLD_FROM_YEARS),
    "cohort, 60 years and older": ("cohort", OLD_FROM_YEARS, 200),
}


@pytest.fixture(scope="module")
def results(
    metrics_with_rivals: pd.DataFrame,
    expected_with_rivals: pd.DataFrame,
    meta: Meta,
    labelled: pd.DataFrame,
) -> Results:
    return compute(metrics_with_rivals, expected_with_rivals, meta, labelled)


@pytest.fixture(scope="module")
def measured(metrics_with_rivals: pd.DataFrame) -> list[dict[str, Any]]:
    """Every overall Dice."""
    rows = metrics_with_rivals[metrics_with_rivals["structure"] == "overall"]
    return [row for row in rows_of(rows) if row["metric"] == "dsc"]


def _values(measured: list[dict[str, Any]], labels: int, arm: str, scope: str) -> dict[str, float]:
    """Subject -> overall Dice, by looking at every row."""
    set_name, from_years, to_years = SCOPES[scope]
    arm = {"gansfer": "ratio-2to1"}.get(arm, arm)
    return {
        row["subject"]: row["value"]
        for row in measured
        if (row["labels"], row["arm"], row["set"]) == (labels, arm, set_name)
        and from_years <= row["age_years"] < to_years
    }


@pytest.mark.parametrize("scope", SCOPES)
@pytest.mark.parametrize("against", ["baseline", "gansfer"])
def test_means_differences_and_numbers_are_those_of_plain_sums(
    results: Results, measured: list[dict[str, Any]], scope: str, against: str
) -> None:
    assert results.fair.choice.test == {1: "ratio-2to1", 6: "ratio-2to1"}
    table = results.methods
    assert list(table) == list(COLUMNS)
    rows = table[(table["scope"] == scope) & (table["against"] == against)]
    methods = [one for one in METHODS if scope == "test" or one != "propagation"]
    if against == "gansfer":
        methods.remove("gansfer")
    assert rows["method"].tolist() == methods * len(LABEL_COUNTS)
    for row in rows.to_dict("records"):
        ours = _values(measured, row["labels"], row["method"], scope)
        theirs = _values(measured, row["labels"], against, scope)
        common = [subject for subject in ours if subject in theirs]
        assert row["n_subjects"] == row["n_planned"] == len(common) == len(ours)
        assert row["mean_dsc"] == pytest.approx(sum(ours.values()) / len(ours))
        if row["method"] == against:
            assert np.isnan(row["difference"]) and np.isnan(row["low"])
            continue
        gains = [ours[subject] - theirs[subject] for subject in common]
        assert row["difference"] == pytest.approx(sum(gains) / len(gains))
        assert row["against_dsc"] == pytest.approx(sum(theirs[one] for one in common) / len(common))
        assert row["improved"] == sum(gain > 0 for gain in gains)
        assert min(gains) <= row["low"] < row["difference"] < row["high"] <= max(gains)
        # The interval of a mean of n values is about 4 standard errors wide.
        error = np.std(gains) / len(gains) ** 0.5
        assert 2.5 * error < row["high"] - row["low"] < 4.5 * error


def test_gansfers_numbers_are_those_of_the_first_screen(results: Results) -> None:
    """One number, wherever it stands."""
    ours = results.methods[results.methods["method"].eq("gansfer")]
    fair = results.fair
    ages = fair.cohort_young_and_old
    for scope, theirs in {
        "test": fair.baseline_and_augmented,
        "cohort": fair.cohort_baseline_and_augmented,
        "cohort, under 60 years": ages[ages["ages"] == "under 60 years"],
        "cohort, 60 years and older": ages[ages["ages"] == "60 years and older"],
    }.items():
        overall = theirs[theirs["structure"] == "overall"]
        row = ours[ours["scope"] == scope]
        for name in ("difference", "low", "high", "p_wilcoxon_holm", "n_subjects"):
            assert row[name].tolist() == overall[name].tolist(), (scope, name)
        assert set(row["n_tests"]) == {len(LABEL_COUNTS)}


def test_the_highest_is_of_methods_with_every_subject(results: Results) -> None:
    marked = results.methods[results.methods["highest"] & results.methods["scope"].eq("test")]
    # Propagation has the largest difference at N = 1, in a third of the subjects.
    assert dict(zip(marked["labels"], marked["method"], strict=True)) == {
        1: "classical",
        6: "gansfer",
    }
    test = results.methods[results.methods["scope"] == "test"]
    propagated = test[(test["method"] == "propagation") & (test["labels"] == 1)]
    assert propagated["difference"].max() > marked["difference"].max()
    assert set(propagated["n_subjects"]) == {4}


def test_the_baseline_is_the_highest_where_nothing_is_above_it(
    metrics_with_rivals: pd.DataFrame,
    expected_with_rivals: pd.DataFrame,
    results: Results,
) -> None:
    others = metrics_with_rivals["arm"] != "baseline"
    worse = metrics_with_rivals.assign(value=metrics_with_rivals["value"] - 0.2 * others)
    table = methods_table(worse, expected_with_rivals, results.fair.choice, None, 0)
    assert set(table.loc[table["highest"], "method"]) == {"baseline"}


@pytest.mark.parametrize("method", ["classical", "gansfer", "baseline"])
def test_no_mean_is_over_holes(
    results: Results,
    metrics_with_rivals: pd.DataFrame,
    expected_with_rivals: pd.DataFrame,
    method: str,
) -> None:
    arm = {"gansfer": "ratio-2to1"}.get(method, method)
    here = metrics_with_rivals["labels"].eq(1) & metrics_with_rivals["arm"].eq(arm)
    hole = here & metrics_with_rivals["fold"].eq(0) & metrics_with_rivals["set"].eq("test")
    left = metrics_with_rivals[~hole]
    table = methods_table(left, expected_with_rivals, results.fair.choice, None, 0)
    test = table[table["scope"].eq("test") & table["labels"].eq(1)]
    (row,) = test[test["method"].eq(method) & test["against"].eq("baseline")].to_dict("records")
    assert (row["n_subjects"], row["n_planned"]) == (8, 12)
    assert np.isnan(row["mean_dsc"]) and np.isnan(row["difference"])
    picked = set(test.loc[test["highest"], "method"])
    assert picked == {"classical": {"classical+ratio-2to1"}, "gansfer": {"classical"}}.get(
        method, set()
    )
    if method == "baseline":
        assert test.loc[test["against"].eq("baseline"), "difference"].isna().all()
    other = table[table["labels"].eq(6)].reset_index(drop=True)
    whole = results.methods[results.methods["labels"].eq(6)].reset_index(drop=True)
    assert other["mean_dsc"].tolist() == whole["mean_dsc"].tolist()


def test_a_method_that_was_planned_and_is_not_there_has_a_row(
    results: Results, metrics_with_rivals: pd.DataFrame, expected_with_rivals: pd.DataFrame
) -> None:
    left = metrics_with_rivals[metrics_with_rivals["arm"] != "self-training"]
    table = methods_table(left, expected_with_rivals, results.fair.choice, None, 0)
    rows = table[table["method"] == "self-training"]
    assert rows["n_subjects"].tolist() == [0] * 8
    assert rows["n_planned"].tolist() == [12, 12, 24, 24, 13, 13, 11, 11]
    assert rows["mean_dsc"].isna().all()


def test_the_papers_way_is_there_and_never_the_highest(
    metrics_with_rivals: pd.DataFrame,
    expected_with_rivals: pd.DataFrame,
    meta: Meta,
    labelled: pd.DataFrame,
) -> None:
    """The subjects of one fold like 10:1, beyond all else, at N = 1."""
    lucky = metrics_with_rivals["arm"].eq("ratio-10to1") & metrics_with_rivals["fold"].eq(0)
    lucky &= metrics_with_rivals["labels"].eq(1) & metrics_with_rivals["metric"].eq("dsc")
    value = metrics_with_rivals["value"] + 0.15 * lucky
    results = compute(metrics_with_rivals.assign(value=value), expected_with_rivals, meta, labelled)
    assert results.best is not None
    test = results.methods[results.methods["scope"].eq("test") & results.methods["labels"].eq(1)]
    by_method = test[test["against"] == "baseline"].set_index("method")
    assert by_method["arm"]["gansfer-best-on-test"] == "ratio-10to1"
    assert by_method["arm"]["gansfer"] == "ratio-by-fold"
    assert by_method["difference"].idxmax() == "propagation"
    assert by_method["difference"].drop("propagation").idxmax() == "gansfer-best-on-test"
    assert by_method.index[by_method["highest"]].tolist() == ["classical"]
    assert by_method["fair"].to_dict() == {
        name: name != "gansfer-best-on-test" for name in by_method.index
    }


def test_methods_are_compared_at_equal_seeds_and_propagation_is_of_every_seed(
    results: Results, metrics_with_rivals: pd.DataFrame, expected_with_rivals: pd.DataFrame
) -> None:
    """A second seed of all but classical and propagation, in which everything is far better."""
    again = metrics_with_rivals[~metrics_with_rivals["arm"].isin(["classical", "propagation"])]
    again = again.assign(seed=1, value=again["value"] + 0.1 * again["metric"].eq("dsc"))
    both = pd.concat([metrics_with_rivals, again], ignore_index=True)
    planned = pd.concat([expected_with_rivals, expected_with_rivals.assign(seed=1)])
    table = methods_table(both, planned, results.fair.choice, None, 0)
    test = table[table["scope"].eq("test") & table["labels"].eq(1)]
    rows = test[test["against"] == "baseline"].set_index("method")
    one_seed = results.methods[
        results.methods["scope"].eq("test") & results.methods["labels"].eq(1)
    ]
    before = one_seed[one_seed["against"] == "baseline"].set_index("method")
    for method in METHODS[1:5]:
        assert rows["difference"][method] == pytest.approx(before["difference"][method])
    # At both seeds propagation is the same, and the baseline's mean is over both.
    assert rows["against_dsc"]["propagation"] == pytest.approx(
        before["against_dsc"]["propagation"] + 0.05
    )
    assert rows["n_subjects"].tolist() == before["n_subjects"].tolist()


def test_without_rival_arms_there_is_nothing(
    results: Results, metrics_with_rivals: pd.DataFrame, expected: pd.DataFrame
) -> None:
    """Propagation alone has its own section."""
    arms = {*RIVAL_GAIN} - {"propagation"}
    without = metrics_with_rivals[~metrics_with_rivals["arm"].isin(arms)]
    assert "propagation" in set(without["arm"])
    for left in (without, without.iloc[:0]):
        assert methods_table(left, expected, results.fair.choice, None, 0).empty


def test_rivals_are_methods_without_a_gan() -> None:
    titles = {arm: method_title(arm) for arm in RIVAL_GAIN}
    assert titles["classical"] == "Classical augmentation"
    assert titles["self-training+ratio-2to1"] == "Self-training and synthetic (2:1)"
    assert [one for one in METHODS if is_rival(one)] == [
        "classical",
        "self-training",
        "propagation",
    ]

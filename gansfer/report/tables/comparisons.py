"""Baseline against augmented: differences on the same subjects, with intervals and tests.

Legend as in `dice.py`. Every test is two-sided and paired by subject; p values of a family are
adjusted by Holm's method. A group is a (label count, augmented?) pair, as in Fig. 10.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import networkx as nx
import pandas as pd

from gansfer.evaluation.statistics import (
    bootstrap_mean,
    compare_pairs,
    holm,
    paired_t_test,
    wilcoxon_signed_rank,
)
from gansfer.report.tables.dice import paired, values_by_subject
from gansfer.report.tables.rows import label_counts, rows_of
from gansfer.report.tables.seed_tables import compared_rows

Group = tuple[int, bool]
OLD_FROM_YEARS = 60  # paper silent; OASIS-1's subjects with dementia are that old


def against_baseline(
    metrics: pd.DataFrame, augmented: Mapping[int, str], set_name: str, seed: int
) -> pd.DataFrame:
    """Baseline and augmented Dice of each label count and structure, on the same subjects.

    Args:
        metrics: the metrics.
        augmented: label count -> arm.
        set_name: "test" or "cohort".
        seed: of the bootstrap intervals.

    Returns:
        Columns labels, arm, structure, n_subjects, baseline, augmented, difference, low, high
        (95 % bootstrap interval of the difference), improved (subjects), p_t, p_wilcoxon,
        p_wilcoxon_holm (over the label counts, for each structure).
    """
    table = values_by_subject(compared_rows(metrics, augmented, set_name), set_name)
    rows = []
    for labels, arm in sorted(augmented.items()):
        for structure, both in paired(table, labels, arm).groupby("structure"):
            base, other = both["baseline"].to_numpy(), both["augmented"].to_numpy()
            interval = bootstrap_mean(other - base, seed=seed, n_resamples=2000)
            rows.append(
                {
                    "labels": labels,
                    "arm": arm,
                    "structure": structure,
                    "n_subjects": len(both),
                    "baseline": base.mean(),
                    "augmented": other.mean(),
                    "difference": interval.mean,
                    "low": interval.low,
                    "high": interval.high,
                    "improved": int((other > base).sum()),
                    "p_t": paired_t_test(other, base).p_value,
                    "p_wilcoxon": wilcoxon_signed_rank(other, base).p_value,
                }
            )
    columns = ["labels", "arm", "structure", "n_subjects", "baseline", "augmented", "difference"]
    columns += ["low", "high", "improved", "p_t", "p_wilcoxon"]
    result = pd.DataFrame(rows, columns=columns)
    adjusted = result.groupby("structure")["p_wilcoxon"].transform(lambda p: holm(list(p)))
    return result.assign(p_wilcoxon_holm=adjusted)


def young_and_old(metrics: pd.DataFrame, augmented: Mapping[int, str], seed: int) -> pd.DataFrame:
    """Overall Dice of the cohort's younger and older subjects, tested each on their own (IV.C).

    Args:
        metrics: the metrics.
        augmented: label count -> arm.
        seed: of the bootstrap intervals.

    Returns:
        As of `against_baseline`, with Holm over the label counts in either part, and the column
        ages first: such as "under 60 years". Subjects of unknown age are left out.
    """
    overall = metrics[metrics["set"].eq("cohort") & metrics["structure"].eq("overall")]
    parts = []
    for ages, part in age_parts(overall):
        table = against_baseline(part, augmented, "cohort", seed)
        table.insert(0, "ages", ages)
        parts.append(table)
    return pd.concat(parts, ignore_index=True)


def age_parts(rows: pd.DataFrame) -> list[tuple[str, pd.DataFrame]]:
    """The rows of younger and of older subjects, named; those of unknown age are in neither."""
    young = rows["age_years"] < OLD_FROM_YEARS
    old = rows["age_years"] >= OLD_FROM_YEARS
    return [
        (f"under {OLD_FROM_YEARS} years", rows[young]),
        (f"{OLD_FROM_YEARS} years and older", rows[old]),
    ]


def overall_by_group(metrics: pd.DataFrame, augmented: Mapping[int, str]) -> dict[Group, pd.Series]:
    """Overall Dice of every test subject at each label count, baseline and augmented (Fig. 10).

    Returns:
        group -> values by subject, all over the same index; NaN where a subject has none.
    """
    compared = compared_rows(metrics, augmented, "test", across_label_counts=True)
    table = values_by_subject(compared, "test")
    table = table[table["structure"] == "overall"]
    subjects = sorted(table["subject"].unique())
    groups: dict[Group, pd.Series] = {}
    for labels in label_counts(table):
        for is_augmented, arm in ((False, "baseline"), (True, augmented.get(labels))):
            rows = table[(table["labels"] == labels) & (table["arm"] == arm)]
            values = rows.set_index("subject")["value"].reindex(subjects)
            if values.notna().any():
                groups[labels, is_augmented] = values
    return groups


def all_pairs(groups: Mapping[Group, pd.Series]) -> pd.DataFrame:
    """Every pair of groups by both tests, Holm over all pairs (Fig. 10).

    Returns:
        Columns first, second (such as "6*"), n_subjects, mean_difference (first - second), p_t,
        p_t_holm, p_wilcoxon, p_wilcoxon_holm.
    """
    arrays = {group_name(group): series.to_numpy(float) for group, series in groups.items()}
    rows = [
        {
            "first": pair.first,
            "second": pair.second,
            "n_subjects": pair.wilcoxon.n,
            "mean_difference": pair.wilcoxon.mean_difference,
            "p_t": pair.t_test.p_value,
            "p_t_holm": pair.t_holm_p,
            "p_wilcoxon": pair.wilcoxon.p_value,
            "p_wilcoxon_holm": pair.wilcoxon_holm_p,
        }
        for pair in compare_pairs(arrays)
    ]
    columns = ["first", "second", "n_subjects", "mean_difference", "p_t", "p_t_holm"]
    return pd.DataFrame(rows, columns=[*columns, "p_wilcoxon", "p_wilcoxon_holm"])


def group_name(group: Group) -> str:
    """The paper's name of a group: "6" at baseline, "6*" augmented."""
    return f"{group[0]}*" if group[1] else str(group[0])


def undecided_sets(
    groups: Sequence[Group], pairs: pd.DataFrame, significance: float
) -> list[tuple[Group, ...]]:
    """The largest sets of groups none of whose pairs differs: the brackets of Fig. 10.

    Args:
        groups: in the order to draw.
        pairs: of `all_pairs`; a pair differs where p_wilcoxon_holm is below `significance`.
        significance: such as 0.05.
    """
    undecided = nx.Graph()
    undecided.add_edges_from(
        (row["first"], row["second"])
        for row in rows_of(pairs)
        if not row["p_wilcoxon_holm"] < significance
    )
    sets = [
        tuple(group for group in groups if group_name(group) in clique)
        for clique in nx.find_cliques(undecided)
    ]
    return sorted(sets, key=lambda members: [groups.index(group) for group in members])

"""The report's figures, drawn from its tables: which there are, and what each is called."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from pathlib import Path

from gansfer.report.figures.age_figures import difference_by_age_figure, dsc_by_age_figure
from gansfer.report.figures.cdr_figures import difference_by_cdr_figure, dsc_by_cdr_figure
from gansfer.report.figures.methods_figure import methods_figure
from gansfer.report.figures.overlap_figures import (
    box_figure,
    dsc_by_ratio_figure,
    per_structure_figure,
)
from gansfer.report.figures.rival_figure import rival_figure
from gansfer.report.figures.seed_figure import seed_figure
from gansfer.report.tables.comparisons import group_name
from gansfer.report.tables.results import BEST_FOLDER, Comparison, Meta, Results, ages

Draw = dict[str, Callable[[Path], None]]


def draw_figures(folder: Path, results: Results, meta: Meta) -> dict[str, Path]:
    """Draw every figure that there is data for, as PNG and PDF.

    Args:
        folder: where they go.
        results: the tables.
        meta: for the structures and the kernel's width.

    Returns:
        name -> PNG; those of the paper's choice of ratios have "best_on_test/" before their names.
    """
    draw: Draw = {}
    if results.dsc_by_ratio["mean_dsc"].notna().any():
        draw["dsc_by_ratio"] = lambda path: dsc_by_ratio_figure(path, results.dsc_by_ratio)
    if len(results.seed_spread):
        draw["seed_spread"] = lambda path: seed_figure(
            path, results.dsc_by_seed, results.seed_spread
        )
    if results.methods["difference"].notna().any():
        draw["methods"] = lambda path: methods_figure(path, results.methods)
    draw |= _of_comparison(results, results.fair, meta)
    if results.best is not None:
        of_best = _of_comparison(results, results.best, meta)
        draw |= {f"{BEST_FOLDER}/{name}": function for name, function in of_best.items()}
    drawn = {}
    for name, function in draw.items():
        drawn[name] = folder / f"{name}.png"
        function(drawn[name])
    return drawn


def _of_comparison(results: Results, compared: Comparison, meta: Meta) -> Draw:
    """The figures of baseline against augmented, by one choice of ratios."""
    structures = meta["structures"]
    draw: Draw = {}
    if len(compared.baseline_and_augmented):
        draw["per_structure"] = lambda path: per_structure_figure(
            path, compared.baseline_and_augmented, structures
        )
    if compared.groups:
        draw["boxes"] = lambda path: box_figure(
            path,
            {group: values.dropna().tolist() for group, values in compared.groups.items()},
            compared.undecided,
            {group: group_name(group) for group in compared.groups},
        )
    if len(compared.rival):
        draw["rival"] = lambda path: rival_figure(path, compared.rival, structures)
    pairs = compared.cohort_pairs
    overall = pairs[pairs["structure"] == "overall"]
    labelled, cohort = ages(results.labelled), ages(results.cohort)
    if overall["age_years"].notna().any():
        kernel_years = meta["kernel_bandwidth_years"]
        draw["dsc_by_age"] = lambda path: dsc_by_age_figure(
            path, pairs, labelled, cohort, kernel_years, results.seed
        )
        draw["difference_by_age"] = lambda path: difference_by_age_figure(
            path, pairs, structures, labelled, cohort, kernel_years, results.seed
        )
    if overall["cdr"].notna().any():
        by_cdr = Counter(results.labelled["cdr"].dropna().tolist())
        draw["dsc_by_cdr"] = lambda path: dsc_by_cdr_figure(path, pairs, by_cdr)
        draw["difference_by_cdr"] = lambda path: difference_by_cdr_figure(path, pairs, structures)
    return draw

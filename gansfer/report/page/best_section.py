"""The paper's way of choosing ratios, where it chooses otherwise: all that depends on it again."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from gansfer.report.page.cohort_sections import cohort_section, stratification_section
from gansfer.report.page.page import Image, Part, Section, Table
from gansfer.report.page.result_sections import key_table
from gansfer.report.page.rival_section import rival_section
from gansfer.report.page.structure_sections import distance_section, structure_section
from gansfer.report.tables.results import BEST_FOLDER, Meta, Results


def best_section(results: Results, meta: Meta, figures: Mapping[str, Path]) -> Section | None:
    """Every comparison by the ratio that is best on the test subjects; None where that is the same.

    Args:
        results: the tables.
        meta: the structures, and how to test.
        figures: name -> PNG, of `draw_figures`.
    """
    compared = results.best
    if compared is None:
        return None
    of_best = {
        name.removeprefix(f"{BEST_FOLDER}/"): path
        for name, path in figures.items()
        if name.startswith(f"{BEST_FOLDER}/")
    }
    text = (
        "Above, no subject chooses the ratio that it is measured on. The paper takes for each N "
        "the ratio with the highest mean overall Dice on the test subjects themselves. By that "
        "choice, which favours augmentation, everything that depends on it is:"
    )
    chosen = "the ratio with the highest mean overall Dice on these same test subjects"
    parts: list[Part] = [_own_files(key_table(results, compared, chosen))]
    for section in (
        structure_section(compared, meta, of_best),
        rival_section(compared.rival, of_best),
        cohort_section(results, compared, meta, of_best),
        stratification_section(compared, meta),
    ):
        parts += [] if section is None else [_own_files(part) for part in section.parts]
    distances = distance_section(results, compared.choice.test, meta["structures"])
    parts += [] if distances is None else distances.parts
    return Section("By the paper's choice of ratio", [text], parts)


def _own_files(part: Part) -> Part:
    """A part whose CSV or PDF is the one in the folder of the paper's choice."""
    if isinstance(part, Table) and part.csv:
        return replace(part, csv=part.csv.replace("tables/", f"tables/{BEST_FOLDER}/", 1))
    if isinstance(part, Image) and part.pdf:
        return replace(part, pdf=part.pdf.replace("figures/", f"figures/{BEST_FOLDER}/", 1))
    return part

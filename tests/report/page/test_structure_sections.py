"""What is said of structures: distances that are infinite, and how sure small numbers can be."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from gansfer.report.page.answers import answer_sentence
from gansfer.report.page.cells import too_few_subjects
from gansfer.report.page.page import Image, Table
from gansfer.report.page.structure_sections import (
    ablation_section,
    distance_section,
    structure_section,
)
from gansfer.report.tables.results import Meta, Results, compute
from gansfer.structures import PAPER_STRUCTURES


@pytest.fixture(scope="module")
def results(
    metrics: pd.DataFrame, expected: pd.DataFrame, meta: Meta, labelled: pd.DataFrame
) -> Results:
    noise = np.random.default_rng(0).normal(0, 1e-4, len(metrics))
    return compute(metrics.assign(value=metrics["value"] + noise), expected, meta, labelled)


def test_one_missed_structure_hides_no_other(results: Results) -> None:
    table = results.surface_distances.copy()
    missed = (table["structure"] == "accumbens") & (table["arm"] == "baseline")
    table.loc[missed, ["median_mm", "n_infinite"]] = [np.inf, 12]
    table.loc[table["structure"] == "putamen", "n_excluded"] = 2
    section = distance_section(
        replace(results, surface_distances=table), results.fair.choice.test, PAPER_STRUCTURES
    )
    assert section is not None
    (shown,) = section.parts
    assert isinstance(shown, Table)
    assert shown.headers == ["", "1", "1*", "6", "6*"]
    rows = {row[0].text: row[1:] for row in shown.rows}
    assert [cell.text for cell in rows["Accumbens"]][::2] == ["\N{INFINITY}"] * 2
    assert rows["Accumbens"][0].note == "\N{INFINITY}\nn = 12, 12 missed"
    assert rows["Accumbens"][1].note.endswith("\nn = 12")
    assert rows["Putamen"][0].note.endswith("\nn = 12, 2 empty")
    assert float(rows["Caudate"][0].text) == pytest.approx(2.12)


def test_too_few_subjects_are_said_to_be_too_few(results: Results, meta: Meta) -> None:
    fair = replace(
        results.fair,
        baseline_and_augmented=results.fair.baseline_and_augmented.assign(
            n_subjects=6, p_wilcoxon=0.03125, p_wilcoxon_holm=0.0625
        ),
        pairs=results.fair.pairs.assign(n_subjects=6, p_wilcoxon=0.03125, p_wilcoxon_holm=0.1875),
    )
    few = replace(results, fair=fair)
    for shown, blind in ((few, True), (results, False)):
        answer = answer_sentence(shown, meta)
        section = structure_section(shown.fair, meta, {"boxes": Path("boxes.png")})
        assert section is not None
        (boxes,) = [part for part in section.parts if isinstance(part, Image)]
        for text, p in ((answer, "over 2 is 0.062"), (boxes.caption, "over 6 is 0.188")):
            assert ("With 6 subjects at most, the Wilcoxon test cannot" in text) == blind
            assert (p in text) == blind


def test_only_comparisons_that_are_too_small_are_counted() -> None:
    table = pd.DataFrame({"n_subjects": [6, 12, 0], "p_wilcoxon": [0.5, 0.5, np.nan]})
    assert too_few_subjects(table, 0.05).startswith(" In 1 of 2 comparisons, with 6 subjects")


def test_both_of_the_papers_numbers_for_phase_1_are_beside_ours(
    results: Results, meta: Meta
) -> None:
    section = ablation_section(results, meta)
    assert section is not None
    (table,) = section.parts
    assert isinstance(table, Table)
    notes = {row[0].text: [cell.note for cell in row[1:3]] for row in table.rows}
    assert notes["P1"] == ["paper 81.6\nIII.F 68", "paper 57"]
    assert notes["P1+"] == ["paper 81.4", "paper 51"]

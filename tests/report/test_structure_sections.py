"""What is said of structures: distances that are infinite, and how sure small numbers can be."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from gansfer.report.page import Table
from gansfer.report.results import Meta, Results, compute
from gansfer.report.structure_sections import distance_section
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
    section = distance_section(replace(results, surface_distances=table), PAPER_STRUCTURES)
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

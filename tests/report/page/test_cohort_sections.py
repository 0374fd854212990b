from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure

from gansfer.report.figures import age_figures
from gansfer.report.figures import draw as figures
from gansfer.report.page.cohort_sections import cohort_section, stratification_section
from gansfer.report.page.page import Image, Table
from gansfer.report.tables.results import Meta, Results, compute
from gansfer.structures import PAPER_STRUCTURES

DAGGER = "\N{DAGGER}"


@pytest.fixture(scope="module")
def results(
    metrics: pd.DataFrame, expected: pd.DataFrame, meta: Meta, labelled: pd.DataFrame
) -> Results:
    noise = np.random.default_rng(0).normal(0, 1e-4, len(metrics))
    noisy = metrics.assign(value=metrics["value"] + noise)
    return compute(noisy, expected, meta, labelled)


def _table_ii(results: Results, meta: Meta, with_reference: bool = True, **augmented: Any) -> Table:
    columns = {"n_very_mild": 69, "n_mild": 30, "n_left_out": 2, "percent": 65.0}
    blank = {"p_naive": float("nan"), "p_corrected": float("nan")}
    rows = [
        {**columns, **blank, "source": source, "labels": n, "measure": measure, "mark": DAGGER}
        for source, n in [("baseline", 6), ("augmented", 6), ("reference", 0)][: 2 + with_reference]
        for measure in ("accuracy", "auc")
    ]
    table = pd.DataFrame(rows).assign(mark_naive=DAGGER)
    cell = (table["source"] == "augmented") & (table["measure"] == "auc")
    for name, value in augmented.items():
        table.loc[cell, name] = value
    section = stratification_section(replace(results.fair, table_ii=table), meta)
    assert section is not None
    shown = section.parts[0]
    assert isinstance(shown, Table)
    return shown


def test_table_ii_shows_both_p_values_and_where_their_marks_differ(
    results: Results, meta: Meta
) -> None:
    table = _table_ii(
        results, meta, percent=66.0, p_naive=1e-5, p_corrected=0.21, mark_naive="*", mark=DAGGER
    )
    rows = {row[0].text: row[1] for row in table.rows}
    cell = rows["AUC, augmented"]
    assert cell.text == "66.0" + DAGGER
    assert cell.note.split("\n") == ["p 0.210, naive < 0.001", "naive: *", "paper 65.6*"]
    assert cell.kind == ""
    assert rows["AUC, baseline"].note == "paper 55.0"
    for said in ("corrected resampled t-test", "overlapping splits", DAGGER, "* significantly"):
        assert said in table.caption
    sure = _table_ii(results, meta, p_naive=1e-5, p_corrected=0.01, mark_naive="", mark=DAGGER)
    (cell,) = [row[1] for row in sure.rows if row[0].text == "AUC, augmented"]
    assert cell.kind == "strong"
    assert "naive: lower" in cell.note


def test_table_ii_without_references_does_not_speak_of_their_marks(
    results: Results, meta: Meta
) -> None:
    with_them, without = (_table_ii(results, meta, there) for there in (True, False))
    assert "69 subjects with CDR 0.5 and 30 with CDR 1 or more (2 left out" in without.caption
    assert "symbols" in with_them.caption
    assert "symbols" not in without.caption and DAGGER not in without.caption
    for table, text in ((with_them, "65.0"), (without, "\N{EN DASH}")):
        (row,) = [row for row in table.rows if row[0].text == "AUC, reference"]
        assert [cell.text for cell in row] == ["AUC, reference", text]
        assert row[1].columns == len(table.headers) - 1


def test_the_table_of_volumes_counts_empty_references(results: Results, meta: Meta) -> None:
    agreement = results.fair.volume_agreement.copy()
    agreement.loc[agreement["structure"] == "amygdala", "n_empty"] = 3
    section = stratification_section(replace(results.fair, volume_agreement=agreement), meta)
    assert section is not None
    table = section.parts[-1]
    assert isinstance(table, Table)
    last = {row[0].text: row[-1] for row in table.rows}
    assert last["Amygdala"].note == "3 empty"
    assert last["Caudate"].note == ""


def test_the_kernels_width_is_drawn_and_said(
    results: Results, meta: Meta, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    widths: set[float] = set()
    regression = age_figures.kernel_regression

    def record(x: Any, y: Any, grid: Any, bandwidth: float, **other: Any) -> Any:
        widths.add(bandwidth)
        return regression(x, y, grid, bandwidth, **(other | {"n_resamples": 2}))

    monkeypatch.setattr(age_figures, "kernel_regression", record)
    others = ("dsc_by_cdr", "difference_by_cdr", "dsc_by_ratio", "per_structure", "box")
    for name in [f"{one}_figure" for one in others]:
        monkeypatch.setattr(figures, name, lambda *_: None)
    wide = meta.copy()
    wide["kernel_bandwidth_years"] = 9.5
    figures.draw_figures(tmp_path, results, wide)
    assert widths == {9.5}
    section = cohort_section(
        results, results.fair, wide, {"dsc_by_age": tmp_path / "dsc_by_age.png"}
    )
    assert section is not None
    (image,) = [part for part in section.parts if isinstance(part, Image)]
    assert "Gaussian kernel, SD 9.5 years" in image.caption
    assert "24 subjects of known age" in image.caption
    assert "shares of its own number" in image.caption
    assert "cut off the lowest 0.5\N{NO-BREAK SPACE}% of the points" in image.caption


def test_every_labelled_person_is_in_the_figures_of_the_cohort(
    results: Results, meta: Meta, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn: dict[str, Any] = {}
    for name in ("dsc_by_age", "difference_by_age", "dsc_by_cdr", "difference_by_cdr"):
        monkeypatch.setattr(
            figures, f"{name}_figure", lambda *given, name=name: drawn.update({name: given})
        )
    for name in ("dsc_by_ratio_figure", "per_structure_figure", "box_figure"):
        monkeypatch.setattr(figures, name, lambda *_: None)
    figures.draw_figures(tmp_path, results, meta)
    assert len(results.test_subjects) == 12
    untested = {22.0, 23.0, 24.0, 25.0}  # of the fixture: in no fold that ran
    assert untested < set(drawn["dsc_by_age"][2]) and untested < set(drawn["difference_by_age"][3])
    assert drawn["dsc_by_cdr"][2] == {0.0: 12, 2.0: 4}


@pytest.mark.parametrize("n_panels", [1, 2, 4, 5])
def test_the_legends_of_the_age_figures_lie_within_them(
    n_panels: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn: list[Figure] = []
    monkeypatch.setattr(age_figures, "_RESAMPLES", 20)
    monkeypatch.setattr(age_figures, "save_png_and_pdf", lambda figure, path: drawn.append(figure))
    ages = np.linspace(20, 80, 13)
    rows = pd.concat(
        [
            pd.DataFrame(
                {
                    "labels": n,
                    "structure": structure,
                    "age_years": ages,
                    "baseline": 0.8,
                    "augmented": 0.85,
                    "difference": 0.05,
                }
            )
            for n in range(1, n_panels + 1)
            for structure in ("overall", *PAPER_STRUCTURES[:n_panels])
        ]
    )
    shown = PAPER_STRUCTURES[:n_panels]
    age_figures.dsc_by_age_figure(tmp_path / "a.png", rows, ages, ages, 6.0, seed=0)
    age_figures.difference_by_age_figure(tmp_path / "b.png", rows, shown, ages, ages, 6.0, seed=0)
    for figure in drawn:
        figure.draw_without_rendering()
        (legend,) = figure.legends
        box = legend.get_window_extent()
        assert box.x0 >= 0 and box.x1 <= figure.bbox.width


def test_curves_and_bands_of_the_age_figures_are_beside_them(
    results: Results, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(age_figures, "_RESAMPLES", 20)
    rows, ages = results.fair.cohort_pairs, np.array([20.0, 40.0])
    overlap, gain = tmp_path / "overlap.png", tmp_path / "gain.png"
    age_figures.dsc_by_age_figure(overlap, rows, ages, ages, 6.0, seed=0)
    age_figures.difference_by_age_figure(gain, rows, PAPER_STRUCTURES[:1], ages, ages, 6.0, seed=0)
    for path, column, names in (
        (overlap, "arm", {"baseline", "augmented"}),
        (gain, "structure", {"overall", "accumbens"}),
    ):
        table = pd.read_csv(path.with_suffix(".csv"))
        assert list(table) == ["labels", column, "age_years", "estimate", "low", "high", "n"]
        assert set(table[column]) == names
        assert set(table.groupby(["labels", column]).size()) == {61}
        assert (table["low"] <= table["high"]).all() and set(table["n"]) == {24}
    curve = table[(table["labels"] == 1) & (table["structure"] == "overall")]
    assert curve["estimate"].to_numpy() == pytest.approx(0.04, abs=1e-3)

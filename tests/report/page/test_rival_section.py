"""GANsfer beside what costs less: a table for each N, and a figure that a telephone shows whole."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest
from PIL import Image as Pillow

from gansfer.drawing.style import DPI
from gansfer.report.figures.methods_figure import methods_figure
from gansfer.report.page.page import DASH, Image, Page, Section, Table, TableCell, write_page
from gansfer.report.page.rival_section import methods_section
from gansfer.report.tables.methods import methods_table
from gansfer.report.tables.results import Meta, Results, compute

NARROW_CSS_PX = 390 - 2 * 16  # of a telephone, without the page's margins


@pytest.fixture(scope="module")
def results(
    metrics_with_rivals: pd.DataFrame,
    expected_with_rivals: pd.DataFrame,
    meta: Meta,
    labelled: pd.DataFrame,
) -> Results:
    return compute(metrics_with_rivals, expected_with_rivals, meta, labelled)


def _section(results: Results, meta: Meta) -> Section:
    section = methods_section(results, meta, {"methods": Path("methods.png")})
    assert section is not None
    return section


def _tables(results: Results, meta: Meta) -> list[Table]:
    return [part for part in _section(results, meta).parts if isinstance(part, Table)]


def _by_method(table: Table) -> dict[str, list[TableCell]]:
    return {row[0].text: list(row[1:]) for row in table.rows}


def test_each_label_count_has_a_table_with_every_method_in_every_group(
    results: Results, meta: Meta
) -> None:
    section = _section(results, meta)
    assert section.title == "Beside classical augmentation and self-training"
    first, second = _tables(results, meta)
    assert (first.title, second.title) == ("Every method at N = 1.", "Every method at N = 6.")
    assert first.csv == "tables/methods.csv"
    assert list(first.headers) == [
        "",
        "Test subjects",
        "Cohort",
        "Cohort, under 60 years",
        "Cohort, 60 years and older",
    ]
    rows = _by_method(first)
    assert list(rows) == [
        "Baseline",
        "Classical augmentation",
        "Classical augmentation and synthetic (2:1)",
        "Self-training",
        "Self-training and synthetic (2:1)",
        "Label propagation",
        "GANsfer (2:1)",
    ]
    test, cohort = rows["Classical augmentation"][:2]
    assert (test.text, test.kind) == ("0.849", "strong")
    assert test.note == "+0.059, +0.058 to +0.060\nbetter, n = 12"
    assert cohort.note.endswith("better, n = 24")
    assert rows["Baseline"][0].note == "n = 12"
    assert _by_method(second)["Classical augmentation"][0].note.endswith("worse, n = 12")


def test_a_method_on_fewer_subjects_says_whose_baseline_it_is_set_beside(
    results: Results, meta: Meta
) -> None:
    """Too few subjects are said to be, and are no "no difference"."""
    propagated = _by_method(_tables(results, meta)[0])["Label propagation"]
    assert propagated[0].note.split("\n")[1:] == [
        "too few subjects to show any, n = 4",
        "baseline of these 0.789",
    ]
    assert [(cell.text, cell.note) for cell in propagated[1:]] == [(DASH, "")] * 3


def test_a_hole_is_a_dash_with_its_n(
    results: Results,
    metrics_with_rivals: pd.DataFrame,
    expected_with_rivals: pd.DataFrame,
    meta: Meta,
) -> None:
    hole = metrics_with_rivals["arm"].eq("classical") & metrics_with_rivals["fold"].eq(0)
    left = metrics_with_rivals[~hole]
    table = methods_table(left, expected_with_rivals, results.fair.choice, None, results.seed)
    rows = _by_method(_tables(replace(results, methods=table), meta)[0])
    cell = rows["Classical augmentation"][0]
    assert (cell.text, cell.note, cell.kind) == (DASH, "n = 8 of 12", "absent")
    assert rows["Classical augmentation and synthetic (2:1)"][0].kind == "strong"


def test_the_papers_way_is_marked_as_such(results: Results, meta: Meta) -> None:
    assert "chooses the same here" in _section(results, meta).text[-1]
    own = results.methods["method"].eq("gansfer")
    best = results.methods[own].assign(method="gansfer-best-on-test", fair=False)
    both = replace(results, best=results.fair, methods=pd.concat([results.methods, best]))
    assert "GANsfer, best on test (2:1)" in _by_method(_tables(both, meta)[0])
    assert "the paper's way" in _section(both, meta).text[-1]


def test_without_rival_arms_there_is_no_section(results: Results, meta: Meta) -> None:
    without = replace(results, methods=results.methods.iloc[:0])
    assert methods_section(without, meta, {}) is None


def test_the_figure_fits_a_telephone_and_says_what_it_is(
    results: Results, meta: Meta, tmp_path: Path
) -> None:
    methods_figure(tmp_path / "methods.png", results.methods)
    with Pillow.open(tmp_path / "methods.png") as drawn:
        assert drawn.width * 96 / DPI <= NARROW_CSS_PX
    assert (tmp_path / "methods.pdf").exists()
    (image,) = [part for part in _section(results, meta).parts if isinstance(part, Image)]
    assert image.alt == "Gain of every method over the baseline, by label count"
    assert image.pdf == "figures/methods.pdf"
    assert "interval" in image.caption


def test_a_methods_name_is_escaped(results: Results, meta: Meta, tmp_path: Path) -> None:
    odd = results.methods.replace({"method": {"classical+ratio-2to1": "classical+<i>odd"}})
    methods_figure(tmp_path / "methods.png", odd)
    section = methods_section(replace(results, methods=odd), meta, {})
    assert section is not None
    page = Page("T", "Complete.", True, "", [], "", [], [], [section], "")
    write_page(tmp_path / "index.html", page)
    html = (tmp_path / "index.html").read_text(encoding="utf-8")
    assert "and synthetic (&lt;I&gt;ODD)" in html and "<I>" not in html

"""Two cells of one label count and one of another, with numbers chosen by hand."""

from __future__ import annotations

import itertools
from pathlib import Path

import pandas as pd
import pytest
from PIL import Image

from gansfer.errors import UserError
from gansfer.report.figures.quality_figures import draw_quality_figures
from gansfer.report.page.page import Image as PageImage
from gansfer.report.page.page import Table
from gansfer.report.page.quality_sections import quality_section
from gansfer.report.tables.quality_tables import (
    COLUMNS,
    QualityTables,
    quality_tables,
)
from gansfer.report.tables.rows import write_tables

STRUCTURES = ("caudate", "putamen")


def _rows(fold: int, labels: int, offset: float) -> list[tuple[object, ...]]:
    cell = (0, fold, labels, 0)
    rows: list[tuple[object, ...]] = []
    for phase in (0, 1, 2, 3):
        bad = phase + offset
        rows += [
            (*cell, phase, "sliced_wasserstein_20px", "mr", bad, 100),
            (*cell, phase, "sliced_wasserstein_10px", "mr", bad + 2, 100),
            (*cell, phase, "precision", "mr", 0.9 - 0.1 * bad, 100),
            (*cell, phase, "nearest_distance_p50", "mr", 18.0 - bad, 60),
            (*cell, phase, "nearest_distance_p01", "mr", 14.0 - bad, 60),
        ]
        if phase:
            rows.append((*cell, phase, "fraction_nearer", "mr", 0.02 * phase, 60))
        for structure in STRUCTURES:
            rows.append((*cell, phase, "sliced_wasserstein_20px", structure, 3 * bad, 40))
            rows.append((*cell, phase, "volume_mm3", structure, 1000.0 - 100 * phase, 40))
            rows.append((*cell, phase, "dice_with_nearest", structure, 0.8, 40))
            if phase:
                rows.append((*cell, phase, "centroid_shift_mm", structure, 1.5, 40))
            for p in (5, 25, 50, 75, 95):
                rows.append((*cell, phase, f"area_mm2_p{p:02d}", structure, 10.0 * p + phase, 40))
    return rows


@pytest.fixture(scope="module")
def quality() -> pd.DataFrame:
    rows = itertools.chain(_rows(0, 1, 0.0), _rows(1, 1, 1.0), _rows(0, 6, 0.0))
    return pd.DataFrame(rows, columns=list(COLUMNS))


@pytest.fixture(scope="module")
def tables(quality: pd.DataFrame) -> QualityTables:
    return quality_tables(quality)


def _mean(table: pd.DataFrame, **where: object) -> tuple[float, int]:
    for name, value in where.items():
        table = table[table[name] == value]
    (row,) = table.to_dict("records")
    return row["mean"], row["n_cells"]


def test_distances_are_averaged_over_scales_then_over_cells(tables: QualityTables) -> None:
    table = tables.synthetic_quality
    of = {"labels": 1, "phase": 2}
    # Cells: (2 + 4) / 2 and (3 + 5) / 2.
    assert _mean(table, measure="sliced_wasserstein_mr", **of) == (3.5, 2)
    assert _mean(table, measure="sliced_wasserstein_labels", **of) == (7.5, 2)
    assert _mean(table, measure="precision", **of) == (pytest.approx(0.65), 2)
    assert _mean(table, measure="precision", labels=6, phase=2) == (pytest.approx(0.7), 1)


def test_means_over_fewer_cells_than_planned_say_so(quality: pd.DataFrame) -> None:
    cells = [(fold, 1, "quality") for fold in range(5)] + [(0, 6, "quality")]
    files = pd.DataFrame(cells, columns=["fold", "labels", "kind"])
    section = quality_section(quality_tables(quality, files), STRUCTURES, {})
    assert section is not None
    of_quality, of_copies, of_labels = (part for part in section.parts if isinstance(part, Table))
    for table in (of_quality, of_copies):
        shown = {row[0].text: row[-1] for row in table.rows}
        assert shown["N = 1, phase 1"].text == "2 of 5"
        assert shown["N = 1, phase 1"].kind == "partial"
        assert shown["N = 6, phase 1"].text == "1"
    assert of_labels.rows[0][1].note.startswith("2 of 5 cells")
    assert of_labels.rows[0][2].kind == ""


def test_a_hole_is_left_out_and_not_counted(quality: pd.DataFrame) -> None:
    holed = quality.copy()
    hole = (holed["measure"] == "precision") & (holed["fold"] == 1) & (holed["phase"] == 2)
    holed.loc[hole, "value"] = float("nan")
    table = quality_tables(holed).synthetic_quality
    assert _mean(table, measure="precision", labels=1, phase=2) == (pytest.approx(0.7), 1)


def test_the_tables_are_written_with_what_is_asserted(
    tables: QualityTables, tmp_path: Path
) -> None:
    written = write_tables(tmp_path, tables)
    assert [path.name for path in written] == [
        "synthetic_quality.csv",
        "synthetic_memorisation.csv",
        "synthetic_labels.csv",
        "synthetic_areas.csv",
    ]
    again = pd.read_csv(tmp_path / "synthetic_labels.csv")
    of = {"labels": 1, "phase": 3, "measure": "volume_mm3", "part": "putamen"}
    assert _mean(again, **of) == (700.0, 2)


def test_the_section_says_it_all(tables: QualityTables, tmp_path: Path) -> None:
    figures = draw_quality_figures(tmp_path, tables, STRUCTURES)
    for path in figures.values():
        with Image.open(path) as picture:
            assert min(picture.size) > 200
        assert path.with_suffix(".pdf").exists()
    section = quality_section(tables, STRUCTURES, figures)
    assert section is not None
    assert [type(part) for part in section.parts] == [Table, PageImage, Table, Table, PageImage]
    quality_table, copies, labels = (part for part in section.parts if isinstance(part, Table))
    assert [cell.text for cell in quality_table.rows[2]] == [
        "N = 1, phase 2",
        "3.50",
        "7.50",
        "0.65",
        "\N{EN DASH}",
        "\N{EN DASH}",
        "\N{EN DASH}",
        "2",
    ]
    assert [cell.text for cell in copies.rows[0]][:4] == ["N = 1, phase 1", "16.5", "17.5", "13.5"]
    assert copies.rows[0][4].text == "2.0\N{NO-BREAK SPACE}%"
    assert labels.rows[1][1].text == "70\N{NO-BREAK SPACE}%"
    assert labels.rows[1][1].note == "1.5 mm off, Dice 0.80"


def test_nothing_measured_no_section(quality: pd.DataFrame) -> None:
    assert quality_section(quality_tables(quality.iloc[:0]), STRUCTURES, {}) is None


def test_a_missing_column_is_named(quality: pd.DataFrame) -> None:
    with pytest.raises(UserError, match="no column part"):
        quality_tables(quality.drop(columns="part"))

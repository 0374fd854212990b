from __future__ import annotations

from pathlib import Path

from gansfer.report.page.page import DASH, Section, Table, TableCell, Terms
from gansfer.report.page.table_pictures import draw_tables, table_figure

TABLE = Table(
    "A title",
    "",
    ["", "N = 1", "N = 24"],
    [
        [TableCell("Baseline"), TableCell("0.81", "paper 0.80", "strong"), TableCell("0.85")],
        [
            TableCell("Augmented"),
            TableCell("0.84", "p 0.706, naive < 0.001\npaper 0.84"),
            TableCell(DASH, "", "absent"),
        ],
    ],
    "tables/one.csv",
)


def test_everything_that_the_table_says_is_drawn_and_nothing_overlaps() -> None:
    figure = table_figure(TABLE)
    texts = [text for text in figure.axes[0].texts if text.get_text()]
    said = {text.get_text() for text in texts}
    notes = {"paper 0.80", "p 0.706, naive < 0.001", "paper 0.84"}
    cells = {"Baseline", "0.81", "0.85", "Augmented", "0.84", DASH}
    assert said == {"A title", "N = 1", "N = 24", *cells, *notes}
    whole = figure.bbox
    boxes = [text.get_window_extent() for text in texts]
    for n, box in enumerate(boxes):
        assert whole.x0 <= box.x0 and box.x1 <= whole.x1
        assert whole.y0 <= box.y0 and box.y1 <= whole.y1
        assert not any(box.overlaps(other) for other in boxes[:n])


def test_each_table_with_a_csv_is_a_png_and_a_pdf(tmp_path: Path) -> None:
    (tmp_path / "tables").mkdir()
    without = Table("No file", "", ["", "n"], [[TableCell("a"), TableCell("1")]])
    section = Section("", [], [TABLE, without, Terms([("a", "b")]), TABLE])
    names = ["one.png", "one.pdf", "one-2.png", "one-2.pdf"]
    assert [path.name for path in draw_tables(tmp_path, [section])] == names
    assert sorted(path.name for path in (tmp_path / "tables").iterdir()) == sorted(names)
    assert (tmp_path / "tables" / "one.png").read_bytes().startswith(b"\x89PNG")

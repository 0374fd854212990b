"""The page's tables as pictures, for slides and papers: PNG and PDF beside the CSV of each."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from textwrap import wrap
from typing import Any

from matplotlib.figure import Figure

from gansfer.drawing.style import report_style, save_png_and_pdf
from gansfer.report.page.page import Section, Table, TableCell

_TEXT_POINTS, _NOTE_POINTS = 9, 7
_CHARACTER_INCHES = 0.085  # of the text's size
_GAP_INCHES = 0.2
_LINE_INCHES = 0.2
_COLOURS = {"paper": "0.45", "partial": "firebrick", "absent": "0.6"}


def draw_tables(folder: Path, sections: Sequence[Section]) -> list[Path]:
    """Draw each table that has a CSV, under that file's name; returns what was written.

    Args:
        folder: the report's; a table's `csv` is relative to it.
        sections: of the page.
    """
    written: list[Path] = []
    for table in _tables(sections):
        path = (folder / table.csv).with_suffix(".png")
        number = 1
        while path in written:  # two tables out of one file
            number += 1
            path = path.with_name(f"{Path(table.csv).stem}-{number}.png")
        with report_style():
            save_png_and_pdf(table_figure(table), path)
        written += [path, path.with_suffix(".pdf")]
    return written


def table_figure(table: Table) -> Figure:
    """A table with its title above: the first column to the left, the others to the right."""
    rows = [list(_placed(row)) for row in table.rows]
    # A cell of several columns is given room by the others of its columns.
    columns = [
        [cell for row in rows for place, cell in row if place == k and cell.columns == 1]
        for k in range(len(table.headers))
    ]
    widths = [
        _GAP_INCHES + _CHARACTER_INCHES * max([len(header), *map(_characters, cells)])
        for header, cells in zip(table.headers, columns, strict=True)
    ]
    title = wrap(table.title, max(20, int(sum(widths) / _CHARACTER_INCHES)))
    heights = [_LINE_INCHES * (1.4 + 0.75 * max(map(_note_lines, row))) for row in table.rows]
    height = _LINE_INCHES * (len(title) + 2.2) + sum(heights)
    figure = Figure(figsize=(sum(widths) + _GAP_INCHES, height))
    figure.set_layout_engine("none")  # every place is given here
    axes = figure.add_axes((0, 0, 1, 1), xlim=(0, figure.get_figwidth()), ylim=(height, 0))
    axes.axis("off")

    def put(column: int, y: float, text: str, points: float, n: int = 1, **more: Any) -> None:
        left, right = sum(widths[:column]), sum(widths[: column + n])
        x = _GAP_INCHES if column == 0 else (left + _GAP_INCHES + right) / 2 if n > 1 else right
        side = "left" if column == 0 else "center" if n > 1 else "right"
        axes.text(x, y, text, fontsize=points, ha=side, va="center", parse_math=False, **more)

    for n, line in enumerate(title):
        put(0, _LINE_INCHES * (n + 0.7), line, _TEXT_POINTS, weight="bold")
    y = _LINE_INCHES * (len(title) + 1)
    for column, header in enumerate(table.headers):
        put(column, y, header, _TEXT_POINTS, weight="bold")
    y += 0.6 * _LINE_INCHES
    axes.axhline(y, color="0.2", linewidth=0.8)
    for row, row_height in zip(rows, heights, strict=True):
        for column, cell in row:
            weight = "bold" if cell.kind == "strong" or column == 0 else "normal"
            colour = _COLOURS.get(cell.kind, "0.1")
            line_y = y + row_height / 2 - 0.375 * _LINE_INCHES * _note_lines(cell)
            n = cell.columns
            put(column, line_y, cell.text, _TEXT_POINTS, n, weight=weight, color=colour)
            for note in cell.note.splitlines():
                line_y += 0.75 * _LINE_INCHES
                put(column, line_y, note, _NOTE_POINTS, n, color="0.45")
        y += row_height
        axes.axhline(y, color="0.85", linewidth=0.5)
    return figure


def _tables(sections: Sequence[Section]) -> Iterator[Table]:
    for section in sections:
        yield from (part for part in section.parts if isinstance(part, Table) and part.csv)


def _placed(row: Sequence[TableCell]) -> Iterator[tuple[int, TableCell]]:
    """Each cell with the first of its columns."""
    column = 0
    for cell in row:
        yield column, cell
        column += cell.columns


def _characters(cell: TableCell) -> int:
    note = max(map(len, cell.note.splitlines()), default=0)
    return max(len(cell.text), round(note * _NOTE_POINTS / _TEXT_POINTS))


def _note_lines(cell: TableCell) -> int:
    return len(cell.note.splitlines())

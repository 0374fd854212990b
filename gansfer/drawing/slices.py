"""Pictures of MR slices with the outlines of their structures.

Legend: R rows and C columns of a picture's tiles, K tiles, Z H W slices, rows and columns of a
volume. Images are in any unit (one grey window serves a whole picture); labels are 0 for
background and k + 1 for structures[k].
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from scipy import ndimage

from gansfer.drawing.style import (
    DPI,
    INK,
    WARNING_COLOUR,
    report_style,
    save_png,
    save_png_and_pdf,
    structure_colour,
    structure_title,
)

_GAP_PX = 2
_WIDEST_PX = 1500  # of the tiles together: sharp at laptop and print width
_LARGEST_TILE_PX = 240


@dataclass(frozen=True)
class ContactRow:
    """One subject of a contact sheet.

    Attributes:
        id: the subject.
        image_zhw: its MR.
        label_zhw: its label map, or None.
        age_years: or None where unknown.
        cdr: or None where unknown.
        flag: why this subject should be checked by eye; empty: nothing unusual.
    """

    id: str
    image_zhw: npt.NDArray[np.floating]
    label_zhw: npt.NDArray[np.integer] | None = None
    age_years: float | None = None
    cdr: float | None = None
    flag: str = ""


def sample_grid(
    path: Path,
    image_khw: npt.NDArray[np.floating],
    label_khw: npt.NDArray[np.integer] | None,
    structures: Sequence[str],
    title: str,
    columns: int = 8,
) -> None:
    """Write K slices as a grid (PNG), row by row, structures outlined and named.

    Args:
        path: the PNG.
        image_khw: [K, H, W] slices, in any unit.
        label_khw: [K, H, W] label maps, or None for images alone.
        structures: names, in the order of the label values.
        title: above the grid.
        columns: tiles in a row; the last row may be shorter.
    """
    k, h, w = image_khw.shape
    columns = max(1, min(columns, k))
    rows = math.ceil(k / columns)
    image_rchw = np.full((rows * columns, h, w), np.nan, np.float32)
    image_rchw[:k] = image_khw
    label_rchw = np.zeros((rows * columns, h, w), np.int64)
    if label_khw is not None:
        label_rchw[:k] = label_khw
    slice_table(
        path,
        image_rchw.reshape(rows, columns, h, w),
        label_rchw.reshape(rows, columns, h, w) if label_khw is not None else None,
        structures,
        title,
    )


def contact_sheet(
    path: Path,
    subjects: Sequence[ContactRow],
    structures: Sequence[str],
    title: str,
    slices: int = 7,
) -> None:
    """Write one row of middle slices a subject (PNG), with id, age, CDR and flags in words.

    Args:
        path: the PNG.
        subjects: at least one; all of the same shape.
        structures: names, in the order of the label values.
        title: above the sheet.
        slices: slices shown of each subject, evenly spaced over the middle 60 % of its Z.
    """
    z_size = subjects[0].image_zhw.shape[0]
    z_shown = np.unique(np.linspace(0.2 * (z_size - 1), 0.8 * (z_size - 1), slices).round())
    z_index = z_shown.astype(int)
    image_rchw = np.stack([row.image_zhw[z_index] for row in subjects])
    label_rchw = np.stack(
        [
            np.zeros_like(row.image_zhw[z_index], int)
            if row.label_zhw is None
            else row.label_zhw[z_index].astype(int)
            for row in subjects
        ]
    )
    slice_table(
        path,
        image_rchw,
        label_rchw if any(row.label_zhw is not None for row in subjects) else None,
        structures,
        title,
        row_titles=[_subject_text(row) for row in subjects],
        column_titles=[f"slice {z}" for z in z_index],
        flagged_rows=[bool(row.flag) for row in subjects],
    )


def slice_table(
    path: Path,
    image_rchw: npt.NDArray[np.floating],
    label_rchw: npt.NDArray[np.integer] | None,
    structures: Sequence[str],
    title: str,
    row_titles: Sequence[str] = (),
    column_titles: Sequence[str] = (),
    flagged_rows: Sequence[bool] = (),
    also_pdf: bool = False,
) -> None:
    """Write R x C slices as one picture (PNG); a tile of NaN stays empty.

    Args:
        path: the PNG.
        image_rchw: [R, C, H, W] slices, in any unit; one grey window for all.
        label_rchw: [R, C, H, W] label maps, or None.
        structures: names, in the order of the label values.
        title: above the picture.
        row_titles: R texts left of the rows, or none.
        column_titles: C texts above the columns, or none.
        flagged_rows: R booleans: rows whose text is drawn as a warning, or none.
        also_pdf: write a PDF beside the PNG.
    """
    rows, columns, h, w = image_rchw.shape
    zoom = max(1, min(_LARGEST_TILE_PX // max(h, w), _WIDEST_PX // (columns * (w + _GAP_PX))))
    longest = max((len(line) for text in row_titles for line in text.split("\n")), default=0)
    left_in = 0.1 + 0.068 * longest
    width_in = left_in + zoom * (columns * (w + _GAP_PX)) / DPI + 0.1
    width_in = max(width_in, 0.1 + 0.082 * len(title), 4.2)
    top_in = 0.38 + (0.2 if column_titles else 0.0)
    present = [] if label_rchw is None else [int(v) - 1 for v in np.unique(label_rchw) if v]
    legend_columns = max(1, min(len(present), int((width_in - 0.2) / 1.05)))
    legend_rows = math.ceil(len(present) / legend_columns)
    bottom_in = 0.08 + 0.19 * legend_rows
    tiles_in = zoom * rows * (h + _GAP_PX) / DPI
    height_in = top_in + tiles_in + bottom_in
    with report_style():
        figure = Figure(figsize=(width_in, height_in))
        axes = figure.add_axes(
            (
                left_in / width_in,
                bottom_in / height_in,
                zoom * columns * (w + _GAP_PX) / DPI / width_in,
                tiles_in / height_in,
            )
        )
        _draw_tiles(axes, image_rchw, zoom)
        if label_rchw is not None:
            _draw_outlines(axes, label_rchw, len(structures), zoom)
            handles = [
                Line2D(
                    [], [], color=structure_colour(k), lw=2.5, label=structure_title(structures[k])
                )
                for k in present
            ]
            figure.legend(
                handles=handles,
                loc="lower center",
                ncol=legend_columns,
                fontsize=7.5,
                handlelength=1.2,
                columnspacing=1.2,
                borderpad=0.1,
                labelspacing=0.3,
            )
        _write_titles(axes, (h, w), row_titles, column_titles, flagged_rows)
        figure.text(0.1 / width_in, 1 - 0.1 / height_in, title, va="top", weight="bold", size=9.5)
        (save_png_and_pdf if also_pdf else save_png)(figure, path)


def grey_window(image: npt.NDArray[np.floating]) -> tuple[float, float]:
    """Black and white of a picture: the 0.5 and 99.5 percentiles of its finite values."""
    finite = image[np.isfinite(image)]
    if finite.size == 0:
        return 0.0, 1.0
    black, white = np.percentile(finite, (0.5, 99.5))
    return float(black), float(white if white > black else black + 1.0)


def _draw_tiles(axes: Axes, image_rchw: npt.NDArray[np.floating], zoom: int) -> None:
    rows, columns, h, w = image_rchw.shape
    black, white = grey_window(image_rchw)
    grey_rchw = np.clip((image_rchw - black) / (white - black), 0, 1)
    empty_rc = np.isnan(grey_rchw).all(axis=(2, 3))
    # An empty tile's NaN would spread to its neighbours, which have weight 0 in its interpolation.
    grey_rchw[empty_rc] = 0.0
    large = np.asarray(
        ndimage.zoom(grey_rchw, (1, 1, zoom, zoom), order=1, mode="nearest", grid_mode=True)
    )
    large[empty_rc] = np.nan
    mosaic = _mosaic(large, _GAP_PX * zoom, np.nan)
    mosaic = np.where(np.isfinite(mosaic), mosaic, 1.0)  # gaps and empty tiles are white
    extent = (-0.5, columns * (w + _GAP_PX) - 0.5, rows * (h + _GAP_PX) - 0.5, -0.5)
    axes.imshow(mosaic, cmap="gray", vmin=0, vmax=1, extent=extent, interpolation="nearest")
    axes.set_aspect("auto")
    axes.axis("off")


def _mosaic(tile_rchw: npt.NDArray[Any], gap_px: int, filling: float) -> npt.NDArray[Any]:
    """The tiles side by side as one picture, with a gap below and to the right of each."""
    gaps = ((0, 0), (0, 0), (0, gap_px), (0, gap_px))
    padded = np.pad(tile_rchw, gaps, constant_values=filling)
    rows, columns, h, w = padded.shape
    return padded.transpose(0, 2, 1, 3).reshape(rows * h, columns * w)


def _draw_outlines(
    axes: Axes, label_rchw: npt.NDArray[np.integer], n_structures: int, zoom: int
) -> None:
    mosaic = _mosaic(label_rchw, _GAP_PX, 0)
    for k in range(n_structures):
        inside = mosaic == k + 1
        if inside.any():
            axes.contour(
                inside.astype(np.float32),
                levels=[0.5],
                colors=[structure_colour(k)],
                linewidths=0.7 if zoom <= 3 else 1.1,
            )


def _write_titles(
    axes: Axes,
    tile_hw: tuple[int, int],
    row_titles: Sequence[str],
    column_titles: Sequence[str],
    flagged_rows: Sequence[bool],
) -> None:
    h, w = tile_hw
    for row, text in enumerate(row_titles):
        flagged = bool(flagged_rows) and flagged_rows[row]
        axes.text(
            -_GAP_PX,
            row * (h + _GAP_PX) + h / 2,
            text,
            ha="right",
            va="center",
            fontsize=7.5,
            color=WARNING_COLOUR if flagged else INK,
            weight="bold" if flagged else "normal",
        )
    for column, text in enumerate(column_titles):
        axes.text(
            column * (w + _GAP_PX) + w / 2, -_GAP_PX, text, ha="center", va="bottom", fontsize=7.5
        )


def _subject_text(row: ContactRow) -> str:
    age = "age ?" if row.age_years is None else f"age {row.age_years:.0f}"
    cdr = "CDR ?" if row.cdr is None else f"CDR {row.cdr:g}"
    return "\n".join(part for part in (row.id, f"{age}  {cdr}", row.flag) if part)

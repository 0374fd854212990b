"""Training curves: every measured quantity against the images shown."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import EngFormatter

from gansfer.drawing.style import AUGMENTED_COLOUR, report_style, save_png

# Fields that say when a record was written, not what was measured.
_COORDINATES = ("images", "step", "phase", "level_px", "level", "seconds", "epoch")


def loss_curves(path: Path, records: Sequence[Mapping[str, object]], title: str = "") -> None:
    """Write one small plot for each measured quantity (PNG), the GAN's levels as shaded bands.

    Args:
        path: the PNG.
        records: training records in order; keys "images" (or "step") and, where there are levels,
            "level_px" and "phase" place a record, every other key with a float value is drawn.
            A missing or non-finite value is a gap.
        title: above the plots.
    """
    table = pd.DataFrame(list(records))
    names = _measured(records)
    with report_style():
        columns = 1 if len(names) <= 3 else 2
        rows = max(1, math.ceil(len(names) / columns))
        figure = Figure(
            figsize=(8.4 if columns == 2 else 7.2, 1.55 * rows + 0.75), layout="constrained"
        )
        figure.suptitle(title, x=0.01, ha="left", fontsize=10, weight="bold")
        if not names:
            figure.text(0.5, 0.5, "no records yet", ha="center", va="center")
            save_png(figure, path)
            return
        axes_rc = figure.subplots(rows, columns, squeeze=False, sharex=True)
        x_name, x = _images_shown(table)
        for place, name in enumerate(names):
            axes = axes_rc[place // columns, place % columns]
            _draw_curve(axes, x, pd.to_numeric(table[name], errors="coerce").to_numpy(float))
            banded = _shade_levels(axes, table, x, with_text=place < columns)
            pad = 13 if banded and place < columns else 3
            axes.set_title(name.replace("_", " "), loc="left", fontsize=8.5, pad=pad)
        for axes in axes_rc.flat[len(names) :]:
            axes.set_visible(False)
        for column in range(columns):
            last = axes_rc[(len(names) - 1 - column) // columns, column]
            last.set_xlabel(x_name)
            last.tick_params(labelbottom=True)
            last.xaxis.set_major_formatter(EngFormatter(sep=" "))
        save_png(figure, path)


def _measured(records: Sequence[Mapping[str, object]]) -> list[str]:
    names = dict.fromkeys(
        name
        for record in records
        for name, value in record.items()
        if isinstance(value, float) and name not in _COORDINATES
    )
    return list(names)


def _images_shown(table: pd.DataFrame) -> tuple[str, npt.NDArray[np.float64]]:
    """Where each record stands; a count that starts again (a new phase) goes on from the last."""
    name = next((name for name in ("images", "step") if name in table), None)
    if name is None:
        return "record", np.arange(len(table), dtype=float)
    x = table[name].to_numpy(float)
    restarts = np.flatnonzero(np.diff(x) < 0) + 1
    shown_before = np.zeros_like(x)
    shown_before[restarts] = x[restarts - 1]
    x = x + np.cumsum(shown_before)
    return {"images": "images shown", "step": "updates"}[name], x


def _draw_curve(axes: Axes, x: npt.NDArray[np.float64], y: npt.NDArray[np.float64]) -> None:
    y = np.where(np.isfinite(y), y, np.nan)
    window = max(1, len(y) // 40)
    smooth = pd.Series(y).rolling(window, center=True, min_periods=1).median().where(~np.isnan(y))
    markers = "o" if np.isfinite(y).sum() < 3 else None
    axes.plot(x, y, color=AUGMENTED_COLOUR, alpha=0.3 if window > 1 else 1, lw=0.8, marker=markers)
    if window > 1:
        axes.plot(x, smooth, color=AUGMENTED_COLOUR, lw=1.5)
    finite = y[np.isfinite(y)]
    if finite.size:
        low, high = np.percentile(finite, (0.5, 99.5))  # one spike must not flatten the curve
        margin = 0.08 * (high - low) or 0.1 * abs(high) or 1.0
        axes.set_ylim(low - margin, high + margin)
    axes.margins(x=0.01)


def _shade_levels(
    axes: Axes, table: pd.DataFrame, x: npt.NDArray[np.float64], with_text: bool
) -> bool:
    levels = [name for name in ("phase", "level_px") if name in table]
    if not levels or len(table) < 2:
        return False
    changes = (table[levels] != table[levels].shift()).any(axis=1).to_numpy()
    starts = np.flatnonzero(changes)
    if len(starts) < 2:
        return False
    edges = [*x[starts], x[-1]]
    for band, start in enumerate(starts):
        if band % 2:
            axes.axvspan(edges[band], edges[band + 1], color="#EEF1F5", zorder=0, lw=0)
        if with_text and "level_px" in table:
            axes.text(
                (edges[band] + edges[band + 1]) / 2,
                1.01,
                f"{table['level_px'].iloc[start]:.0f} px",
                transform=axes.get_xaxis_transform(),
                ha="center",
                va="bottom",
                fontsize=7,
                color="#6B7280",
            )
    return True

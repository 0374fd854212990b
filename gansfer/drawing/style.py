"""How every picture of the report looks: one colour and one name for each thing, everywhere.

The structure colours are Okabe and Ito's (2008), chosen to be told apart by colour-blind readers
and bright enough to be seen on a grey MR slice.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import matplotlib
from matplotlib.figure import Figure

from gansfer.atomic import replacing

_STRUCTURE_COLOURS = (
    "#E69F00",
    "#56B4E9",
    "#F0E442",
    "#D55E00",
    "#00C08B",
    "#CC79A7",
    "#4C7DFF",
    "#FFFFFF",
    "#B0E57C",
    "#FF9DA7",
    "#9C755F",
    "#76B7B2",
)
_LABEL_COUNT_COLOURS = ("#D55E00", "#E69F00", "#009E73", "#0072B2", "#7A4FA3", "#444444")
DPI = 150
BASELINE_COLOUR = "#8A8F98"
AUGMENTED_COLOUR = "#0072B2"
WARNING_COLOUR = "#B3261E"
INK = "#22262E"


_RC: Any = {
    "font.family": "DejaVu Sans",
    "font.size": 9,
    "axes.titlesize": 10,
    "axes.titleweight": "bold",
    "axes.labelsize": 9,
    "axes.edgecolor": "#9AA0A6",
    "axes.labelcolor": INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": "#E4E7EB",
    "grid.linewidth": 0.8,
    "xtick.color": INK,
    "ytick.color": INK,
    "text.color": INK,
    "legend.frameon": False,
    "figure.facecolor": "white",
    "savefig.facecolor": "white",
    "pdf.fonttype": 42,
}


@contextmanager
def report_style() -> Iterator[None]:
    """Draw with the report's fonts, lines and colours inside this block."""
    with matplotlib.rc_context(_RC):
        yield


def structure_colour(index: int) -> str:
    """Colour of structure `index` (0-based, in the experiment's order)."""
    return _STRUCTURE_COLOURS[index % len(_STRUCTURE_COLOURS)]


def label_count_colour(labels: int, label_counts: Sequence[int]) -> str:
    """Colour of label count `labels` among the experiment's counts."""
    return _LABEL_COUNT_COLOURS[sorted(label_counts).index(labels) % len(_LABEL_COUNT_COLOURS)]


def structure_title(structure: str) -> str:
    """A structure's name as readers see it."""
    return {"overall": "Overall", "mean": "Mean of structures"}.get(
        structure, structure.replace("_", " ").capitalize()
    )


def save_png(figure: Figure, path: Path) -> None:
    """Write a figure as PNG, whole or not at all."""
    with replacing(path) as aside:
        figure.savefig(aside, format="png", dpi=DPI, metadata={"Software": None})


def save_png_and_pdf(figure: Figure, path_png: Path) -> None:
    """Write a figure as PNG and, under the same name, as PDF."""
    save_png(figure, path_png)
    figure.set_layout_engine("none")  # keeps the layout of the PNG, which takes as long as drawing
    with replacing(path_png.with_suffix(".pdf")) as aside:
        figure.savefig(aside, format="pdf", metadata={"CreationDate": None, "Producer": None})

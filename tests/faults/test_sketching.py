"""A sketch stands for the picture: equal for equal figures, another where anything is another."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from PIL import Image

from gansfer.drawing.style import save_png_and_pdf
from tests.faults.sketching import digest_of, sketch_figures


def drawn(change: Callable[[Axes], object] = lambda axes: None) -> Figure:
    figure = Figure(layout="constrained")
    figure.suptitle("losses")
    axes = figure.subplots()
    axes.plot([0, 1, 2], [3, 1, 2])
    axes.scatter([0, 1], [1, 0], c=[0.1, 0.2])
    axes.bar([0, 1], [1, 2])
    axes.imshow(np.eye(3))
    axes.text(0, 0, "here")
    change(axes)
    return figure


@pytest.mark.parametrize(
    "change",
    [
        lambda axes: axes.lines[0].set_ydata([3, 1, 2.001]),
        lambda axes: axes.collections[0].set_array([0.1, 0.3]),
        lambda axes: axes.collections[0].set_offsets([[0, 1], [1, 1]]),
        lambda axes: axes.patches[1].set_height(3),
        lambda axes: axes.images[0].set_data(np.eye(3) * 2),
        lambda axes: axes.texts[0].set_text("there"),
        lambda axes: axes.set_title("title", loc="left"),
        lambda axes: axes.set_xlim(0, 9),
        lambda axes: axes.get_figure().suptitle("other"),
    ],
)
def test_what_is_drawn_decides_the_sketch(change: Callable[[Axes], object]) -> None:
    assert digest_of(drawn()) == digest_of(drawn())
    assert digest_of(drawn(change)) != digest_of(drawn())


def test_a_sketch_is_written_where_the_picture_would_be(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Figure, "savefig", Figure.savefig)  # as it is, afterwards
    sketch_figures()
    figure = drawn()
    save_png_and_pdf(figure, tmp_path / "a.png")
    pixels_hw = np.asarray(Image.open(tmp_path / "a.png"))
    assert pixels_hw.tobytes() == digest_of(figure)
    assert (tmp_path / "a.pdf").read_bytes().endswith(digest_of(figure))
    assert {path.name for path in tmp_path.iterdir()} == {"a.png", "a.pdf"}

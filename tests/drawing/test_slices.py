from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt
from matplotlib.colors import to_rgb
from PIL import Image

from gansfer.drawing import slices
from gansfer.drawing.style import WARNING_COLOUR, structure_colour

STRUCTURES = ("accumbens", "caudate")


def _pixels(path: Path) -> npt.NDArray[np.float64]:
    with Image.open(path) as image:
        return np.asarray(image.convert("RGB"), np.float64) / 255


def _near(pixels: npt.NDArray[np.float64], colour: str) -> npt.NDArray[np.bool_]:
    return np.abs(pixels - np.array(to_rgb(colour))).max(axis=-1) < 0.06


def _squares() -> tuple[npt.NDArray[np.float32], npt.NDArray[np.uint8]]:
    """Two slices of noise; the first with a square of structure 2, the second empty."""
    image = np.random.default_rng(0).normal(size=(2, 40, 40)).astype(np.float32)
    label = np.zeros((2, 40, 40), np.uint8)
    label[0, 10:30, 10:30] = 2
    return image, label


def test_outlines_enclose_the_structure_in_its_colour(tmp_path: Path) -> None:
    image, label = _squares()
    slices.sample_grid(tmp_path / "grid.png", image, label, STRUCTURES, "two", columns=2)
    pixels = _pixels(tmp_path / "grid.png")
    seen = _near(pixels, structure_colour(1))
    rows, columns = np.nonzero(seen[: int(0.8 * len(seen))])  # without the legend
    assert columns.max() < pixels.shape[1] / 2  # the first tile alone
    assert 0.9 < np.ptp(rows) / np.ptp(columns) < 1.1  # a square stays a square
    middle = seen[rows.min() + 8 : rows.max() - 8, columns.min() + 8 : columns.max() - 8]
    assert not middle.any()  # an outline, not an area
    for absent in (0, -1):  # the other structure, and the background: not in the legend either
        assert not _near(pixels, structure_colour(absent)).any()


def test_images_alone_have_no_outlines(tmp_path: Path) -> None:
    image, _ = _squares()
    slices.sample_grid(tmp_path / "grid.png", image, None, STRUCTURES, "images")
    pixels = _pixels(tmp_path / "grid.png")
    grey = np.abs(pixels - pixels.mean(axis=-1, keepdims=True)).max(axis=-1) < 0.1
    assert grey.all()


def test_a_short_last_row_stays_white(tmp_path: Path) -> None:
    image, label = _squares()
    three = np.concatenate([image, image[:1]]) - 5
    labels = np.concatenate([label, label[:1]])
    slices.sample_grid(tmp_path / "grid.png", three, labels, STRUCTURES, "three", columns=2)
    pixels = _pixels(tmp_path / "grid.png")
    height, width = pixels.shape[:2]
    corner = pixels[int(0.65 * height) : int(0.85 * height), int(0.6 * width) : int(0.9 * width)]
    assert (corner == 1).all()


def test_flagged_subjects_stand_out(tmp_path: Path) -> None:
    image, label = _squares()
    volume, labels = np.repeat(image, 10, axis=0), np.repeat(label, 10, axis=0)
    rows = [
        slices.ContactRow("a", volume, labels, 71.0, 0.5),
        slices.ContactRow("b", volume, None, flag="outside the region"),
    ]
    slices.contact_sheet(tmp_path / "flagged.png", rows, STRUCTURES, "cohort")
    slices.contact_sheet(tmp_path / "plain.png", rows[:1], STRUCTURES, "cohort")
    assert _near(_pixels(tmp_path / "flagged.png"), WARNING_COLOUR).any()
    assert not _near(_pixels(tmp_path / "plain.png"), WARNING_COLOUR).any()


def test_the_grey_window_ignores_holes_and_survives_a_constant() -> None:
    assert slices.grey_window(np.array([np.nan, 2.0, 2.0])) == (2.0, 3.0)
    low, high = slices.grey_window(np.append(np.linspace(0, 1, 1001), 50.0))
    assert 0 <= low < 0.02
    assert 0.98 < high < 1.1


def test_an_empty_tile_leaves_its_neighbours_alone(tmp_path: Path) -> None:
    image = np.random.default_rng(0).normal(size=(3, 40, 40)).astype(np.float32)
    slices.sample_grid(tmp_path / "grid.png", image, None, STRUCTURES, "three", columns=2)
    pixels = _pixels(tmp_path / "grid.png")
    height, width = pixels.shape[:2]
    above = pixels[int(0.25 * height) : int(0.45 * height), int(0.6 * width) : int(0.8 * width)]
    assert above.std() > 0.1  # the second slice, over the empty place

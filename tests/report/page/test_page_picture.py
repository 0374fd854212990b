from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image as Pillow

from gansfer.report.page.page_picture import compact


def _png(image: np.ndarray) -> bytes:
    file = io.BytesIO()
    Pillow.fromarray(image).save(file, "PNG")
    return file.getvalue()


def _drawing() -> np.ndarray:
    image = np.full((300, 400, 4), 255, np.uint8)
    across = np.linspace(0, 255, 400).astype(np.uint8)
    for row, colour in enumerate(((213, 94, 0), (0, 114, 178), (0, 158, 115))):
        image[60 * row + 40 : 60 * row + 70, :, :3] = colour
        image[60 * row + 40 : 60 * row + 70, :, 0] = across
    shade = np.random.default_rng(1).integers(0, 8, (150, 400), dtype=np.uint8)
    image[40:190, :, 1] -= np.minimum(shade, image[40:190, :, 1]) * (image[40:190, :, 0] < 255)
    return image


def _slices() -> np.ndarray:
    grey = np.random.default_rng(0).normal(120, 30, (300, 400)).clip(0, 254).astype(np.uint8)
    image = np.stack([grey, grey, grey, np.full_like(grey, 255)], axis=-1)
    image[100:200, 100, :3] = image[100:200, 200, :3] = (213, 94, 0)  # an outline one pixel wide
    return image


@pytest.mark.parametrize(
    ("image", "media", "most_off"), [(_drawing(), "image/png", 6), (_slices(), "image/jpeg", 12)]
)
def test_pictures_get_smaller_and_look_the_same(
    image: np.ndarray, media: str, most_off: float
) -> None:
    png = _png(image)
    found, small = compact(png)
    assert found == media
    assert len(small) < len(png)
    shown = np.asarray(Pillow.open(io.BytesIO(small)).convert("RGB")).astype(float)
    assert shown.shape == (300, 400, 3)
    assert np.abs(shown - image[..., :3]).mean() < most_off


def test_an_outline_keeps_its_colour() -> None:
    _, small = compact(_png(_slices()))
    shown = np.asarray(Pillow.open(io.BytesIO(small)).convert("RGB")).astype(float)
    red, _, blue = shown[110:190, 100].mean(axis=0)
    assert red - blue > 140  # of 213; with halved colour resolution about 100


def test_a_picture_that_cannot_shrink_stays_as_it_was() -> None:
    tiny = _png(np.zeros((2, 2, 3), np.uint8))
    assert compact(tiny) == ("image/png", tiny)


def test_what_is_transparent_is_white() -> None:
    image = _slices()
    image[:50, :, 3] = 0
    _, small = compact(_png(image))
    assert np.asarray(Pillow.open(io.BytesIO(small)).convert("L"))[:40].min() > 240

"""Figures saved as sketches: what is drawn, without the seconds that drawing it takes.

Rendering is most of what a small experiment computes, and no fault has to do with it: a fault meets
the files. A sketch is opened, written, synced and renamed as the picture would be, and is another
one where anything that the picture shows is another.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from PIL import Image

_SHAPE = (8, 4)  # of a picture of 32 bytes


def sketch_figures() -> None:
    """Let every figure that this process, or one forked from it, saves be a sketch."""
    Figure.savefig = _save_sketch  # type: ignore[method-assign, assignment]


def digest_of(figure: Figure) -> bytes:
    """SHA-256 of what a figure shows."""
    digest = hashlib.sha256()
    for part in _shown(figure):
        plain = np.ma.filled(part, np.nan) if isinstance(part, np.ma.MaskedArray) else part
        digest.update(plain.tobytes() if isinstance(plain, np.ndarray) else str(plain).encode())
        digest.update(b"\0")
    return digest.digest()


def _save_sketch(figure: Figure, path: Path, *, format: str, **kwargs: Any) -> None:
    pixels_hw = np.frombuffer(digest_of(figure), np.uint8).reshape(_SHAPE)
    if format == "png":
        Image.fromarray(pixels_hw).save(path, format="PNG")
    else:
        path.write_bytes(b"%PDF-1.4 " + pixels_hw.tobytes())


def _shown(figure: Figure) -> Iterator[Any]:
    """Sizes, texts, curves, patches and images, in their order."""
    yield figure.get_size_inches()
    for text in figure.texts:
        yield from (text.get_text(), *text.get_position())
    for axes in figure.axes:
        yield np.array(axes.get_position().bounds)
        for title in ("left", "center", "right"):
            yield axes.get_title(loc=title)
        yield from (axes.get_xlabel(), axes.get_ylabel(), axes.get_visible())
        for line in axes.lines:
            yield from (np.asarray(line.get_xydata()), line.get_color(), line.get_label())
        for patch in axes.patches:
            moved = patch.get_patch_transform().transform(patch.get_path().vertices)
            yield from (moved, patch.get_facecolor())
        for collection in axes.collections:
            yield from (collection.get_offsets(), collection.get_array())
            yield from (path.vertices for path in collection.get_paths())
        for image in axes.images:
            yield image.get_array()
        for text in axes.texts:
            yield from (text.get_text(), *text.get_position())
        yield np.array([*axes.get_xlim(), *axes.get_ylim()])

"""Pictures as small as the page needs them: sharp lines as a palette, MR slices as JPEG."""

from __future__ import annotations

import io

import numpy as np
from PIL import Image as Pillow

_MOSTLY_WHITE = 0.5  # lines and text; a table of slices is a third white at most
_JPEG_QUALITY = 85


def compact(png: bytes) -> tuple[str, bytes]:
    """The picture in fewer bytes, as many pixels; it is as it was where that is smallest.

    A drawing becomes a PNG of 256 colours. Slices become a JPEG with full colour resolution:
    halved, it would wash out the structures' outlines.

    Args:
        png: a whole PNG file.

    Returns:
        Media type, and the file.
    """
    with Pillow.open(io.BytesIO(png)) as opened:
        flat = Pillow.new("RGB", opened.size, "white")
        flat.paste(opened, mask=opened.getchannel("A") if "A" in opened.getbands() else None)
    smaller = io.BytesIO()
    if np.mean(np.asarray(flat.convert("L")) == 255) > _MOSTLY_WHITE:
        palette = flat.quantize(256, Pillow.Quantize.MEDIANCUT, dither=Pillow.Dither.NONE)
        palette.save(smaller, "PNG")
        media = "image/png"
    else:
        flat.save(smaller, "JPEG", quality=_JPEG_QUALITY, subsampling=0, optimize=True)
        media = "image/jpeg"
    if smaller.tell() < len(png):
        return media, smaller.getvalue()
    return "image/png", png

"""Pictures as small as the page needs them: sharp lines as a palette, MR slices as JPEG."""

from __future__ import annotations

import base64
import io
import struct
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image as Pillow

from gansfer.drawing.style import DPI
from gansfer.errors import UserError

_MOSTLY_WHITE = 0.5  # lines and text; a table of slices is a third white at most
_JPEG_QUALITY = 85
_CSS_DPI = 96
_PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"


def embedded(path: Path) -> dict[str, Any]:
    """A PNG as the page holds it: media type, data in base64, width and height in CSS pixels.

    Raises:
        UserError: it is no PNG.
    """
    content = path.read_bytes()
    if content[:8] != _PNG_SIGNATURE or len(content) < 24:
        raise UserError(f"{path}: not a PNG; was it written to the end? Make it again.")
    width, height = struct.unpack(">II", content[16:24])
    media, small = compact(content)
    return {
        "media": media,
        "data": in_base64(small),
        "width": round(width * _CSS_DPI / DPI),
        "height": round(height * _CSS_DPI / DPI),
    }


def in_base64(content: bytes) -> str:
    """As a data address has it."""
    return base64.b64encode(content).decode("ascii")


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

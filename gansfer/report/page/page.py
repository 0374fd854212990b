"""The report as one self-contained HTML page: pictures inside, no script, nothing fetched.

A page is made of sections, a section of parts: tables, images, galleries, terms and bullets. What
they say is decided in `sections.py`; how they look, in `page_template.py`.
"""

from __future__ import annotations

import base64
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import jinja2
from markupsafe import Markup

from gansfer.atomic import write_text
from gansfer.errors import UserError
from gansfer.report.page import page_template
from gansfer.report.page.page_picture import compact

DASH = "\N{EN DASH}"
_PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"


@dataclass(frozen=True)
class Cell:
    """One cell of a table: a text, a small note under it, and how it is drawn.

    `kind` is "", "strong", "paper" (a published number), "partial" or "absent"; `columns` is how
    many of the table's columns it spans.
    """

    text: str
    note: str = ""
    kind: str = ""
    columns: int = 1


@dataclass(frozen=True)
class Table:
    """A table whose first column names its rows; `csv` is the file with all of its digits."""

    title: str
    caption: str
    headers: Sequence[str]
    rows: Sequence[Sequence[Cell]]
    csv: str = ""


@dataclass(frozen=True)
class Image:
    """A PNG to be put into the page; `pdf` is the file of the same picture for print."""

    path: Path
    title: str
    caption: str
    pdf: str = ""

    @property
    def alt(self) -> str:
        """What the picture shows, for readers who cannot see it."""
        return self.title.rstrip(".")


@dataclass(frozen=True)
class Gallery:
    """Images of one kind: two in a row, or one where `wide`."""

    title: str
    images: Sequence[Image]
    wide: bool = False


@dataclass(frozen=True)
class Terms:
    """Names and what they mean."""

    items: Sequence[tuple[str, str]]
    title: str = ""


@dataclass(frozen=True)
class Bullets:
    """A list that can be folded away."""

    title: str
    items: Sequence[str]
    open: bool = False


Part = Table | Image | Gallery | Terms | Bullets


@dataclass(frozen=True)
class Section:
    """A heading, some sentences and some parts."""

    title: str
    text: Sequence[str]
    parts: Sequence[Part]


@dataclass(frozen=True)
class Fact:
    """One of the few numbers at the top of the page."""

    name: str
    value: str
    note: str


@dataclass(frozen=True)
class Page:
    """A whole page; `state` is its first line and says whether the report is complete."""

    title: str
    state: str
    complete: bool
    lead: Sequence[str]
    facts: Sequence[Fact]
    sections: Sequence[Section]
    footer: str


def write_page(path: Path, page: Page) -> None:
    """Write `page` to `path`, whole or not at all.

    Raises:
        UserError: a picture is no PNG.
    """
    write_text(path, _template(page_template.PAGE).render(page=page, draw=_draw))


def _draw(part: Part) -> Markup:
    if isinstance(part, Table):
        return Markup(_template(page_template.TABLE).render(table=part))
    if isinstance(part, Image):
        return _draw_image(part)
    if isinstance(part, Gallery):
        images = [_draw_image(image) for image in part.images]
        return Markup(_template(page_template.GALLERY).render(gallery=part, images=images))
    if isinstance(part, Terms):
        return Markup(_template(page_template.TERMS).render(terms=part))
    return Markup(_template(page_template.BULLETS).render(bullets=part))


def _draw_image(image: Image) -> Markup:
    content = image.path.read_bytes()
    if content[:8] != _PNG_SIGNATURE or len(content) < 24:
        raise UserError(f"{image.path}: not a PNG; was it written to the end? Make it again.")
    width, height = struct.unpack(">II", content[16:24])
    media, small = compact(content)
    # Pictures are drawn at 150 dots an inch and a page has 96.
    html = _template(page_template.IMAGE).render(
        image=image,
        media=media,
        data=base64.b64encode(small).decode("ascii"),
        width=round(width * 96 / 150),
        height=round(height * 96 / 150),
    )
    return Markup(html)


def _template(text: str) -> jinja2.Template:
    environment = jinja2.Environment(
        autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=False
    )
    return environment.from_string(text)

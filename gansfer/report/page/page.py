"""The report as one self-contained HTML page: pictures inside, no script, nothing fetched.

A page consists of sections, a section of parts: tables, images, galleries, terms and bullets. What
they say is decided in `*_sections.py`. How they look stands in the Jinja2 templates beside this
file, one for the page and one for each kind of part (`table.html.j2` draws a `Table`), and in the
style sheet `page.css`.
"""

from __future__ import annotations

import base64
import functools
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

import jinja2
from markupsafe import Markup

from gansfer.atomic import write_text
from gansfer.drawing.style import DPI
from gansfer.errors import UserError
from gansfer.report.page.page_picture import compact

DASH = "\N{EN DASH}"
_CSS_DPI = 96
_PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"


@dataclass(frozen=True)
class TableCell:
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
    rows: Sequence[Sequence[TableCell]]
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
    """A heading, sentences and parts."""

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
class AnswerRow:
    """A gain with its interval and what it shows; `kind` is "better", "worse" or ""."""

    name: str
    gain: str
    interval: str
    verdict: str
    kind: str = ""


@dataclass(frozen=True)
class Answer:
    """The gains in one group of subjects."""

    title: str
    note: str
    rows: Sequence[AnswerRow]


@dataclass(frozen=True)
class Page:
    """A whole page; `state` is its first line and says whether the report is complete.

    `failed`, where there is any, is its second and says whose results are none.
    The first screen answers: `answer` in a sentence, `answers` in numbers, `how_to_read` them.
    """

    title: str
    state: str
    complete: bool
    answer: str
    answers: Sequence[Answer]
    how_to_read: str
    lead: Sequence[str]
    facts: Sequence[Fact]
    sections: Sequence[Section]
    footer: str
    failed: str = ""


def write_page(path: Path, page: Page) -> None:
    """Write `page` to `path`, whole or not at all.

    Raises:
        UserError: a picture is no PNG.
    """
    style = Markup(_file("page.css"))
    html = _environment().get_template("page.html.j2").render(page=page, style=style, draw=_draw)
    write_text(path, html)


def _draw(part: Part) -> Markup:
    """A part as HTML, by the template that is named after its class."""
    more = _embedded(part.path) if isinstance(part, Image) else {}
    template = _environment().get_template(f"{type(part).__name__.lower()}.html.j2")
    return Markup(template.render(part=part, draw=_draw, **more))


def _embedded(path: Path) -> dict[str, Any]:
    """A PNG as the page holds it: media type, data in base64, width and height in CSS pixels."""
    content = path.read_bytes()
    if content[:8] != _PNG_SIGNATURE or len(content) < 24:
        raise UserError(f"{path}: not a PNG; was it written to the end? Make it again.")
    width, height = struct.unpack(">II", content[16:24])
    media, small = compact(content)
    return {
        "media": media,
        "data": base64.b64encode(small).decode("ascii"),
        "width": round(width * _CSS_DPI / DPI),
        "height": round(height * _CSS_DPI / DPI),
    }


@functools.cache
def _environment() -> jinja2.Environment:
    return jinja2.Environment(
        autoescape=True, undefined=jinja2.StrictUndefined, loader=jinja2.FunctionLoader(_file)
    )


def _file(name: str) -> str:
    """The text of a template or of the style sheet, from wherever the package is installed."""
    return (resources.files("gansfer.report.page") / name).read_text(encoding="utf-8")

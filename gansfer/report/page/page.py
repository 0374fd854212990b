"""The report as one self-contained HTML page: pictures inside, nothing fetched.

A page consists of sections, a section of parts: tables, images, galleries, terms and bullets. What
they say is decided in `*_sections.py`. How they look stands in the Jinja2 templates beside this
file, one for the page and one for each kind of part (`table.html.j2` draws a `Table`), and in the
style sheet `page.css`. The one script, `slices.js`, moves the sliders of slice viewers; without it
their middle slices stand there.
"""

from __future__ import annotations

import functools
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

import jinja2
from markupsafe import Markup

from gansfer.atomic import write_text
from gansfer.report.page.page_picture import embedded, in_base64

DASH = "\N{EN DASH}"


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
    """A PNG to be put into the page; `pdf` is the file of the same picture for print.

    `kind` names what pictures of a gallery have in common, where their titles do not.
    """

    path: Path
    title: str
    caption: str
    pdf: str = ""
    kind: str = ""

    @property
    def alt(self) -> str:
        """What the picture shows, for readers who cannot see it."""
        title = self.title.rstrip(".")
        return f"{self.kind}: {title}" if self.kind else title


@dataclass(frozen=True)
class Strip:
    """Slices of one plane below one another, all in voxels of the MR.

    `mr` is a column of tiles (WebP); `outlines` are colours and SVG paths, in half voxels, over
    such a column for each label map, with gaps between them. A tile is `width` by `height`, with
    `edge` more rows above and below.
    """

    plane: str
    mr: bytes
    outlines: Sequence[tuple[str, str]]
    width: int
    height: int
    edge: int
    gap: int


@dataclass(frozen=True)
class SliceViewer:
    """Slices of a subject on several planes, once for each label map; a slider moves through them.

    `columns` are the label maps' names with a note, `n_slices` are in each strip.
    """

    title: str
    caption: str
    alt: str
    columns: Sequence[tuple[str, str]]
    strips: Sequence[Strip]
    n_slices: int


@dataclass(frozen=True)
class Gallery:
    """Images of one kind: two in a row, or one where `wide`."""

    title: str
    images: Sequence[Image | SliceViewer]
    wide: bool = False


@dataclass(frozen=True)
class Legend:
    """Names and their colours."""

    items: Sequence[tuple[str, str]]


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


Part = Table | Image | SliceViewer | Gallery | Legend | Terms | Bullets


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
    """A gain with its interval and what it shows.

    `kind` is "better", "worse", "" or, where a method is named that the rows below compare, "pick".
    """

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
    The first screen answers: `answer` in a sentence, `answers` in numbers, `how_to_read` them; and
    where there are rivals, `pick`, `picks` and `how_picked` in the same way.
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
    pick: str = ""
    picks: Sequence[Answer] = ()
    how_picked: str = ""


def write_page(path: Path, page: Page) -> None:
    """Write `page` to `path`, whole or not at all.

    Raises:
        UserError: a picture is no PNG.
    """
    drawing = _Drawing()
    body = [[drawing.draw(part) for part in section.parts] for section in page.sections]
    html = (
        _environment()
        .get_template("page.html.j2")
        .render(
            page=page,
            body=body,
            style=Markup(_file("page.css")),
            script=Markup(_file("slices.js")) if drawing.has_slider else "",
        )
    )
    write_text(path, html)


class _Drawing:
    """Draws a page's parts, and gives every figure an anchor of its own.

    Attributes:
        has_slider: the parts drawn so far need the script.
    """

    def __init__(self) -> None:
        self.has_slider = False
        self._anchors: Counter[str] = Counter()

    def draw(self, part: Part) -> Markup:
        """A part as HTML, by the template that is named after its class."""
        more: dict[str, Any] = {"draw": self.draw}
        if isinstance(part, Image):
            more |= embedded(part.path) | {"anchor": self._anchor(part.alt)}
        if isinstance(part, SliceViewer):
            more |= {"anchor": self._anchor(part.title), "base64": in_base64}
            self.has_slider = True
        template = _environment().get_template(f"{type(part).__name__.lower()}.html.j2")
        return Markup(template.render(part=part, **more))

    def _anchor(self, title: str) -> str:
        """A title as an address: letters, digits and dashes; a second of one name gets a number."""
        name = re.sub(r"[^a-z0-9]+", "-", title.lower()).strip("-")
        self._anchors[name] += 1
        n = self._anchors[name]
        return f"fig-{name}" if n == 1 else f"fig-{name}.{n}"


@functools.cache
def _environment() -> jinja2.Environment:
    return jinja2.Environment(
        autoescape=True, undefined=jinja2.StrictUndefined, loader=jinja2.FunctionLoader(_file)
    )


def _file(name: str) -> str:
    """The text of a template or of the style sheet, from wherever the package is installed."""
    return (resources.files("gansfer.report.page") / name).read_text(encoding="utf-8")

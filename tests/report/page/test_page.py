from __future__ import annotations

import re
import tomllib
from fnmatch import fnmatch
from pathlib import Path

import pytest
from PIL import Image as Pillow

from gansfer.errors import UserError
from gansfer.report.page import page
from gansfer.report.page.page import (
    Answer,
    AnswerRow,
    Bullets,
    Fact,
    Gallery,
    Image,
    Page,
    Section,
    Table,
    TableCell,
    Terms,
    write_page,
)


def _page(*parts: object) -> Page:
    section = Section("A section", ["Text with <angle> & amp."], parts)  # type: ignore[arg-type]
    fact = Fact("Gain", "+0.04", "n = 3")
    row = AnswerRow("N = 1", "+0.04", "+0.01 to +0.07", "better <", "better")
    answer = Answer("All", "n = 3", [row])
    return Page(
        "Title",
        "Complete: all.",
        True,
        "Is it better?",
        [answer],
        "How to read.",
        ["Lead."],
        [fact],
        [section],
        "Footer.",
    )


def test_every_part_is_drawn_and_escaped(tmp_path: Path) -> None:
    Pillow.new("RGB", (30, 20), "red").save(tmp_path / "red.png")
    picture = Image(tmp_path / "red.png", "A picture.", "What it shows.", "figures/red.pdf")
    table = Table(
        "T.",
        "C.",
        ["", "x"],
        [[TableCell("row <1>"), TableCell("0.5", "n = 3", "strong")]],
        "t.csv",
    )
    parts = (table, picture, Gallery("G", [picture]), Terms([("N", "labels")]), Bullets("B", ["b"]))
    write_page(tmp_path / "index.html", _page(*parts))
    html = (tmp_path / "index.html").read_text(encoding="utf-8")
    assert "Text with &lt;angle&gt; &amp; amp." in html
    assert "row &lt;1&gt;" in html
    assert '<td class="strong">0.5<small>n = 3</small></td>' in html
    assert '<tr class="better">' in html and "<td>better &lt;</td>" in html
    assert html.count("data:image/png;base64,") == 2
    assert re.findall(r'<figure id="([^"]*)"', html) == ["fig-a-picture", "fig-a-picture.2"]
    assert 'href="#fig-a-picture.2"' in html
    assert "<script" not in html  # nothing that needs one
    assert 'width="19" height="13"' in html  # 150 dots an inch on a page of 96
    assert html.index("Complete: all.") < html.index("<h1>Title</h1>")


def test_a_broken_picture_is_named(tmp_path: Path) -> None:
    (tmp_path / "half.png").write_bytes(b"\x89PNG")
    with pytest.raises(UserError, match=r"half\.png: not a PNG"):
        write_page(tmp_path / "index.html", _page(Image(tmp_path / "half.png", "A", "B")))
    assert not (tmp_path / "index.html").exists()


def test_templates_and_style_sheet_travel_in_a_wheel() -> None:
    root = Path(page.__file__).parents[3]
    settings = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))
    packed = settings["tool"]["setuptools"]["package-data"]["gansfer.report.page"]
    files = [path for path in Path(page.__file__).parent.iterdir() if path.is_file()]
    beside_code = {path.name for path in files if path.suffix != ".py"}
    assert {"page.html.j2", "page.css"} < beside_code
    assert [name for name in beside_code if not any(fnmatch(name, one) for one in packed)] == []

"""The page in a real browser: every picture is there, no script fails, nothing is too wide."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from html import unescape
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from gansfer.drawing.slices import sample_grid
from gansfer.report import build
from gansfer.report.figures.methods_figure import methods_figure
from gansfer.report.figures.overlap_figures import dsc_by_ratio_figure
from gansfer.report.figures.seed_figure import seed_figure
from gansfer.report.page.pictures import Picture
from gansfer.report.tables.results import Meta, Results
from gansfer.structures import PAPER_STRUCTURES
from tests.report.browser import DARK, needs_chromium, run_chromium

pytestmark = needs_chromium
LAPTOP_PX = 1366
NARROW_PX = 390  # of a telephone

# First in the page, so that no error escapes it; what it found is left in the page's title.
PROBE = """<script>
const errors = [];
addEventListener("error", (event) => errors.push(
  event.message || "not loaded: " + (event.target.src || event.target.href || "").slice(0, 80)
), true);
addEventListener("unhandledrejection", (event) => errors.push(String(event.reason)));
addEventListener("load", () => {
  const wide = [...document.querySelectorAll("main *")].filter(
    (one) => !one.closest(".scroll") && one.getBoundingClientRect().right > innerWidth + 1);
  parent.postMessage(JSON.stringify({
    errors,
    pictures: [...document.images].map((one) => [one.alt, one.naturalWidth]),
    page_px: document.documentElement.scrollWidth,
    window_px: innerWidth,
    wide: wide.map((one) => one.tagName + " " + one.textContent.slice(0, 40)),
    clipped: [...document.querySelectorAll(".scroll")].filter(
      (one) => one.scrollWidth > one.clientWidth + 1).map((one) => one.textContent.slice(0, 60)),
    first_line: document.body.innerText.split("\\n")[0],
    paper: getComputedStyle(document.body).backgroundColor,
  }), "*");
});
</script>"""


@dataclass(frozen=True)
class Seen:
    """What the browser found in a page."""

    errors: list[str]
    pictures: list[tuple[str, int]]
    page_px: int
    window_px: int
    wide: list[str]
    clipped: list[str]
    first_line: str
    paper: str


# A browser's window is no narrower than 500 px; a frame in it is, and tells what it found.
FRAME = """<script>addEventListener("message", (told) => { document.title = told.data; });</script>
<iframe src="probed.html" width="%d" height="900" style="border: 0"></iframe>"""


def look_at(home: Path, html: str, width_px: int = LAPTOP_PX, *options: str) -> Seen:
    """Open a page with the probe in it, in a frame of this width."""
    (home / "probed.html").write_text(html.replace("<head>", "<head>" + PROBE, 1), encoding="utf-8")
    frame = home / "frame.html"
    frame.write_text("<title></title>" + FRAME % width_px, encoding="utf-8")
    dom = run_chromium(home, frame, "--window-size=1600,1000", "--dump-dom", *options)
    title = re.search(r"<title>(.*?)</title>", dom, re.DOTALL)
    assert title is not None and title[1], "the browser showed no page"
    return Seen(**json.loads(unescape(title[1])))


def few_figures(folder: Path, results: Results, _: Meta) -> dict[str, Path]:
    """Enough for a browser; test_build.py draws them all."""
    paths = {name: folder / f"{name}.png" for name in ("dsc_by_ratio", "seed_spread", "methods")}
    dsc_by_ratio_figure(paths["dsc_by_ratio"], results.dsc_by_ratio)
    seed_figure(paths["seed_spread"], results.dsc_by_seed, results.seed_spread)
    methods_figure(paths["methods"], results.methods)
    return paths


def in_full_width(table: pd.DataFrame) -> pd.DataFrame:
    """Two seeds, and five label counts as in the paper: the widest tables that there are."""
    more = [table[table["labels"] == 6].assign(labels=labels) for labels in (3, 12, 24)]
    one_seed = pd.concat([table, *more])
    return pd.concat([one_seed, one_seed.assign(seed=1)])


@pytest.fixture(scope="module")
def page(
    tmp_path_factory: pytest.TempPathFactory,
    metrics_with_rivals: pd.DataFrame,
    expected_with_rivals: pd.DataFrame,
    meta: Meta,
    labelled: pd.DataFrame,
) -> Path:
    folder = tmp_path_factory.mktemp("report")
    sample = folder / "samples.png"
    image = np.random.default_rng(0).normal(size=(16, 80, 80))
    label = np.zeros(image.shape, int)
    label[:, 20:40, 20:40] = 1
    sample_grid(sample, image, label, PAPER_STRUCTURES, "samples")
    shown = [Picture("samples", sample, 0, 2, 1, 0, 3)]
    metrics = metrics_with_rivals
    # One fold likes another ratio, so that the page shows both ways to choose one.
    likes = (metrics["arm"] == "ratio-10to1") & (metrics["labels"] == 6) & (metrics["fold"] == 0)
    likes &= (metrics["metric"] == "dsc") & (metrics["set"] == "test")
    liked = metrics.assign(value=metrics["value"] + 0.1 * likes)
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(build, "draw_figures", few_figures)
        return build.build_report(
            folder / "report",
            in_full_width(liked),
            in_full_width(expected_with_rivals),
            meta,
            labelled,
            shown,
        ).index


@pytest.fixture(scope="module")
def html(page: Path) -> str:
    return page.read_text(encoding="utf-8")


def test_the_page_is_whole_at_a_laptops_width(page: Path, html: str, tmp_path: Path) -> None:
    seen = look_at(tmp_path, html)
    assert seen.errors == []
    assert len(seen.pictures) == 4  # three figures and the sample grid
    assert all(width_px > 300 for _, width_px in seen.pictures), seen.pictures
    assert seen.window_px == LAPTOP_PX
    assert seen.page_px <= LAPTOP_PX
    assert (seen.wide, seen.clipped) == ([], [])
    assert "choice of ratio</h2>" in html
    assert "Beside classical augmentation and self-training</h2>" in html
    assert 'id="what-to-pick"' in html
    assert seen.first_line == "Complete: all 342 planned results are here."


def test_the_page_fits_a_narrow_window(html: str, tmp_path: Path) -> None:
    seen = look_at(tmp_path, html, NARROW_PX)
    assert seen.errors == []
    assert seen.window_px == NARROW_PX
    assert seen.page_px <= NARROW_PX
    assert seen.wide == []  # tables and pictures scroll in their own boxes


@pytest.mark.parametrize(("options", "paper"), [((), 255), ((DARK,), 20)])
def test_the_page_is_dark_where_the_browser_asks_for_it(
    html: str, tmp_path: Path, options: tuple[str, ...], paper: int
) -> None:
    seen = look_at(tmp_path, html, LAPTOP_PX, *options)
    assert seen.paper.startswith(f"rgb({paper}, ")


def test_the_page_prints(page: Path, tmp_path: Path) -> None:
    printed = tmp_path / "page.pdf"
    run_chromium(tmp_path, page, "--no-pdf-header-footer", f"--print-to-pdf={printed}")
    content = printed.read_bytes()
    assert content.startswith(b"%PDF")
    assert content.count(b"/Subtype /Image") >= 3
    (box,) = set(re.findall(rb"/MediaBox \[([^\]]*)\]", content))
    assert [round(float(side_pt)) for side_pt in box.split()] == [0, 0, 595, 842]  # A4


@pytest.mark.parametrize(
    ("breakage", "found"),
    [
        (("data:image/png;base64,", "data:image/png;base64,broken"), "not loaded: data:image/png"),
        (("</body>", "<script>absent()</script></body>"), "absent is not defined"),
    ],
)
def test_a_broken_page_is_noticed(
    html: str, tmp_path: Path, breakage: tuple[str, str], found: str
) -> None:
    assert breakage[0] in html
    seen = look_at(tmp_path, html.replace(*breakage, 1))
    assert any(found in error for error in seen.errors), seen.errors
    if found.startswith("not loaded"):
        assert any(width_px == 0 for _, width_px in seen.pictures)

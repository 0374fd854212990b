"""The slider in a real browser: what one sees, before and after it is moved, and without it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image as Pillow

from gansfer.report.page.page import Page, Section, SliceViewer, write_page
from gansfer.report.viewer.slice_strips import plane_strips, slice_numbers
from tests.report.browser import needs_chromium, run_chromium

pytestmark = needs_chromium
SLIDER_FROM_PX = 880
# Without scripts at all a headless browser takes no picture.
NO_SCRIPTS = """<head><meta http-equiv="Content-Security-Policy" content="script-src 'none'">"""
MOVED = """<script>
const slider = document.querySelector("figure input");
slider.value = {value};
slider.dispatchEvent(new Event("input"));
</script></body>"""


@pytest.fixture(scope="module")
def html(tmp_path_factory: pytest.TempPathFactory) -> str:
    """One subject whose MR is brighter from slice to slice, in every plane."""
    size = 18
    image = np.indices((size, size, size)).sum(axis=0).astype(np.float32)
    label = np.zeros(image.shape, np.uint8)
    label[:, :, :] = 1
    label[4:14, 4:14, 4:14] = 2
    numbers = slice_numbers(label)
    columns = [("Baseline", "0.5"), ("Augmented", "0.6"), ("Reference", "")]
    strips = plane_strips(image, [label, label, label], numbers)
    viewer = SliceViewer("Title.", "Caption.", "Alt.", columns, strips, len(numbers["axial"]))
    page = Page("T", "S", True, "A", [], "", [], [], [Section("S", [], [viewer])], "F")
    path = tmp_path_factory.mktemp("page") / "index.html"
    write_page(path, page)
    return path.read_text(encoding="utf-8")


def _picture(home: Path, html: str) -> npt.NDArray[np.uint8]:
    """What a laptop shows of the page: grey levels."""
    page, shot = home / "page.html", home / "shot.png"
    page.write_text(html, encoding="utf-8")
    shot.unlink(missing_ok=True)
    run_chromium(home, page, "--window-size=1366,1400", f"--screenshot={shot}")
    with Pillow.open(shot) as opened:
        return np.asarray(opened.convert("L"))


def _moved(html: str, value: int) -> str:
    return html.replace("</body>", MOVED.format(value=value))


def test_the_slider_moves_every_plane_and_the_middle_stands_there_without_scripts(
    html: str, tmp_path: Path
) -> None:
    as_opened = _picture(tmp_path, html)
    without = _picture(tmp_path, html.replace("<head>", NO_SCRIPTS))
    first, middle, last = (_picture(tmp_path, _moved(html, value)) for value in (0, 4, 8))
    np.testing.assert_array_equal(middle, as_opened)
    # The slider has a column of its own, and is there only with the script.
    np.testing.assert_array_equal(without[:, :SLIDER_FROM_PX], as_opened[:, :SLIDER_FROM_PX])
    assert (without[:, SLIDER_FROM_PX:] != as_opened[:, SLIDER_FROM_PX:]).any()
    changed = np.flatnonzero((first != last)[:, :SLIDER_FROM_PX].any(axis=1))
    top, bottom = changed[0], changed[-1]
    assert bottom - top > 500  # three planes, one below another
    for plane in np.array_split(np.arange(top, bottom + 1), 3):
        inner = np.ix_(plane[20:-20], np.arange(180, 780))
        levels = [picture[inner].mean() for picture in (first, middle, last)]
        assert levels[0] + 15 < levels[1] < levels[2] - 15


def test_the_slider_says_where_it_is(html: str, tmp_path: Path) -> None:
    page = tmp_path / "page.html"
    page.write_text(_moved(html, 2), encoding="utf-8")
    assert "<output>3 of 9</output>" in run_chromium(tmp_path, page, "--dump-dom")

from __future__ import annotations

import base64
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from gansfer.drawing.slices import sample_grid
from gansfer.report import build
from gansfer.report.build import ReportSummary, build_report
from gansfer.report.page.pictures import Picture
from gansfer.report.tables.results import Meta
from gansfer.report.viewer.segmentation_section import SegmentedSubject
from gansfer.report.viewer.shown_subjects import ShownSubject

VOID = {"meta", "img", "link", "br", "hr", "input"}


def _read_subject(_: ShownSubject) -> SegmentedSubject:
    label = np.zeros((4, 6, 6), np.uint8)
    label[1:3, 2:5, 1:5] = 3
    return SegmentedSubject(np.ones(label.shape, np.float32), label, label, label, (2.0, 2.0, 2.0))


class _Reader(HTMLParser):
    """Collects what matters and checks that tags close in order."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.images: list[str] = []
        self.links: list[str] = []
        self.figures: list[str] = []
        self.tags: set[str] = set()
        self.text: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = dict(attrs)
        self.tags.add(tag)
        if tag not in VOID:
            self.open.append(tag)
        if tag == "img":
            assert values.get("alt")
            self.images.append(values["src"] or "")
        if tag == "svg" and "role" in values:
            assert values.get("aria-label")
        if tag == "figure":
            self.figures.append(values["id"] or "")
        if tag == "script":
            assert not values
        if tag == "image":
            assert (values["href"] or "").startswith("data:image/webp;base64,")
        if tag == "a" and "href" in values:
            self.links.append(values["href"] or "")

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if data.strip() and not {"style", "head", "script"} & {*self.open}:
            self.text.append(data.strip())


def _read(path: Path) -> _Reader:
    reader = _Reader()
    reader.feed(path.read_text(encoding="utf-8"))
    reader.close()
    assert not reader.open
    return reader


def _build(
    folder: Path,
    metrics: pd.DataFrame,
    expected: pd.DataFrame,
    meta: Meta,
    labelled: pd.DataFrame,
    *pictures: Picture,
) -> tuple[ReportSummary, _Reader]:
    summary = build_report(
        folder, metrics, expected, meta, labelled, pictures, read_subject=_read_subject
    )
    return summary, _read(summary.index)


@pytest.fixture(scope="module")
def whole(
    tmp_path_factory: pytest.TempPathFactory,
    metrics: pd.DataFrame,
    expected: pd.DataFrame,
    meta: Meta,
    labelled: pd.DataFrame,
) -> tuple[ReportSummary, _Reader]:
    folder = tmp_path_factory.mktemp("whole")
    sample = folder / "samples.png"
    sample_grid(sample, np.random.default_rng(0).normal(size=(2, 20, 20)), None, ("a",), "samples")
    cell = Picture("samples", sample, 0, 2, 1, 0, 3)
    return _build(folder / "report", metrics, expected, meta, labelled, cell)


@pytest.fixture
def no_figures(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(build, "draw_figures", lambda *_: {})


def test_a_complete_report_says_so_and_gives_its_key_numbers(
    whole: tuple[ReportSummary, _Reader],
) -> None:
    summary, page = whole
    assert page.text[0] == summary.state == "Complete: all 38 planned results are here."
    assert summary.complete
    assert summary.missing == []
    shown = page.text[page.text.index("N = 1", page.text.index("Paper")) :]
    assert shown[1:7] == ["0.789", "0.829", "2:1", "+0.040", "+0.040 to +0.040", "12 of 12"]
    text = " ".join(page.text)
    for wanted in (
        "Better at N = 1, 6",
        "Lowest mean age without a dementia case.",
        "These are not the paper's data.",
        "paper 83.9",
        "paper 67.6 (MALPEM)",
        "N = 1, fold 2, group 0, phase 3.",
    ):
        assert wanted in text, wanted


def test_the_page_holds_all_that_it_shows(whole: tuple[ReportSummary, _Reader]) -> None:
    summary, page = whole
    assert len(page.images) == 8  # seven figures and the sample grid
    for source in page.images:
        head, data = source.split(",", 1)
        kind = head.removeprefix("data:image/").removesuffix(";base64")
        begins = {"png": b"\x89PNG", "jpeg": b"\xff\xd8\xff"}[kind]
        assert base64.b64decode(data, validate=True).startswith(begins)
    assert not page.tags & {"link", "iframe", "object"}
    viewers = [name for name in page.figures if "-of-12-" in name]
    assert viewers == [
        f"fig-n-{labels}-{rank}-of-12-{subject}"
        for labels in (1, 6)
        for rank, subject in (("worst", "l11"), ("median", "l06"), ("best", "l00"))
    ]
    assert len({*page.figures}) == len(page.figures) == 8 + len(viewers)
    assert {f"#{name}" for name in page.figures} <= {*page.links}
    assert "what-to-pick" not in summary.index.read_text(encoding="utf-8")  # no rival was run
    assert "self-training" not in " ".join(page.text).lower()
    assert not (summary.index.parent / "tables" / "methods.csv").exists()
    assert "url(" not in summary.index.read_text(encoding="utf-8")
    for link in page.links:
        assert link.startswith("#") or (summary.index.parent / link).is_file()


def test_the_csvs_hold_the_known_answers(
    whole: tuple[ReportSummary, _Reader], metrics: pd.DataFrame
) -> None:
    folder = whole[0].index.parent / "tables"
    ratio = pd.read_csv(folder / "dsc_by_ratio.csv").set_index(["labels", "arm"])
    assert ratio.loc[(6, "synthetic"), "mean_dsc"] == pytest.approx(0.86 - 0.004 - 0.011)
    assert ratio.loc[(6, "synthetic"), "n_subjects"] == 12
    gains = pd.read_csv(folder / "baseline_and_augmented.csv")
    gains = gains.set_index(["labels", "structure"])
    assert gains.loc[(1, "hippocampus"), "difference"] == pytest.approx(0.04)
    assert gains.loc[(6, "overall"), "difference"] == pytest.approx(0.01)
    cdr = pd.read_csv(folder / "cohort_by_cdr.csv")
    assert set(cdr["n_subjects"]) == {8}
    assert len(pd.read_csv(folder / "metrics.csv")) == len(metrics)
    assert {path.stem for path in (folder.parent / "figures").glob("*.csv")} == {
        "dsc_by_age",
        "difference_by_age",
    }


@pytest.fixture(scope="module")
def untied(metrics: pd.DataFrame) -> pd.DataFrame:
    """With few pairs and ties SciPy tries every sign, hundreds of times over."""
    noise = np.random.default_rng(0).normal(0, 1e-5, len(metrics))
    return metrics.assign(value=metrics["value"] + noise)


@pytest.mark.usefixtures("no_figures")
def test_an_incomplete_report_says_so_first(
    tmp_path: Path,
    untied: pd.DataFrame,
    expected: pd.DataFrame,
    meta: Meta,
    labelled: pd.DataFrame,
) -> None:
    hole = (untied["arm"] == "ratio-2to1") & (untied["labels"] == 1) & (untied["set"] == "test")
    summary, page = _build(
        tmp_path, untied[~(hole & (untied["fold"] == 1))], expected, meta, labelled
    )
    state = "Incomplete: 1 of 38 planned results is missing: N = 1 2:1, fold 1."
    assert page.text[0].startswith(state)
    assert not summary.complete
    assert summary.missing == ["N = 1 2:1, fold 1"]
    # The best ratio of those that are whole, and how many that is.
    shown = page.text[page.text.index("N = 1", page.text.index("Paper")) :]
    assert shown[2:5] == ["0.809", "10:1, of 1 of 2 ratios", "+0.020"]
    assert "n = 8 of 12" in page.text
    ratio = pd.read_csv(tmp_path / "tables" / "dsc_by_ratio.csv").set_index(["labels", "arm"])
    row = ratio.loc[(1, "ratio-2to1"), :]
    assert np.isnan(row["mean_dsc"])
    assert (row["n_subjects"], row["n_planned"]) == (8, 12)


@pytest.mark.usefixtures("no_figures")
def test_with_rival_arms_the_page_says_what_to_pick_and_the_csv_has_its_numbers(
    tmp_path: Path,
    metrics_with_rivals: pd.DataFrame,
    expected_with_rivals: pd.DataFrame,
    meta: Meta,
    labelled: pd.DataFrame,
) -> None:
    summary, page = _build(tmp_path, metrics_with_rivals, expected_with_rivals, meta, labelled)
    assert summary.complete
    first_screen = page.text[: page.text.index("Result")]
    assert first_screen[3].startswith("What to pick? Test subjects: classical augmentation at N =")
    assert "What to pick, test subjects" in first_screen
    assert "Beside classical augmentation and self-training" in page.text
    table = pd.read_csv(tmp_path / "tables" / "methods.csv")
    row = table[table["highest"] & table["scope"].eq("test") & table["against"].eq("baseline")]
    assert row["method"].tolist() == ["classical", "gansfer"]
    shown = [f"+{gain:.3f}" for gain in row["difference"]]
    assert set(shown) <= {*first_screen}
    assert {"methods.png", "methods-2.pdf"} <= {one.name for one in (tmp_path / "tables").iterdir()}


@pytest.mark.usefixtures("no_figures")
def test_no_mean_is_over_a_part_of_the_people(
    tmp_path: Path,
    untied: pd.DataFrame,
    expected: pd.DataFrame,
    meta: Meta,
    labelled: pd.DataFrame,
) -> None:
    hole = (untied["arm"] == "baseline") & (untied["labels"] == 1) & (untied["fold"] == 1)
    there = untied[~(hole & (untied["set"] == "test"))]
    _, page = _build(tmp_path, there, expected, meta, labelled)
    shown = page.text[page.text.index("N = 1", page.text.index("Paper")) :]
    assert shown[1:8] == ["\N{EN DASH}", "n = 8 of 12", *["\N{EN DASH}"] * 5]
    assert any("Better at N = 6; not all there at N = 1" in text for text in page.text)


def test_a_report_of_nothing_is_a_report(
    tmp_path: Path, expected: pd.DataFrame, meta: Meta, labelled: pd.DataFrame
) -> None:
    _, page = _build(tmp_path, pd.DataFrame(), expected, meta, labelled)
    assert page.text[0] == "Incomplete: nothing of the 38 planned results is here yet."
    assert page.images == []
    shown = page.text[page.text.index("N = 1", page.text.index("Paper")) :]
    assert shown[1:7] == ["\N{EN DASH}"] * 6


@pytest.mark.usefixtures("no_figures")
def test_a_report_with_results_is_not_replaced_by_one_without(
    tmp_path: Path,
    metrics: pd.DataFrame,
    expected: pd.DataFrame,
    meta: Meta,
    labelled: pd.DataFrame,
    caplog: pytest.LogCaptureFixture,
) -> None:
    one = (metrics["arm"] == "baseline") & (metrics["labels"] == 1) & (metrics["fold"] == 0)
    _build(tmp_path, metrics[one], expected, meta, labelled)
    before = {path: path.read_bytes() for path in tmp_path.rglob("*.*")}
    stale = expected.assign(stale="gan.phase_3.images was 24, is 40")
    summary, _ = _build(tmp_path, pd.DataFrame(), stale, meta, labelled)
    assert not summary.complete
    assert "38 are stale: gan.phase_3.images was 24, is 40." in summary.state
    assert summary.state.endswith("The previous report is left in place.")
    assert summary.state in caplog.text
    assert {path: path.read_bytes() for path in tmp_path.rglob("*.*")} == before


def test_one_arm_alone_makes_a_report_without_the_files_of_an_earlier_one(
    tmp_path: Path,
    metrics: pd.DataFrame,
    expected: pd.DataFrame,
    meta: Meta,
    labelled: pd.DataFrame,
) -> None:
    for name in ("figures/dsc_by_age.pdf", "tables/cohort_by_age.csv", "figures/mine.txt"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("from before")
    one = (metrics["arm"] == "baseline") & (metrics["labels"] == 1) & (metrics["set"] == "test")
    _, page = _build(tmp_path, metrics[one], expected, meta, labelled)
    assert "Nothing to compare yet." in " ".join(page.text)
    assert not (tmp_path / "figures" / "dsc_by_age.pdf").exists()
    assert not (tmp_path / "tables" / "cohort_by_age.csv").exists()
    assert (tmp_path / "figures" / "dsc_by_ratio.png").exists()
    assert (tmp_path / "figures" / "mine.txt").exists()


def test_the_papers_data_need_no_warning(
    tmp_path: Path,
    metrics: pd.DataFrame,
    expected: pd.DataFrame,
    meta: Meta,
    labelled: pd.DataFrame,
) -> None:
    paper_data = meta.copy()
    paper_data["is_paper_data"] = True
    _, page = _build(tmp_path, metrics.iloc[:0], expected, paper_data, labelled)
    assert "not the paper's data" not in " ".join(page.text)


def test_the_page_says_what_is_not_in_the_paper(
    tmp_path: Path,
    metrics: pd.DataFrame,
    expected: pd.DataFrame,
    meta: Meta,
    labelled: pd.DataFrame,
) -> None:
    said = "Not in the paper: a critic more."
    for beyond, times in (("", 0), (said, 1)):
        _, page = _build(
            tmp_path, metrics.iloc[:0], expected, {**meta, "beyond_paper": beyond}, labelled
        )
        assert " ".join(page.text).count(said) == times


def test_the_report_loads_without_torch() -> None:
    code = (
        "import gansfer.report.build, gansfer.drawing.embedding, gansfer.drawing.loss_curves, sys;"
        "import gansfer.drawing.slices, gansfer.drawing.synthesis_figures;"
        "sys.exit('torch' in sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_failed_quality_stands_on_the_first_screen_and_in_the_summary(
    tmp_path: Path,
    no_figures: None,
    metrics: pd.DataFrame,
    expected: pd.DataFrame,
    meta: Meta,
    labelled: pd.DataFrame,
) -> None:
    failure = "train_gan/seed-0/fold-0/labels-01/group-0: phase 3 draws one picture"
    failed: Meta = {**meta, "failed_quality": [failure], "skipped_updates": [("a GAN", "12 of 9")]}
    summary, page = _build(tmp_path, metrics, expected, failed, labelled)
    first = f"Failed quality: {failure}. Their numbers are counted below."
    assert page.text[1] == first
    assert summary.state == f"{page.text[0]} {first}"
    assert summary.complete
    after = page.text[page.text.index("How this report came about") :]
    assert failure in after
    assert after[after.index("a GAN") + 1] == "12 of 9"

"""Every benchmark has a form of seconds that a test runs; a wrong argument costs it a line."""

from __future__ import annotations

import importlib
import inspect
from pathlib import Path

import pytest

FOLDER = Path(__file__).parent
SCRIPTS = [
    path.stem for path in sorted(FOLDER.glob("*.py")) if "\ndef main(" in path.read_text("utf-8")
]
TAKE_A_PATH = [
    "agreement",
    "alignment",
    "ceiling",
    "ingestion",
    "lost_work",
    "new_images",
    "propagation",
    "roundtrip",
    "same_subjects",
]


@pytest.mark.parametrize("name", SCRIPTS)
def test_every_script_is_run_by_a_test(name: str) -> None:
    assert any(f" {name}.main(" in path.read_text("utf-8") for path in FOLDER.glob("test_*.py"))
    script = importlib.import_module(f"tests.benchmarks.{name}")
    assert inspect.signature(script.main).parameters["arguments"].default is None
    assert f"python -m tests.benchmarks.{name}" in (script.__doc__ or "")


@pytest.mark.parametrize("name", SCRIPTS)
def test_an_unknown_option_is_refused(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    _refused(name, ["--fly"], capsys)


@pytest.mark.parametrize("name", TAKE_A_PATH)
def test_a_path_that_is_not_there_is_named(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    nowhere = str(tmp_path / "nowhere")
    assert f"{nowhere}: no such file or folder" in _refused(name, [nowhere], capsys)


@pytest.mark.parametrize(
    ("name", "arguments", "said"),
    [
        ("aggregate", ["--label-counts", "2"], "invalid choice: 2"),
        ("aggregate", ["--folds", "1", "--label-counts", "1"], "grid.folds"),
        ("alignment", ["."], "argument cohort: .: holds no oasis_cross-sectional.csv"),
        ("ingestion", ["--import-only", "0"], "argument --import-only: 0, expected at least 1"),
        ("ingestion", ["--pool", "3"], "--pool needs COHORT"),
        ("lost_work", [__file__, "--kills", "few"], "--kills: few, expected a whole number"),
        ("new_images", ["configs/phantom.yaml"], "of the built-in cohort are in no files"),
        ("propagation", ["."], "argument cohort: .: holds no subjects.csv"),
        ("same_subjects", ["--subjects", "-1", "."], "--subjects: -1, expected a whole number"),
    ],
)
def test_what_cannot_be_measured_is_refused(
    name: str,
    arguments: list[str],
    said: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(FOLDER.parents[1])
    assert said in _refused(name, arguments, capsys)


def _refused(name: str, arguments: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    """The one line after the usage."""
    with pytest.raises(SystemExit) as ended:
        importlib.import_module(f"tests.benchmarks.{name}").main(arguments)
    assert ended.value.code == 2
    usage, _, said = capsys.readouterr().err.partition("error: ")
    assert usage.startswith("usage: ")
    assert said.count("\n") == 1
    return said

"""A run in Python gives what its stages have stored, and says in one line what it cannot give."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import gansfer
from gansfer.errors import UserError
from gansfer.evaluation.predictions import read_predictions
from gansfer.synthesis.synthetic_sets import read_synthetic
from jobs.notebook.opened_run import Run, RunCell
from tests.house import ROOT
from tests.jobs.conftest import Finished
from tests.jobs.experiments import BASELINE, GAN, RATIO, SYNTHESISE, Trial

EXAMPLES = re.findall(
    r"^```python\n(.*?)^```",
    (ROOT / "jobs" / "notebook" / "README.md").read_text(encoding="utf-8"),
    re.MULTILINE | re.DOTALL,
)


@pytest.fixture(scope="module")
def run(finished: Finished) -> Run:
    return gansfer.open(finished.storage.root, device="cpu")


@pytest.fixture(scope="module")
def cell(run: Run) -> RunCell:
    return run.cell("fold-0/labels-01")


@pytest.mark.parametrize("phase", [1, 2, 3])
def test_the_stages_own_seed_gives_the_slices_that_it_stored(
    finished: Finished, cell: RunCell, phase: int
) -> None:
    stored = read_synthetic(finished.folder(SYNTHESISE) / f"phase-{phase}.h5", kept_only=False)
    generator = cell.generator(phase)
    images, label_maps = generator.sample(len(stored), generator.seed)
    assert images.dtype == np.float32
    assert np.array_equal(images.astype(np.float16), stored.image_khw)
    assert np.array_equal(label_maps, stored.label_khw)


def test_another_seed_gives_other_slices_and_fewer_are_the_first(cell: RunCell) -> None:
    generator = cell.generator()
    five, three, other = (
        generator.sample(n, seed).image_khw for n, seed in ((5, 1), (3, 1), (3, 2))
    )
    assert np.allclose(five[:3], three, atol=1e-4)
    assert not np.allclose(three, other, atol=1e-2)


@pytest.mark.parametrize("task_id", [BASELINE, RATIO])
def test_predictions_are_those_of_the_run(
    finished: Finished, run: Run, cell: RunCell, task_id: str
) -> None:
    stored = read_predictions(finished.folder(task_id) / "predictions.h5")
    segmenter = cell.segmenter(task_id.rpartition("/")[2])
    assert tuple(stored) == cell.roles.test_ids
    for subject, label_zhw in stored.items():
        assert np.array_equal(segmenter.predict(subject), label_zhw)
        volume_zhw = run.cohort.images([subject])[0].astype(np.float64)
        assert np.array_equal(segmenter.predict(volume_zhw), label_zhw)


def test_metrics_are_every_number_of_the_run(finished: Finished, run: Run) -> None:
    metrics = run.metrics()
    own = metrics[(metrics["arm"] == "baseline") & (metrics["set"] == "test")]
    stored = pd.read_csv(finished.folder(BASELINE) / "metrics.csv", dtype={"subject": str})
    keys = ["subject", "structure", "metric"]
    left, right = (table.sort_values(keys)[[*keys, "value"]] for table in (own, stored))
    assert [*left["metric"]] == [*right["metric"]]
    assert np.array_equal(left["value"], right["value"], equal_nan=True)
    assert set(metrics["arm"]) == {"baseline", "ratio-2to1", "synthetic"}
    assert set(metrics["set"]) == {"test", "cohort"}


def test_a_file_and_a_folder_open_the_same_run(finished: Finished, run: Run) -> None:
    of_file = gansfer.open(str(finished.config))
    assert of_file.folder == run.folder
    assert of_file.cells == run.cells == ("seed-0/fold-0/labels-01",)
    assert of_file.experiment.grid == run.experiment.grid
    assert len(run.cohort.subjects) == 8


@pytest.mark.parametrize(
    ("ask", "said"),
    [
        (lambda run: run.cell("fold-0/labels-1"), "expected one of seed-0/fold-0/labels-01"),
        (lambda run: run.cell("fold-0/labels-01").segmenter("2to1"), "one of ratio-2to1, "),
        (lambda run: run.cell("fold-0/labels-01").generator(4), "phase 4: expected one of 1, 2, 3"),
        (lambda run: run.cell("fold-0/labels-01").generator(group=1), "no group 1, expected 0 to"),
        (lambda run: run.cell("fold-0/labels-01").generator().sample(0, 1), "at least 1"),
        (lambda run: gansfer.open(run.folder, device="tpu"), "device 'tpu': expected one of auto"),  # type: ignore[arg-type]
    ],
)
def test_what_is_not_there_is_named(run: Run, ask: Callable[[Run], Any], said: str) -> None:
    with pytest.raises(UserError, match=re.escape(said)):
        ask(run)


def test_a_volume_of_another_grid_or_without_numbers_is_refused(run: Run, cell: RunCell) -> None:
    segmenter, (height, width) = cell.segmenter("baseline"), run.cohort.shape_zhw[1:]
    for shape in ((height, width), (2, height, width + 1), (0, height, width)):
        with pytest.raises(UserError, match=rf"expected \[Z, {height}, {width}\]"):
            segmenter.predict(np.zeros(shape, np.float32))
    with pytest.raises(UserError, match="finite"):
        segmenter.predict(np.full((1, height, width), np.nan, np.float32))


def test_before_training_the_command_that_trains_is_named(tmp_path: Path) -> None:
    trial = Trial.make(tmp_path, grid={"label_counts": [7]}, cohort={"images": {"labelled": 14}})
    run = gansfer.open(trial.config)
    cell = run.cell("fold-0/labels-07")
    named = rf"gansfer run {re.escape(str(trial.config))}"
    for ask in (lambda: run.cohort, lambda: cell.segmenter("baseline"), run.metrics):
        with pytest.raises(UserError, match=named):
            ask()
    with pytest.raises(UserError, match=r"has 2 GANs, .* give group=0 to 1"):
        cell.generator()


def test_what_is_not_done_or_damaged_is_not_read(
    finished: Finished, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    trial = finished.copied(tmp_path)
    run = gansfer.open(trial.config, device="cpu")
    cell = run.cell("fold-0/labels-01")
    trial.undo(BASELINE)
    with pytest.raises(UserError, match=f"{BASELINE} is missing, expected done"):
        cell.segmenter("baseline")
    assert set(run.metrics().query("set == 'test'")["arm"]) == {"ratio-2to1", "synthetic"}
    assert f"no metrics of 2 tasks, such as {BASELINE}" in caplog.text
    with (trial.folder(GAN) / "phase-3" / "generator.safetensors").open("ab") as file:
        file.write(b"x")
    cell.generator(2)
    with pytest.raises(UserError, match=r"generator\.safetensors was damaged .* gansfer run"):
        cell.generator(3)
    with pytest.raises(UserError, match=f"{GAN} is missing, expected done"):
        cell.generator(2)  # the task is not done any more, as for every other reader


def test_a_package_that_is_not_installed_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "jobs.notebook.opened_run", None)
    with pytest.raises(UserError, match=r"is not installed here; install it with pip install"):
        gansfer.open("runs/phantom")


def test_the_examples_of_the_page_run(
    finished: Finished, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "runs").mkdir()
    (tmp_path / "runs" / "phantom").symlink_to(finished.storage.root)
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {}
    assert len(EXAMPLES) == 5
    for example in EXAMPLES:
        assert len(example.splitlines()) <= 5
        exec(example, names)
    assert names["images"].ndim == 4 and names["label_maps"].dtype == np.uint8
    assert len(names["own_images"]) == 20
    assert np.array_equal(names["label_map"], names["same"])
    assert names["dice"]["value"].dropna().between(0, 1).all()

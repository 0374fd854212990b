"""What was measured of a machine, as a file: the newest counts, and what is damaged does not."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from jobs.checking.measurement import MeasuredPiece, Measurement, last_measurement
from jobs.experiment.model import Experiment
from tests.jobs.checking.measured import measurement_of
from tests.jobs.experiments import Trial

Change = Callable[[dict[str, Any]], object]


@pytest.fixture
def experiment(tmp_path: Path) -> Experiment:
    return Trial.make(tmp_path).plan.experiment


def test_what_is_written_is_read(experiment: Experiment, tmp_path: Path) -> None:
    measured = measurement_of(experiment, name="AMD EPYC (9R14) / 96-Core")
    path = measured.write(tmp_path / "machines")
    assert path == tmp_path / "machines" / "cpu-amd-epyc-9r14-96-core.json"
    assert last_measurement(tmp_path / "machines", "cpu_core") == (measured, [])
    gpu = measurement_of(experiment, device="gpu", name="***")
    assert gpu.write(tmp_path / "machines").name == "gpu-unnamed.json"
    assert last_measurement(tmp_path / "machines", "gpu") == (gpu, [])


def test_the_newest_of_the_kind_counts(experiment: Experiment, tmp_path: Path) -> None:
    for name, device, day in (("b", "cpu_core", 3), ("a", "cpu_core", 2), ("c", "gpu", 4)):
        date = datetime(2026, 5, day, tzinfo=UTC)
        measurement_of(experiment, name=name, device=device, date=date).write(tmp_path)
    found, notes = last_measurement(tmp_path, "cpu_core")
    assert found is not None and (found.name, notes) == ("b", [])


def test_nothing_measured_is_no_mistake(tmp_path: Path) -> None:
    assert last_measurement(tmp_path / "absent", "gpu") == (None, [])
    (tmp_path / "image.json").write_text("{}")  # of an experiment that is called `machines`
    assert last_measurement(tmp_path, "gpu") == (None, [])


@pytest.mark.parametrize(
    "change",
    [
        lambda kept: kept.update(date="2026-05-17T00:00:00"),  # of which zone?
        lambda kept: kept.update(device="abacus"),
        lambda kept: kept.update(pieces=[]),
        lambda kept: kept.update(surprise=1),
        lambda kept: kept.pop("host"),
        lambda kept: kept["pieces"][0].update(seconds_a_step=0.0),
        lambda kept: kept["pieces"][0].update(flops_a_step=float("nan")),
        lambda kept: kept["pieces"].pop(-2),  # how fast a segmenter is
    ],
)
def test_a_foreign_file_is_noted_and_left(
    experiment: Experiment, tmp_path: Path, change: Change
) -> None:
    path = measurement_of(experiment).write(tmp_path)
    kept = json.loads(path.read_text())
    change(kept)
    path.write_text(json.dumps(kept))
    assert last_measurement(tmp_path, "cpu_core") == (
        None,
        [
            f"{path}: is no measurement of gansfer bench, or is damaged, and is not used; remove "
            "it, or measure again"
        ],
    )


@pytest.mark.parametrize("content", [b"", b"{", b"\xff\xfe", b"[" * 100_000, b"3"])
def test_a_damaged_file_hides_no_other(
    experiment: Experiment, tmp_path: Path, content: bytes
) -> None:
    measured = measurement_of(experiment)
    measured.write(tmp_path)
    (tmp_path / "gpu-x.json").write_bytes(content)
    (tmp_path / "cpu-folder.json").mkdir()
    found, notes = last_measurement(tmp_path, "cpu_core")
    assert found == measured
    assert [note.split(":")[0] for note in notes] == [
        str(tmp_path / name) for name in ("cpu-folder.json", "gpu-x.json")
    ]


def test_a_phase_that_was_not_measured_is_as_fast_as_another(experiment: Experiment) -> None:
    whole = measurement_of(experiment)
    partial = Measurement.model_validate(
        whole.model_dump() | {"pieces": [one for one in whole.pieces if one.kind != "phase_3"]}
    )
    (second,) = (one for one in whole.pieces if one.kind == "phase_2")
    assert partial.speed("phase_3", 20).flops_per_s in {
        second.flops_per_s,
        _piece(whole, "phase_1", 20).flops_per_s,
    }
    assert whole.speed("phase_3", 20).flops_per_s == _piece(whole, "phase_3", 20).flops_per_s


@pytest.mark.parametrize(("side_px", "nearest"), [(4, 5), (7, 5), (8, 10), (80, 20)])
def test_the_nearest_side_counts(experiment: Experiment, side_px: int, nearest: int) -> None:
    measured = measurement_of(experiment)
    expected = _piece(measured, "phase_1", nearest).flops_per_s
    assert measured.speed("phase_1", side_px).flops_per_s == expected


def _piece(measured: Measurement, kind: str, side_px: int) -> MeasuredPiece:
    return next(one for one in measured.pieces if (one.kind, one.side_px) == (kind, side_px))

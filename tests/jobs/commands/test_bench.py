"""`gansfer bench`, and what `describe` and `submit` make of it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from jobs.checking.estimate import device_hours
from jobs.checking.measurement import last_measurement
from jobs.experiment.loading import load_experiment
from tests.jobs.checking.measured import measurement_of
from tests.jobs.conftest import Asked
from tests.jobs.experiments import ROOT, Trial
from tests.jobs.stand_in import StandIn

Gansfer = Callable[..., Asked]
SMOKE = ROOT / "configs" / "smoke.yaml"
ON_CPU = ("--set", "run.device=cpu")
ASSUMED = "measure one task before you trust them; gansfer bench measures this machine"


def test_what_is_measured_is_what_describe_goes_by(
    tmp_path: Path, gansfer: Gansfer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GANSFER_STORAGE", str(tmp_path))
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    before = json.loads(gansfer("describe", SMOKE, *ON_CPU, "--json").out)
    assert before["assumed"]["device"] == "cpu_core" and "measured" not in before
    assert gansfer("describe", SMOKE, *ON_CPU).out.rstrip().endswith(ASSUMED)

    asked = gansfer("bench", SMOKE, "--seconds", "1")
    assert asked.code == 0, asked.err
    assert asked.err == "measuring this machine for smoke\n"
    measured, notes = last_measurement(tmp_path / "machines", "cpu_core")
    assert measured is not None and notes == []
    for piece in ("matrix product, float32", "phase 1, 5 px", "phase 1, 20 px", "phase 3, 20 px"):
        assert piece in asked.out
    *_, gan, _, _, _, total, device = asked.out.splitlines()
    hours = device_hours(load_experiment(SMOKE), measured)
    assert gan == f"train_gan: {hours['train_gan']:.3g} h a task, 1 task"
    one_each = hours["train_gan"] + hours["synthesise"]
    in_all = one_each + 3 * hours["train_segmenter"] + 3 * hours["segment_cohort"]
    assert total.startswith(f"smoke: {in_all:.3g} device-hours of all tasks' networks; kept in ")
    assert total.endswith(f"{tmp_path}/machines/" + total.rpartition("/")[2])
    assert device == (
        "describe and submit estimate for a GPU, which the experiment asks for; --set "
        "run.device=cpu asks for a CPU core"
    )

    after = json.loads(gansfer("describe", SMOKE, *ON_CPU, "--json").out)
    assert "assumed" not in after
    assert {key: after["measured"][key] for key in ("device", "name", "host")} == {
        "device": "cpu_core",
        "name": measured.name,
        "host": measured.host,
    }
    assert after["measured"]["date"] == f"{measured.date:%Y-%m-%dT%H:%M:%SZ}"
    gan_h = after["stages"]["train_gan"]["device_hours_a_task"]
    assert gan_h == round(hours["train_gan"], 3)
    told = gansfer("describe", SMOKE, *ON_CPU).out.splitlines()[-1]
    assert told == (
        f"device-hours measured on {measured.name} ({measured.host}, {measured.date:%Y-%m-%d}) by "
        "gansfer bench"
    )
    # The file itself asks for a GPU, of which nothing is known.
    assert json.loads(gansfer("describe", SMOKE, "--json").out)["assumed"]["device"] == "gpu"


def test_bench_as_json_is_nothing_but_json(tmp_path: Path, gansfer: Gansfer) -> None:
    trial = Trial.make(tmp_path)
    asked = gansfer("bench", trial.config, "--seconds", "0", "--json")
    found = json.loads(asked.out)
    assert found["file"].startswith(f"{tmp_path}/runs/machines/cpu-")
    assert found["measured"] == json.loads(Path(found["file"]).read_text())
    assert found["stages"]["train_segmenter"]["tasks"] == 3
    assert found["device_hours"] == pytest.approx(
        sum(row["device_hours"] for row in found["stages"].values())
    )


def test_a_damaged_measurement_is_one_note(tmp_path: Path, gansfer: Gansfer) -> None:
    trial = Trial.make(tmp_path)
    path = measurement_of(trial.plan.experiment).write(trial.storage.machines)
    path.write_text(path.read_text()[:-20])
    asked = gansfer("describe", trial.config)
    assert asked.code == 0 and asked.out.rstrip().endswith(ASSUMED)
    assert asked.err == (
        f"note: {path}: is no measurement of gansfer bench, or is damaged, and is not used; "
        "remove it, or measure again\n"
    )


def test_submit_gives_the_hours_of_describe(slurm: StandIn) -> None:
    slurm.configure(cohort={"roi": {"voxel_mm": 4.0}}, segmenter={"preset": "deepmedic-original"})
    experiment = load_experiment(slurm.folder / "one.yaml")
    assumed = json.loads(slurm("describe", "--json"))
    measurement_of(experiment, device="gpu").write(slurm.folder / "runs" / "machines")
    described = json.loads(slurm("describe", "--json"))
    assert described["measured"]["name"] == "Abacus 3"
    assert described["gpu_hours"]["expected"] > 2 * assumed["gpu_hours"]["expected"]
    said = " ".join(slurm("submit", "--yes").split())
    assert f"one: {described['gpu_hours']['expected']:,.1f} GPU-hours expected" in said
    assert "device-hours measured on Abacus 3 (attic, 2026-05-17) by gansfer bench" in said


def test_storage_that_cannot_be_written_is_told_before_anything_is_measured(
    tmp_path: Path, gansfer: Gansfer
) -> None:
    (tmp_path / "runs").write_text("a file where the folder should be")
    asked = gansfer("bench", Trial.make(tmp_path).config)
    assert (asked.code, asked.out) == (2, "")
    assert asked.err == (
        f"error: {tmp_path}/runs/machines: cannot be made (Not a directory); set storage to a "
        "folder that can be written\n"
    )


def test_the_critic_of_windows_is_described_where_there_is_one(
    tmp_path: Path, gansfer: Gansfer
) -> None:
    plain = gansfer("describe", Trial.make(tmp_path).config, "--json")
    assert "D_C" not in json.loads(plain.out)["networks"]
    for phase in ("phase_2", "phase_3"):
        config = Trial.make(tmp_path, gan={phase: {"coupling_weight": 0.5}}).config
        size = json.loads(gansfer("describe", config, "--json").out)["networks"]["D_C"]
        # Two layers of 32 maps and a score, 3 x 3, on 8 channels of 20 x 20 pixels.
        weights = 9 * 32 * (8 + 32 + 1)
        assert size == {"parameters": weights + 65, "flops_per_image": 2 * weights * 400}

"""The benchmarks that run an experiment or read a run, in a form of seconds."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from matplotlib.figure import Figure

from jobs.experiment.loading import merged
from tests.benchmarks import aggregate, lost_work, new_images
from tests.benchmarks.arguments import CHALLENGE_NAME, TABLE_NAME
from tests.benchmarks.little_cohort import write_little_cohort
from tests.faults.sketching import sketch_figures
from tests.jobs.experiments import ROOT, Trial
from tests.readers.layouts import experiment_values

SMALL_GRID = ["--folds", "2", "--label-counts", "1", "--labelled", "6", "--unlabelled", "6"]
BASELINE = "fold-0/labels-01/baseline"


@pytest.fixture
def sketched(monkeypatch: pytest.MonkeyPatch) -> None:
    """What this process draws is saved as sketches."""
    monkeypatch.setattr(Figure, "savefig", Figure.savefig)  # to be put back
    sketch_figures()


@pytest.fixture
def one_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """The stage `prepare` starts one process: to start takes it longer than the few subjects."""
    monkeypatch.setenv("SLURM_CPUS_PER_TASK", "1")


@pytest.mark.usefixtures("sketched")
def test_aggregate_times_every_part(
    capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    before = aggregate.build.compute
    measured = aggregate.main([*SMALL_GRID, "--voxel-mm", "4", "--parts-only"])
    assert not caplog.messages  # such as: no picture of the segmentations of ...
    assert measured.state == "Complete: all 24 planned results are here."
    assert set(measured.part_s) == {part for _, _, part in aggregate.PARTS}
    assert min(measured.part_s.values()) > 0
    assert measured.report_s > 0
    assert 0.05 < measured.page_mb < 50
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "phantom cohort: 12 people"
    assert lines[1].startswith("write_report: ")
    assert len(lines) == 3 + len(aggregate.PARTS)
    assert lines[-1].endswith(measured.state)
    assert aggregate.build.compute is before  # nothing is timed any more


@pytest.mark.usefixtures("sketched")
def test_aggregate_runs_the_command_and_tells_of_holes(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    measured = aggregate.main([str(tmp_path), *SMALL_GRID, "--pictures", "0", "--holes", "99"])
    assert measured.exit_code == 3  # something is missing
    assert measured.command_s is not None
    assert measured.command_s > 0
    assert measured.state.startswith("Incomplete: ")
    assert (tmp_path / "made-up" / "report" / "index.html").is_file()
    assert "s, exit code 3 (load before: " in capsys.readouterr().out


@pytest.mark.usefixtures("one_process")
def test_lost_work_kills_a_gan_and_a_segmenter_once(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    smoke = yaml.safe_load((ROOT / "configs" / "smoke.yaml").read_text())
    # So long that neither is done before it is killed, however fast the machine is.
    longer = {"gan": {"phase_1": {"fade_images": 40_000}}, "segmenter": {"epochs": 500}}
    config = tmp_path / "smoke.yaml"
    config.write_text(yaml.safe_dump(merged(smoke, longer)))
    soon = ["--after-s", "0.2", "0.4", "--checkpoint-every-s", "0.1"]
    kills = lost_work.main([str(config), "--kills", "1", *soon])
    said = capsys.readouterr().out
    assert said.startswith('{"checkpoint_every_s": 0.1, "seed": 0}\n')
    for stage, unit in (("train_gan", "phase 1"), ("train_segmenter", "iterations")):
        (one,) = kills[stage]
        assert (one.killed_at[0], one.went_on_from[0]) == (unit, unit)
        assert min(one.killed_at[1], one.went_on_from[1]) > 0
        assert one.lost_s >= 0
        assert f"{stage}: killed at {unit} {one.killed_at[1]}, went on from {unit} " in said
        assert f"{stage}: 1 kills, at most {one.lost_s:.1f} s lost" in said


@pytest.mark.parametrize(
    ("went_on_from", "lost_s"),
    [
        (("phase 2", 9), 0.0),  # further than was seen
        (("phase 2", 7), 3.0),
        (("phase 2", 1), 5.0),
        (("phase 3", 1), 0.0),
        (("phase 1", 8), 6.0),  # before all that the killed attempt did
    ],
)
def test_work_done_twice_is_counted_from_where_it_goes_on(
    went_on_from: tuple[str, int], lost_s: float
) -> None:
    before = [(4.0, ("phase 2", 0)), (5.0, ("phase 2", 2)), (7.0, ("phase 2", 7))]
    before.append((10.0, ("phase 2", 8)))
    assert lost_work.lost_s(before, went_on_from, {"phase 1", "phase 2"}) == lost_s


def test_lost_work_says_why_a_task_failed(tmp_path: Path) -> None:
    trial = Trial.make(tmp_path)
    (prepare,) = trial.plan.of_stage("prepare")
    trial.folder(prepare.id).mkdir(parents=True)
    lost_work.check(trial.storage, prepare, 0)
    with pytest.raises(SystemExit, match="prepare: exit code 2: it left no reason"):
        lost_work.check(trial.storage, prepare, 2)


@pytest.mark.usefixtures("one_process")
def test_new_images_are_segmented_as_in_the_run(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = write_little_cohort(tmp_path / "little")
    cohort = {
        "images": {"kind": "oasis", "discs": str(folder), "table": str(folder / TABLE_NAME)},
        "labels": {"kind": "challenge", "folder": str(folder / CHALLENGE_NAME)},
        "roi": {"voxel_mm": 4.0},
    }
    values = experiment_values(cohort, tmp_path / "runs")
    values["segmenter"] |= {
        "learning_rate": 1e-2,
        "epochs": 4,
        "subepochs_per_epoch": 2,
        "segments_per_subepoch": 100,
    }
    trial = Trial(tmp_path / "run.yaml")
    trial.config.write_text(yaml.safe_dump(values))
    for task_id in ("prepare", f"train_segmenter/seed-0/{BASELINE}"):
        assert trial.work(task_id) == 0
    rows = new_images.main([str(trial.config), "--cell", BASELINE])
    said = capsys.readouterr().out
    (row,) = rows.values()
    assert list(row) == list(new_images.COLUMNS)
    assert all(0.2 < dsc <= 1 for dsc in row.values())
    assert row["new, region"] == pytest.approx(row["run, region"], abs=0.1)
    assert said.startswith(f"seed-0/{BASELINE} (as asked)\n")
    lines = said.splitlines()
    assert lines[-3].split()[0] in ("1001", "1002")
    assert lines[-2].startswith("mean, n=1 ")
    assert lines[-1].startswith("warnings: ")

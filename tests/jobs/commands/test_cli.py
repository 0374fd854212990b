"""The commands that look and never run: what they print, and how a mistake ends."""

from __future__ import annotations

import errno
import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

import gansfer as package
import jobs.checking.validation
import jobs.store.storage
from gansfer.errors import UserError
from gansfer.gan.networks import Discriminator
from jobs.experiment.loading import load_experiment, save_experiment
from jobs.experiment.model import Experiment
from jobs.experiment.plan import Plan
from jobs.store.storage import Storage
from jobs.worker.pool import LocalRun
from tests.jobs.conftest import Asked
from tests.jobs.experiments import ROOT, Trial

Gansfer = Callable[..., Asked]
PAPER = ROOT / "configs" / "oasis.yaml"


@pytest.fixture(autouse=True)
def _storage(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("GANSFER_STORAGE", str(tmp_path / "storage"))


def test_the_schema_is_a_json_schema_of_every_setting(gansfer: Gansfer) -> None:
    asked = gansfer("schema")
    assert asked.code == 0
    schema = json.loads(asked.out)
    assert schema["type"] == "object"
    assert schema["required"] == ["name", "cohort"]
    assert set(schema["properties"]) == set(Experiment.model_fields)
    assert schema["additionalProperties"] is False
    cluster = schema["properties"]["cluster"]["anyOf"]  # settings, or a site profile's name
    assert cluster[0] == {"$ref": "#/$defs/ClusterSettings"} and cluster[1]["type"] == "string"
    assert "profile" in schema["$defs"]["ClusterSettings"]["properties"]
    references = [line for line in asked.out.splitlines() if '"$ref"' in line]
    for line in references:
        assert line.split("#/$defs/")[1].rstrip('",') in schema["$defs"]


def test_the_papers_experiment_is_described_by_its_numbers(gansfer: Gansfer) -> None:
    asked = gansfer("describe", PAPER, "--json")
    assert asked.code == 0
    found = json.loads(asked.out)
    parameters = {name: size["parameters"] for name, size in found["networks"].items()}
    assert set(parameters) == {"G", "D", "D_I", "D_S", "segmenter"}
    assert round(parameters["G"] / 1e6, 2) == 24.86
    assert round(parameters["D"] / 1e6, 2) == 24.87
    # D_I and D_S differ from D in the first layer alone: one map, then seven, for eight.
    assert parameters["segmenter"] == 715_001
    assert parameters["D"] - parameters["D_I"] == 7 * (parameters["D"] - parameters["D_S"])
    tasks = {stage: row["tasks"] for stage, row in found["stages"].items()}
    assert tasks["prepare"] == tasks["aggregate"] == 1
    assert tasks["train_gan"] == tasks["synthesise"] == 45
    assert tasks["train_segmenter"] == 5 * 5 * 6 + 6  # folds, label counts, arms; the ablation's
    assert tasks["segment_cohort"] == 5 * 6
    assert (found["slice_px"], found["channels"]) == (80, 8)
    gan = found["stages"]["train_gan"]
    assert gan["device_hours"] == pytest.approx(45 * gan["device_hours_a_task"], rel=1e-2)


def test_a_description_for_people_has_the_same_numbers(tmp_path: Path, gansfer: Gansfer) -> None:
    asked = gansfer("describe", Trial.make(tmp_path).config)
    assert asked.code == 0
    assert "247,270" in asked.out  # deepmedic-original
    assert "measure one task before you trust them" in asked.out


def test_the_papers_plan_needs_no_data(gansfer: Gansfer, tmp_path: Path) -> None:
    asked = gansfer("plan", PAPER)
    assert (asked.code, asked.err) == (0, "")
    assert "45 GANs, 156 segmenters" in asked.out
    assert "oasis: 281 tasks" in asked.out
    assert not (tmp_path / "storage").exists()


@pytest.mark.parametrize("command", ["run", "plan", "validate", "describe", "bench", "aggregate"])
def test_a_users_mistake_is_one_line_and_exit_code_2(
    tmp_path: Path, gansfer: Gansfer, command: str
) -> None:
    path = tmp_path / "x.yaml"
    path.write_text("name: x\nsedd: 1\ncohort: {images: {kind: phantom}}\n")
    asked = gansfer(command, path)
    assert asked.code == 2
    assert asked.out == ""
    assert asked.err == f"error: {path}: sedd is not a setting; did you mean 'seed'?\n"


def test_missing_data_are_all_told_at_once(
    tmp_path: Path, gansfer: Gansfer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(jobs.checking.validation, "_memory_gb", lambda: None)
    values = yaml.safe_load(PAPER.read_text())
    values["cohort"]["images"] = {
        "kind": "oasis",
        "discs": str(tmp_path),
        "table": str(tmp_path / "table.csv"),
    }
    values["cohort"]["labels"] = {"kind": "challenge", "folder": str(tmp_path / "labels")}
    values["cohort"]["references"] = {"kind": "none"}
    values.pop("cluster", None)
    config = tmp_path / "oasis.yaml"
    config.write_text(yaml.safe_dump(values))
    asked = gansfer("validate", config)
    assert asked.code == 2
    assert asked.err.splitlines() == [
        f"error: cohort.images.table: {tmp_path}/table.csv is not a file; set it to where the "
        "data are",
        f"error: cohort.labels.folder: {tmp_path}/labels is not a folder; set it to where the "
        "data are",
    ]


def test_a_machine_that_is_too_small_is_told_before_anything_runs(
    tmp_path: Path, gansfer: Gansfer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(jobs.checking.validation, "_memory_gb", lambda: 1.5)
    trial = Trial.make(tmp_path)
    asked = gansfer("run", trial.config, "--workers", "4")
    assert asked.code == 2
    assert re.match(r"error: tiny: 4 tasks of \w+ side by side need about ", asked.err)
    assert "this machine has 1.5 GiB; give --workers a smaller number" in asked.err
    assert not trial.storage.root.exists()


def test_a_valid_experiment_is_told_so(tmp_path: Path, gansfer: Gansfer) -> None:
    trial = Trial.make(tmp_path)
    asked = gansfer("validate", trial.config)
    assert (asked.code, asked.out) == (0, f"{trial.config}: valid (10 tasks)\n")


def test_storage_that_cannot_be_written_is_a_users_mistake(
    tmp_path: Path, gansfer: Gansfer
) -> None:
    (tmp_path / "runs").write_text("a file where the folder should be")
    asked = gansfer("run", Trial.make(tmp_path).config)
    assert asked.code == 2
    assert asked.err.startswith(f"error: {tmp_path}/runs/tiny: cannot be written (")
    assert asked.err.endswith("set storage to a folder that can be\n")


def test_a_report_of_nothing_says_so_and_ends_with_3(tmp_path: Path, gansfer: Gansfer) -> None:
    trial = Trial.make(tmp_path)
    asked = gansfer("aggregate", trial.config)
    assert (asked.code, asked.err) == (3, "")
    page = trial.storage.report.page.read_text()
    assert "Incomplete: nothing of the 6 planned results is here yet." in page
    assert f"report: {trial.storage.report.page}" in asked.out


@pytest.mark.parametrize(
    "arguments",
    [
        ("describe", "CONFIG"),
        ("bench", "CONFIG"),
        ("aggregate", "CONFIG"),
        ("inspect", "FOLDER"),
        ("export", "CONFIG", "--cell", "fold-0/labels-01", "--out", "FOLDER"),
        ("pictures", "CONFIG"),
    ],
    ids=lambda arguments: arguments[0],
)
def test_a_command_that_needs_more_than_a_login_node_has_says_so(
    tmp_path: Path, arguments: tuple[str, ...]
) -> None:
    given = {"CONFIG": str(Trial.make(tmp_path).config), "FOLDER": str(tmp_path)}
    argv = ["gansfer", *(given.get(one, one) for one in arguments)]
    absent = ("torch", "numpy", "scipy", "h5py", "pandas", "matplotlib", "jinja2", "skimage")
    code = (
        f"import sys\nfor name in {absent}: sys.modules[name] = None\n"
        f"sys.argv = {argv}\nfrom jobs.commands.cli import main\nmain()"
    )
    ran = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=False
    )
    assert ran.returncode == 2, ran.stderr
    assert re.fullmatch(
        r"error: \w+ is not installed here, and this command needs it; install it with "
        r"pip install '\.\[run\]', or run the command in the image\n",
        ran.stderr,
    )


def test_a_package_that_nobody_knows_is_no_users_mistake(
    tmp_path: Path, gansfer: Gansfer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "jobs.checking.description", None)
    with pytest.raises(ModuleNotFoundError, match=r"jobs\.checking\.description"):
        gansfer("describe", Trial.make(tmp_path).config)


def test_networks_are_described_without_weights(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from jobs.checking import description

    devices: list[str] = []
    built = description.build_critic

    def watched(*args: Any) -> Discriminator:
        network = built(*args)
        devices.extend(weight.device.type for weight in network.state_dict().values())
        return network

    monkeypatch.setattr(description, "build_critic", watched)
    description.describe_experiment(Trial.make(tmp_path).plan)
    assert set(devices) == {"meta"}


def test_version_and_short_help(gansfer: Gansfer) -> None:
    assert gansfer("--version").out == f"gansfer {package.__version__}\n"
    assert gansfer("status", "-h").out == gansfer("status", "--help").out != ""


def test_an_experiments_folder_stands_for_its_file(tmp_path: Path, gansfer: Gansfer) -> None:
    trial = Trial.make(tmp_path)
    save_experiment(trial.plan.experiment, trial.storage.experiment_file)
    of_file = gansfer("plan", trial.config, "--json")
    assert of_file.code == 0
    assert gansfer("plan", trial.storage.root, "--json") == of_file


def test_the_memory_of_stages_that_do_not_run_here_is_no_hindrance(
    tmp_path: Path, gansfer: Gansfer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(jobs.checking.validation, "_memory_gb", lambda: 3.0)
    trial = Trial.make(tmp_path, gan={"minibatch": 5000}, run={"workers": 2})
    asked = gansfer("validate", trial.config)
    assert asked.code == 0, asked.err
    assert "note: tiny: 2 tasks of train_gan side by side need about " in asked.out
    assert gansfer("run", trial.config).code == 2

    def chosen(plan: Plan, *args: object, only: list[str], **more: object) -> None:
        raise UserError(f"would run {only}")

    monkeypatch.setattr("jobs.commands.local_cli.run_locally", chosen)
    asked = gansfer("run", trial.config, "--until", "prepare")
    assert asked.err == "error: would run ['prepare']\n"
    monkeypatch.setattr(jobs.checking.validation, "_memory_gb", lambda: 1.0)
    assert "2 tasks of prepare side by side" in gansfer("validate", trial.config).err


@pytest.mark.parametrize(
    ("sections", "told"),
    [
        ({"run": {"device": "cuda"}}, "run.device: cuda, and torch finds no CUDA device here"),
        ({"cohort": {"structures": ["liver"]}}, "structures: the built-in cohort has no liver"),
        ({"segmenter": {"preset": "deepmedic"}}, "segmenter.preset: slices of 20 px are too small"),
        ({"storage": "/dev/null/runs"}, "storage: /dev/null is a file, expected a folder"),
    ],
)
def test_validate_finds_what_a_run_would_find(
    tmp_path: Path,
    gansfer: Gansfer,
    monkeypatch: pytest.MonkeyPatch,
    sections: dict[str, Any],
    told: str,
) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    trial = Trial.make(tmp_path, **sections)
    asked = gansfer("validate", trial.config)
    assert asked.code == 2 and asked.err.startswith(f"error: {told}")


def test_the_device_of_a_clusters_tasks_is_a_note(
    tmp_path: Path, gansfer: Gansfer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    trial = Trial.make(tmp_path, run={"device": "cuda"}, cluster={"partition": "gpu"})
    asked = gansfer("validate", trial.config)
    assert asked.code == 0 and "note: on this machine, run.device: cuda" in asked.out


def test_no_report_is_made_after_a_failed_prepare(tmp_path: Path, gansfer: Gansfer) -> None:
    trial = Trial.make(tmp_path, cohort={"structures": ["liver"]})
    asked = gansfer("run", trial.config, "--workers", "1")
    assert asked.code == 2 and "failed  prepare: structures: the built-in" in asked.err
    assert "report:" not in asked.out and not (trial.storage.root / "report").exists()
    assert trial.work("aggregate") == 4  # in a SLURM job, too
    assert "waits for prepare" in trial.state("aggregate")["reason"]


def test_a_notebooks_figures_backend_is_left_behind(
    tmp_path: Path, gansfer: Gansfer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MPLBACKEND", "module://matplotlib_inline.backend_inline")
    gansfer("plan", Trial.make(tmp_path).config)
    assert os.environ["MPLBACKEND"] == "Agg"


def test_what_one_may_not_write_is_one_line(
    tmp_path: Path, gansfer: Gansfer, monkeypatch: pytest.MonkeyPatch
) -> None:
    trial = Trial.make(tmp_path)

    def refused(*args: object) -> None:
        raise PermissionError(13, "Permission denied", str(trial.storage.experiment_file))

    monkeypatch.setattr("jobs.commands.local_cli.save_experiment", refused)
    asked = gansfer("run", trial.config)
    assert asked.code == 2 and len(asked.err.splitlines()) == 1
    assert asked.err.startswith(f"error: {trial.storage.experiment_file}: permission denied; ")
    assert "common group (chgrp, chmod g+rwxs)" in asked.err


def test_a_run_interrupted_before_a_task_began_says_so(
    tmp_path: Path, gansfer: Gansfer, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*args: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("jobs.commands.local_cli.save_experiment", interrupted)
    asked = gansfer("run", Trial.make(tmp_path).config)
    said = "stopped: no task was running; run the same command again to go on\n"
    assert (asked.code, asked.err) == (130, said)


def test_a_run_folder_stands_for_its_experiment_wherever_it_lies(
    tmp_path: Path, gansfer: Gansfer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its relative paths were those of a file elsewhere, and its storage another folder."""
    trial = Trial.make(tmp_path / "before")
    trial.pretend("prepare")
    save_experiment(trial.plan.experiment, trial.storage.experiment_file)
    after = tmp_path / "after" / "renamed"
    after.parent.mkdir()
    trial.storage.root.rename(after)
    monkeypatch.chdir(after)
    for folder in (after, Path()):
        rows = json.loads(gansfer("plan", folder, "--json").out)
        assert {Path(row["folder"]).is_relative_to(after) for row in rows} == {True}
        assert rows[0]["state"] == "done"
    asked = gansfer("plan", after, "--json", "--set", f"storage={tmp_path}/x", "--set", "name=new")
    assert json.loads(asked.out)[0]["folder"] == f"{tmp_path}/x/new/cohort"


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("empty", "a folder without experiment.yaml, so no experiment has run in it; give"),
        ("two words", "the folder's name is not one of an experiment, expected letters"),
    ],
)
def test_a_folder_that_is_no_run_folder_is_one_line(
    tmp_path: Path, gansfer: Gansfer, name: str, told: str
) -> None:
    (tmp_path / name).mkdir()
    if name != "empty":
        save_experiment(Trial.make(tmp_path).plan.experiment, tmp_path / name / "experiment.yaml")
    asked = gansfer("status", tmp_path / name)
    assert (asked.code, asked.out) == (2, "")
    assert asked.err.startswith(f"error: {tmp_path / name}: {told}")
    assert len(asked.err.splitlines()) == 1


def test_what_is_set_for_a_run_is_in_its_folders_experiment(
    tmp_path: Path, gansfer: Gansfer, monkeypatch: pytest.MonkeyPatch
) -> None:
    def pretended(plan: Plan, storage: Storage, **how: object) -> LocalRun:
        return LocalRun(plan, storage, already_done={task.id for task in plan.tasks})

    monkeypatch.setattr("jobs.commands.local_cli.run_locally", pretended)
    trial = Trial.make(tmp_path)
    asked = gansfer("run", trial.config, "--set", "gan.phase_2.images=48", "--set", "seed=3")
    assert asked.code == 0, asked.err
    as_run = load_experiment(trial.storage.experiment_file)
    assert (as_run.gan.phase_2.images, as_run.seed) == (48, 3)
    assert load_experiment(trial.config).seed == 0


@pytest.mark.parametrize(
    "command",
    ["run", "plan", "validate", "describe", "bench", "aggregate", "submit", "status", "retry"],
)
def test_a_mistyped_setting_is_refused_by_every_command(
    tmp_path: Path, gansfer: Gansfer, command: str
) -> None:
    config = Trial.make(tmp_path).config
    asked = gansfer(command, config, "--set", "gan.phse_2.images=1")
    assert (asked.code, asked.out) == (2, "")
    assert asked.err == (
        f"error: {config} --set gan.phse_2.images=1: gan.phse_2 is not a setting; did you mean "
        "'phase_2'?\n"
    )


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ("gansfer pl", ["plan"]),
        ("gansfer plan CONFIG --only train", ["train_gan", "train_segmenter"]),
        (
            "gansfer plan CONFIG --only seed-0/fold-0/labels-01/sy",
            ["seed-0/fold-0/labels-01/syn"],
        ),
        ("gansfer plan nowhere.yaml --only train", []),
    ],
)
def test_a_shell_completes_commands_and_names_of_tasks(
    tmp_path: Path, words: str, told: list[str]
) -> None:
    words = words.replace("CONFIG", str(Trial.make(tmp_path).config))
    ran = subprocess.run(
        [sys.executable, "-c", "from jobs.commands.cli import app; app(prog_name='gansfer')"],
        env={
            **os.environ,
            "_GANSFER_COMPLETE": "complete_bash",
            "COMP_WORDS": words,
            "COMP_CWORD": str(len(words.split()) - 1),
        },
        capture_output=True,
        text=True,
        cwd=ROOT,
        check=False,
    )
    found = ran.stdout.split()
    assert len(found) == len(told), (ran.stdout, ran.stderr)
    assert all(one.startswith(start) for one, start in zip(found, told, strict=True))


def test_a_storage_that_cannot_be_read_is_one_line(
    tmp_path: Path, gansfer: Gansfer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And nothing in it is taken for missing, and computed again."""
    trial = Trial.make(tmp_path)
    trial.pretend("prepare")

    def fails(path: Path) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO), str(path))

    monkeypatch.setattr(jobs.store.storage, "_read_json", fails)
    for command in ("run", "plan"):
        asked = gansfer(command, trial.config)
        assert asked.code == 2
        assert asked.err == (
            f"error: {trial.storage.files(trial.task('prepare')).manifest}: input/output error; "
            "run the same command again when the storage is well\n"
        )

"""What is asked of sbatch, with a stand-in for SLURM; tests/slurm has the real one."""

from __future__ import annotations

import hashlib
import itertools
import json
import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from gansfer.errors import UserError
from jobs.experiment.loading import parse_experiment
from jobs.experiment.model import Experiment
from jobs.experiment.plan import Plan, make_plan
from jobs.slurm.arrays import Scale, arrays_to_submit, jobs_before
from jobs.slurm.container import container_command
from jobs.slurm.job_record import JobRecord
from jobs.slurm.submission import script_for
from jobs.store.image_digest import running_image_digest
from jobs.store.storage import Storage
from tests.jobs.stand_in import BASE, StandIn

GAN = "train_gan/seed-0/fold-0/labels-01/group-0"
TWO_GPUS = {"train_gan": {"gpus": 2}}


def experiment_with(tmp_path: Path, **changes: Any) -> Experiment:
    return parse_experiment({**BASE, "storage": str(tmp_path), **changes}, "test")


def script(tmp_path: Path, stage: str, after: Sequence[str] = (), **changes: Any) -> str:
    experiment = experiment_with(tmp_path, **changes)
    plan = make_plan(experiment)
    wanted = {task.id for task in plan.of_stage(stage)}
    array = arrays_to_submit(plan, wanted, 1000)[0]
    return script_for(array, "name", after, experiment, Storage(experiment))


def test_arrays_are_cut_at_the_largest_size_and_scaled_apart(tmp_path: Path) -> None:
    plan = make_plan(experiment_with(tmp_path))
    everything = {task.id for task in plan.tasks}
    sizes = [len(array.tasks) for array in arrays_to_submit(plan, everything, 4)]
    assert sizes == [1, 2, 2, 2, 2, 4, 2, 4, 2, 4, 2, 4, 2, 1]
    arrays = arrays_to_submit(plan, everything, 4, Scale(frozenset({GAN}), 2, 3))
    asks = {tuple(t.id for t in array.tasks): array.ask for array in arrays}
    assert (asks[(GAN,)].time_h, asks[(GAN,)].memory_gb) == (16, 96)
    other = GAN.replace("seed-0", "seed-1")
    assert (asks[(other,)].time_h, asks[(other,)].memory_gb) == (8, 32)


def folds_and_cap(tmp_path: Path, max_gpus: int | None) -> Plan:
    """Two folds of one seed, and a cap on GPUs or none."""
    grid = {**BASE["grid"], "use_folds": [0, 1], "seeds": [0]}
    return make_plan(experiment_with(tmp_path, grid=grid, cluster={"max_gpus": max_gpus}))


def sent(plan: Plan) -> tuple[dict[str, list[str]], dict[str, str]]:
    """By name of an array, those that it waits for; and the name of each task's."""
    number: dict[str, str] = {}
    name_of: dict[str, str] = {}
    waits: dict[str, list[str]] = {}
    for job, array in enumerate(arrays_to_submit(plan, {t.id for t in plan.tasks}, 1000), 1):
        waits[array.name] = [name_of[one] for one in jobs_before(array.tasks, plan, number)]
        number |= {task.id: str(job) for task in array.tasks}
        name_of[str(job)] = array.name
    return waits, number


def test_a_fold_waits_for_nothing_of_another_one(tmp_path: Path) -> None:
    waits, _ = sent(folds_and_cap(tmp_path, None))
    assert waits["train_segmenter.labels-03.fold-1"] == ["prepare", "synthesise.labels-03.fold-1"]
    assert waits["synthesise.labels-03.fold-0"] == ["prepare", "train_gan.labels-03.fold-0"]
    assert waits["train_gan.labels-01.fold-1"] == ["prepare"]
    assert len(waits) == 1 + 3 * 4 + 2 + 1


def test_under_a_cap_arrays_with_gpus_run_one_after_another(tmp_path: Path) -> None:
    plan = folds_and_cap(tmp_path, 3)
    waits, number = sent(plan)
    stages = ["train_gan", "synthesise", "train_segmenter", "segment_cohort"]
    assert [name for name in waits if name in stages] == stages
    for place, stage in enumerate(stages):
        assert set(waits[stage]) == {"prepare", *stages[:place]}
    lines = script(tmp_path, "train_gan", cluster={"max_gpus": 3}).splitlines()
    assert "#SBATCH --array=0-3%3" in lines
    lines = script(tmp_path, "train_gan", cluster={"max_gpus": 5}, resources=TWO_GPUS).splitlines()
    assert "#SBATCH --array=0-3%2" in lines
    # A retry of a GAN: those that need it wait for it, so it waits for none of them, nor for what
    # waits for them; what was sent before them it does wait for.
    gan = plan.by_id[GAN]
    others = {task: job for task, job in number.items() if task != GAN}
    assert jobs_before([gan], plan, others) == ["1", "2"]
    synthesise = [task for task in plan.tasks if task.stage == "synthesise"]
    retried = others | {GAN: "9"}
    assert jobs_before(synthesise, plan, retried, "3") == ["1", "2", "9"]


def test_a_task_with_more_gpus_than_the_cap_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"train_gan.gpus 2 is more than cluster.max_gpus 1: raise"):
        experiment_with(tmp_path, cluster={"max_gpus": 1}, resources=TWO_GPUS)


def test_what_a_task_had_last_counts_where_it_is_more(tmp_path: Path) -> None:
    plan = make_plan(experiment_with(tmp_path))
    gans = [task.id for task in plan.of_stage("train_gan")]
    last = {gans[0]: (16, 32), gans[1]: (2, 64), gans[2]: (8, 32)}
    arrays = arrays_to_submit(plan, gans, 1000, Scale(frozenset(gans[:1]), 2, 1, last))
    asks = {task.id: (a.ask.time_h, a.ask.memory_gb) for a in arrays for task in a.tasks}
    assert asks == dict(zip(gans, [(32, 32), (8, 64), (8, 32), (8, 32)], strict=True))
    assert len(arrays) == 3  # of one label count the last two ask alike, and go together


def test_what_needs_its_own_stage_is_an_array_that_comes_after(tmp_path: Path) -> None:
    """Elements of one array run at any time, so none may wait for another."""
    grid = {**BASE["grid"], "rival_arms": ["self_training"]}
    plan = make_plan(experiment_with(tmp_path, grid=grid))
    first = next(t.id for t in plan.of_stage("train_segmenter") if t.id.endswith("baseline"))
    scale = Scale(frozenset({first}), 2, 1)
    seen: set[str] = set()
    for array in arrays_to_submit(plan, {task.id for task in plan.tasks}, 1000, scale):
        assert all(set(task.needs) <= seen for task in array.tasks), array.stage
        seen |= {task.id for task in array.tasks}
    assert len(seen) == len(plan.tasks)


def test_a_stage_keeps_the_defaults_that_it_does_not_name(tmp_path: Path) -> None:
    experiment = experiment_with(tmp_path, resources={"train_gan": {"partition": "big"}})
    ask = experiment.stage_resources("train_gan")
    assert (ask.partition, ask.gpus, ask.time_h) == ("big", 1, 8)


def test_script_has_what_the_site_and_the_stage_say(tmp_path: Path) -> None:
    text = script(
        tmp_path,
        "train_gan",
        after=["3", "4"],
        cluster={
            "partition": "all",
            "account": "us",
            "sbatch": {"nice": 5, "exclusive": True},
            "setup": ["module load x"],
            "array_parallelism": 1,
        },
        resources={"train_gan": {"partition": "gpu", "sbatch": {"nice": 7}, "time_h": 0.5}},
    )
    wanted = ["partition=gpu", "account=us", "nice=7", "exclusive", "time=30", "mem=32768M"]
    wanted += ["gpus-per-node=1", "array=0-1%1", "dependency=afterany:3:4", "signal=B:USR2@180"]
    for option in [*wanted, "requeue", "open-mode=append"]:
        assert f"#SBATCH --{option}\n" in text
    assert "wckey" not in text and "srun" not in text
    assert text.index("module load x") < text.index("\nexec bash ")
    assert f"{sys.executable} -u -m submitit.core._submit" in text


def test_a_jobs_comment_says_its_tasks(tmp_path: Path) -> None:
    assert "#SBATCH --comment=prepare\n" in script(tmp_path, "prepare")
    cells = ",".join(f"seed-{seed}/fold-0/labels-01/group-0" for seed in range(3))
    grid = {**BASE["grid"], "use_folds": [0], "seeds": [0, 1, 2]}
    assert f"#SBATCH --comment={cells}\n" in script(tmp_path, "train_gan", grid=grid)
    grid["seeds"] = [0, 1, 2, 3, 4]
    assert f"#SBATCH --comment={cells},+2\n" in script(tmp_path, "train_gan", grid=grid)
    own = script(tmp_path, "prepare", cluster={"sbatch": {"comment": "ours"}})
    assert "#SBATCH --comment=ours\n" in own and "comment=prepare" not in own


def test_a_sites_own_way_to_ask_for_gpus_replaces_ours(tmp_path: Path) -> None:
    text = script(tmp_path, "train_gan", cluster={"sbatch": {"gres": "gpu:h100:1"}})
    assert "--gres=gpu:h100:1\n" in text and "gpus-per-node" not in text
    assert "--requeue" not in script(tmp_path, "prepare", cluster={"sbatch": {"no-requeue": True}})


def test_a_sites_own_way_to_ask_for_memory_replaces_ours(tmp_path: Path) -> None:
    text = script(tmp_path, "train_gan", cluster={"sbatch": {"mem-per-cpu": "8G"}})
    assert "--mem-per-cpu=8G\n" in text and "--mem=" not in text


def test_container_command_binds_what_tasks_read_and_write(tmp_path: Path) -> None:
    image = tmp_path / "image.sif"
    image.write_bytes(b"sif")
    oasis = {
        "images": {"kind": "oasis", "discs": "/data/oasis", "table": "/data/table.csv"},
        "labels": {"kind": "challenge", "folder": "/data/challenge"},
    }
    container = {"image": str(image), "binds": ["/opt/x:/x:ro"], "options": ["--userns"]}
    experiment = experiment_with(tmp_path, cohort=oasis, cluster={"container": container})
    command = container_command(experiment, Storage(experiment))
    assert command is not None
    assert command[:3] == ["apptainer", "exec", "--nv"] and command[-2:] == [str(image), "python"]
    binds = [value for flag, value in itertools.pairwise(command) if flag == "--bind"]
    assert f"{tmp_path}/one:{tmp_path}/one" in binds and "/opt/x:/x:ro" in binds
    assert "/data/oasis:/data/oasis:ro" in binds and "/data/challenge:/data/challenge:ro" in binds
    assert "--no-home" in command and "--userns" in command
    assert f"{image}:{image}:ro" in binds  # which one it was, a task sees for itself


def test_an_image_behind_a_link_is_seen_under_both_its_names(tmp_path: Path) -> None:
    image, link = tmp_path / "image.sif", tmp_path / "link.sif"
    image.write_bytes(b"sif")
    link.symlink_to(image)
    experiment = experiment_with(tmp_path, cluster={"container": {"image": str(link)}})
    command = container_command(experiment, Storage(experiment))
    assert command is not None
    assert {f"{image}:{image}:ro", f"{link}:{link}:ro"} <= set(command)


def test_a_sandbox_is_not_bound_into_itself(tmp_path: Path) -> None:
    sandbox = tmp_path / "sandbox"
    sandbox.mkdir()
    experiment = experiment_with(tmp_path, cluster={"container": {"image": str(sandbox)}})
    command = container_command(experiment, Storage(experiment))
    assert command is not None
    assert command[-2] == str(sandbox) and f"{sandbox}:{sandbox}:ro" not in command


def test_the_image_on_record_is_the_one_that_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    image = tmp_path / "image.sif"
    image.write_bytes(b"sif")
    experiment = experiment_with(tmp_path, cluster={"container": {"image": str(image)}})
    storage = Storage(experiment)
    monkeypatch.delenv("APPTAINER_CONTAINER", raising=False)
    monkeypatch.delenv("SINGULARITY_CONTAINER", raising=False)
    container_command(experiment, storage)
    assert running_image_digest(storage) is None
    monkeypatch.setenv("APPTAINER_CONTAINER", str(image))
    with monkeypatch.context() as patch:  # it was read at submission, and has not changed
        patch.setattr("hashlib.file_digest", None)
        assert running_image_digest(storage) == "sha256:" + hashlib.sha256(b"sif").hexdigest()
    image.write_bytes(b"replaced since")
    expected = "sha256:" + hashlib.sha256(b"replaced since").hexdigest()
    assert running_image_digest(storage) == expected
    image.unlink()
    assert running_image_digest(storage) == "unknown"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"cluster": {"container": {"image": "/no/such.sif"}}}, "/no/such.sif is not there"),
        (
            {
                "cluster": {"container": {"image": "/dev/null"}},
                "cohort": {
                    "images": {"kind": "oasis", "discs": "data", "table": "/t"},
                    "labels": {"kind": "challenge", "folder": "/c"},
                },
            },
            "cohort.images.discs: data is a relative path",
        ),
    ],
)
def test_container_mistakes_are_found_at_submission(
    tmp_path: Path, changes: dict[str, Any], message: str
) -> None:
    experiment = experiment_with(tmp_path, **changes)
    with pytest.raises(UserError, match=message):
        container_command(experiment, Storage(experiment))


def test_record_survives_a_line_that_was_cut_off(tmp_path: Path) -> None:
    plan = make_plan(experiment_with(tmp_path))
    prepare, gans = arrays_to_submit(plan, {task.id for task in plan.tasks}, 1000)[:2]
    record = JobRecord(tmp_path)
    first = record.announce("one", gans)
    record.confirm(first, "12")
    with record.path.open("a") as file:
        file.write('{"name": "one.tra')
    second = record.announce("one", prepare)
    loaded = record.load()
    assert [submission.job for submission in loaded] == ["12", None]
    assert loaded[0].element(1) == "12_1" and loaded[1] == second
    assert record.confirm(second, "13").element(0) == "13"


def test_submit_sends_once_and_again_what_was_lost(slurm: StandIn) -> None:
    printed = slurm("submit", "--yes")
    assert printed.count("\njob ") == 14  # MaxArraySize is 5: each 6 segmenters are 5 and 1
    title = " ".join(printed.split())
    told = re.search(r"one: ([\d.]+) GPU-hours expected, at most 96.0 GPU-hours", title)
    described = json.loads(slurm("describe", "--json"))["gpu_hours"]
    assert told is not None and float(told[1]) == round(described["expected"], 1) > 0
    assert described["at_most"] == 96.0
    slurm.queue_all()
    assert "nothing to submit: 0 of 34 tasks are done, 34 queued" in slurm("submit", "--yes")
    lines = slurm.queue.read_text().splitlines(keepends=True)
    slurm.queue.write_text("".join(line for line in lines if not line.startswith("2_")))
    again = slurm("submit", "--yes")
    assert [line for line in again.splitlines() if line.startswith("job ")] == [
        "job 15: 2 of one.train_gan.labels-01.fold-0"
    ]


def test_a_report_that_is_being_made_does_not_count_for_what_is_sent_now(slurm: StandIn) -> None:
    slurm("submit", "--yes")
    slurm.queue_all()
    lines = slurm.queue.read_text().splitlines(keepends=True)
    lines = [line for line in lines if not line.startswith("2_")]
    lines[-1] = lines[-1].replace("PENDING|Priority", "RUNNING|None")  # it has read its inputs
    slurm.queue.write_text("".join(lines))
    assert [line for line in slurm("submit", "--yes").splitlines() if line.startswith("job ")] == [
        "job 15: 2 of one.train_gan.labels-01.fold-0",
        "job 16: 1 of one.aggregate",
    ]


def test_submit_asks_and_takes_no_for_an_answer(slurm: StandIn) -> None:
    assert "Aborted" in slurm("submit", fails=1)
    assert not (slurm.root / "slurm" / "jobs.jsonl").exists()


def test_a_refusal_is_one_line_and_the_rest_stays_sent(slurm: StandIn) -> None:
    accepting = slurm.sbatch.read_text()
    refusing = "echo 'sbatch: error: invalid account' >&2; exit 1"
    slurm.sbatch.write_text(
        f"{accepting}\n[ $(wc -l <{slurm.folder}/sent) != 3 ] || {{ {refusing}; }}\n"
    )
    printed = slurm("submit", "--yes", fails=2)
    assert "error: train_gan: sbatch refused: " in printed and "invalid account" in printed
    assert [one.job for one in JobRecord(slurm.root / "slurm").load()] == ["1", "2", None]


def test_a_job_sent_but_not_written_down_is_found_by_its_name(slurm: StandIn) -> None:
    slurm("submit", "--yes")
    record = slurm.root / "slurm" / "jobs.jsonl"
    slurm.queue_all()
    lines = record.read_text().splitlines()
    assert json.loads(lines[-1])["job"] == "14"
    record.write_text("\n".join(lines[:-1]) + "\n")
    record.with_name("jobs-lines.json").unlink()  # as it was before that line
    assert "34 queued" in slurm("submit", "--yes")
    assert json.loads(record.read_text().splitlines()[-1])["job"] == "14"


def test_nothing_is_sent_while_the_queue_is_not_known(slurm: StandIn) -> None:
    slurm("submit", "--yes")
    slurm.program("squeue", "exit 1")
    assert "squeue does not answer" in slurm("submit", "--yes", fails=2)


def test_cancel_ends_only_the_stage_asked_for(slurm: StandIn) -> None:
    slurm("submit", "--yes")
    slurm.queue_all()
    assert "cancelled 4 jobs" in slurm("cancel", "synthesise", "--yes")
    assert slurm.cancelled.read_text().split() == ["5_1", "5_0", "4_1", "4_0"]
    slurm("cancel", "--yes")
    assert (
        slurm.cancelled.read_text().split()[0] == "14"
        and slurm.cancelled.read_text().split()[-1] == "1"
    )
    assert "there are synthesise, synth" in slurm("cancel", "synthesize", "--yes", fails=2)


def test_an_array_cancelled_before_it_started_is_one_record_for_all_its_tasks(
    slurm: StandIn,
) -> None:
    slurm("submit", "--yes")
    slurm.queue_all()
    lines = slurm.queue.read_text().splitlines(keepends=True)
    name = next(line for line in lines if line.startswith("2_")).split("|")[-1]
    others = [line for line in lines if not line.startswith("2_")]
    slurm.queue.write_text("".join([*others, f"2|CANCELLED|None|{name}"]))
    tasks = {one["task"]: one for one in json.loads(slurm("status", "--json", fails=3))["tasks"]}
    for task in (GAN, GAN.replace("seed-0", "seed-1")):
        assert (tasks[task]["state"], tasks[task]["kind"]) == ("failed", "cancelled")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--task", "train_gan/x"], "train_gan/x: no such task"),
        (["--time", "2"], "--time 2: expected a factor, such as x2"),
        (["--failed", "--task", "prepare"], "give one of them"),
    ],
)
def test_retry_mistakes(slurm: StandIn, options: list[str], message: str) -> None:
    assert message in slurm("retry", *options, fails=2)


def test_logs_of_a_task_that_never_started(slurm: StandIn) -> None:
    assert "has no log yet" in slurm("logs", "prepare", fails=2)

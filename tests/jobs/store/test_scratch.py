from __future__ import annotations

import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

import jobs.store.scratch as scratch_module
from jobs.experiment.loading import parse_experiment
from jobs.experiment.plan import Plan, make_plan
from jobs.store.manifest import digest_files
from jobs.store.scratch import cohort_folder
from jobs.store.storage import Storage

Staged = tuple[Plan, Storage, Path]
NAMES = ("subjects.csv", "images-000.h5")


@pytest.fixture
def staged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Staged:
    """A cohort in storage, and a job whose node has an empty disk."""
    experiment = parse_experiment(
        {
            "name": "one",
            "storage": str(tmp_path / "runs"),
            "cohort": {"images": {"kind": "phantom"}},
            "cluster": {"stage_to_scratch": True},
        },
        "test",
    )
    plan, storage = make_plan(experiment), Storage(experiment)
    storage.cohort.mkdir(parents=True)
    for name in NAMES:
        (storage.cohort / name).write_text(name)
    digest = digest_files(storage.cohort, NAMES)
    storage.write_manifest(plan.by_id["prepare"], {"products": list(NAMES), "digest": digest})
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    monkeypatch.setenv("SLURM_TMPDIR", str(scratch))
    monkeypatch.setenv("SLURM_JOB_ID", "1")
    return plan, storage, scratch


@pytest.fixture(autouse=True)
def task_ends(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[], None]]:
    """Let the task that came first end, as its process would."""
    ends: list[tuple[Callable[..., None], tuple[Any, ...]]] = []

    def finalize(
        _: object, leave: Callable[..., None], arguments: tuple[Any, ...], *, exitpriority: int
    ) -> None:
        ends.append((leave, arguments))

    monkeypatch.setattr(scratch_module, "Finalize", finalize)

    def end() -> None:
        leave, arguments = ends.pop(0)
        leave(*arguments)

    yield end
    while ends:
        end()


def files_in(folder: Path) -> list[str]:
    """What is left of the images."""
    bookkeeping = (".lock", ".users")
    files = [path for path in folder.rglob("*") if path.is_file()]
    return sorted(path.name for path in files if path.suffix not in bookkeeping)


def test_shards_are_copied_once(staged: Staged) -> None:
    plan, storage, scratch = staged
    folder = cohort_folder(plan, storage)
    assert folder.is_relative_to(scratch)
    assert sorted(path.name for path in folder.iterdir()) == sorted(NAMES)
    (storage.cohort / "subjects.csv").unlink()  # a second copy would miss it
    assert cohort_folder(plan, storage) == folder


def test_outside_a_job_and_unasked_they_stay_where_they_are(
    staged: Staged, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan, storage, scratch = staged
    monkeypatch.delenv("SLURM_JOB_ID")
    assert cohort_folder(plan, storage) == storage.cohort
    assert not list(scratch.iterdir())


def test_what_was_damaged_in_storage_is_not_copied(
    staged: Staged, caplog: pytest.LogCaptureFixture
) -> None:
    plan, storage, scratch = staged
    (storage.cohort / "images-000.h5").write_text("damaged since")
    assert cohort_folder(plan, storage) == storage.cohort
    assert "differs from its manifest" in caplog.text
    assert files_in(scratch) == []


@pytest.mark.parametrize("damage", [Path.unlink, lambda path: path.write_text("garbled000.h5")])
def test_a_copy_damaged_since_is_made_again(
    staged: Staged, damage: Callable[[Path], object]
) -> None:
    plan, storage, _ = staged
    folder = cohort_folder(plan, storage)
    damage(folder / "images-000.h5")
    assert cohort_folder(plan, storage) == folder
    assert [(folder / name).read_text() for name in NAMES] == list(NAMES)


def test_the_last_task_on_the_node_removes_the_copy(
    staged: Staged, task_ends: Callable[[], None]
) -> None:
    plan, storage, scratch = staged
    for _ in range(2):
        cohort_folder(plan, storage)
    task_ends()
    assert files_in(scratch) == sorted(NAMES)
    task_ends()
    assert files_in(scratch) == []


@pytest.mark.parametrize("in_a_child", [False, True])
def test_the_end_of_a_process_is_the_end_of_its_copy(staged: Staged, in_a_child: bool) -> None:
    plan, _, scratch = staged
    experiment = plan.experiment.model_dump_json()
    code = (
        "import multiprocessing, sys\n"
        "from jobs.experiment.plan import make_plan\n"
        "from jobs.store.scratch import cohort_folder\n"
        "from jobs.experiment.model import Experiment\n"
        "from jobs.store.storage import Storage\n"
        "def work(text):\n"
        "    experiment = Experiment.model_validate_json(text)\n"
        "    folder = cohort_folder(make_plan(experiment), Storage(experiment))\n"
        "    print(folder, folder.is_dir())\n"
    )
    if in_a_child:
        run = "multiprocessing.get_context('fork').Process(target=work, args=sys.argv[1:]).start()"
    else:
        run = "work(sys.argv[1])"
    command = [sys.executable, "-c", code + run, experiment]
    said = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout
    assert said.startswith(str(scratch)) and said.endswith(" True\n")
    assert files_in(scratch) == []


def test_what_a_killed_task_had_begun_to_copy_goes_too(
    staged: Staged, task_ends: Callable[[], None]
) -> None:
    plan, storage, scratch = staged
    folder = cohort_folder(plan, storage)
    task_ends()
    half = folder.with_suffix(".part")
    half.mkdir()
    (half / "images-000.h5").write_text("imag")
    cohort_folder(plan, storage)
    task_ends()
    assert files_in(scratch) == []


def test_tasks_that_start_at_once_share_one_whole_copy(
    staged: Staged, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan, storage, _ = staged
    copies: list[str] = []
    copyfile = shutil.copyfile

    def slowly(source: Path, target: Path) -> None:
        copies.append(source.name)
        time.sleep(0.2)
        copyfile(source, target)

    monkeypatch.setattr(shutil, "copyfile", slowly)
    with ThreadPoolExecutor(4) as tasks:
        folders = list(tasks.map(lambda _: cohort_folder(plan, storage), range(4)))
    assert len(set(folders)) == 1 and folders[0] != storage.cohort
    assert copies == list(NAMES)

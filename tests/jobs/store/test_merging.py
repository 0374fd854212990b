"""`gansfer merge`: what one run folder takes from another, and what it refuses."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from jobs.experiment.loading import save_experiment
from jobs.store import merging
from jobs.store.lock import locked
from tests.jobs.conftest import Asked
from tests.jobs.experiments import BASELINE, GAN, RATIO, SYNTHESISE, Trial

Gansfer = Callable[..., Asked]


@pytest.fixture
def two(tmp_path: Path) -> tuple[Trial, Trial]:
    """One folder with the cohort and a GAN, another with the cohort and a segmenter."""
    made = []
    for name, done in (("a", GAN), ("b", BASELINE)):
        trial = Trial.make(tmp_path / name)
        trial.pretend("prepare", done)
        save_experiment(trial.plan.experiment, trial.storage.experiment_file)
        made.append(trial)
    return made[0], made[1]


def done(trial: Trial) -> set[str]:
    ledger = trial.ledger()
    return {task.id for task in trial.plan.tasks if ledger.done(task)}


def test_what_only_the_other_has_done_is_taken(two: tuple[Trial, Trial], gansfer: Gansfer) -> None:
    into, source = two
    (source.folder(BASELINE) / "more").mkdir()
    (source.folder(BASELINE) / "more" / "picture.png").write_text("drawn")
    (source.folder(BASELINE) / ".claim-9").write_text("a lock")
    asked = gansfer("merge", into.storage.root, source.storage.root, "--dry-run")
    assert (asked.code, done(into)) == (0, {"prepare", GAN})
    assert f"would take  {BASELINE}\n" in asked.out
    asked = gansfer("merge", into.storage.root, source.storage.root)
    assert (asked.code, asked.err) == (0, "")
    assert asked.out.splitlines() == [
        f"took  {BASELINE}",
        f"1 tasks taken, 2 were done, 0 left, of 10; gansfer aggregate {into.storage.root} makes "
        "the report anew",
    ]
    assert done(into) == {"prepare", GAN, BASELINE} and done(source) == {"prepare", BASELINE}
    names = {path.name for path in into.folder(BASELINE).rglob("*")}
    assert names - {".claim-1"} == {"manifest.json", "product.txt", "more", "picture.png"}


def test_tasks_follow_what_they_were_made_of(two: tuple[Trial, Trial], gansfer: Gansfer) -> None:
    """The GAN is there already; slices of the same GAN are taken, and what was made of them."""
    into, source = two
    source.pretend(GAN, SYNTHESISE, RATIO)
    assert gansfer("merge", into.storage.root, source.storage.root).code == 0
    assert done(into) == {"prepare", GAN, SYNTHESISE, BASELINE, RATIO}


def test_other_results_of_one_task_are_a_conflict_and_nothing_is_merged(
    two: tuple[Trial, Trial], gansfer: Gansfer
) -> None:
    into, source = two
    source.pretend(GAN, content="another GAN")
    asked = gansfer("merge", into.storage.root, source.storage.root)
    assert (asked.code, asked.out) == (2, "")
    assert asked.err.startswith(
        f"error: {source.storage.root}: both folders have done {GAN}, with other results; nothing "
    )
    assert len(asked.err.splitlines()) == 1 and done(into) == {"prepare", GAN}


def test_what_is_no_whole_product_of_this_experiment_is_left(
    two: tuple[Trial, Trial], tmp_path: Path, gansfer: Gansfer
) -> None:
    into, source = two
    source.pretend(GAN, SYNTHESISE, RATIO)
    (source.folder(SYNTHESISE) / "product.txt").write_text("damaged")
    other = source.changed(segmenter={"epochs": 2})
    other.pretend(BASELINE)
    asked = gansfer("merge", into.storage.root, source.storage.root)
    assert asked.out.splitlines()[:3] == [
        f"left  {SYNTHESISE}: product.txt is gone, or not as it was written",
        f"left  {BASELINE}: was done with other settings",
        f"left  {RATIO}: was made of other products than are here",
    ]
    assert done(into) == {"prepare", GAN}


def test_a_merge_that_was_cut_off_leaves_nothing_that_looks_done(
    two: tuple[Trial, Trial], gansfer: Gansfer, monkeypatch: pytest.MonkeyPatch
) -> None:
    into, source = two
    copied = merging.shutil.copyfile

    def cut_off(path: Path, target: Path) -> None:
        if path.name == "manifest.json":
            raise KeyboardInterrupt
        copied(path, target)

    monkeypatch.setattr(merging.shutil, "copyfile", cut_off)
    with pytest.raises(KeyboardInterrupt):
        list(
            merging.take(
                merging.what_to_merge(into.plan, into.storage, source.storage),
                into.storage,
                source.storage,
            )
        )
    assert (into.folder(BASELINE) / "product.txt").exists(), "the manifest comes last"
    assert done(into) == {"prepare", GAN}
    monkeypatch.setattr(merging.shutil, "copyfile", copied)
    assert gansfer("merge", into.storage.root, source.storage.root).code == 0
    assert BASELINE in done(into)


def test_a_task_that_is_worked_on_is_not_written_over(
    two: tuple[Trial, Trial], gansfer: Gansfer
) -> None:
    into, source = two
    into.folder(BASELINE).mkdir(parents=True)
    with locked(into.storage.files(into.task(BASELINE)).lock):
        asked = gansfer("merge", into.storage.root, source.storage.root)
    assert asked.code == 2 and f"error: {BASELINE}: another works on it: " in asked.err
    assert not (into.folder(BASELINE) / "product.txt").exists()


def test_two_folders_are_wanted(two: tuple[Trial, Trial], gansfer: Gansfer) -> None:
    into, _ = two
    asked = gansfer("merge", into.storage.root, into.storage.root / ".." / "tiny")
    assert asked.err == f"error: {into.storage.root}: both are this folder; give two\n"
    asked = gansfer("merge", into.storage.root, into.config)
    assert asked.err == (
        f"error: {into.config}: is not a folder; give the run folders of an experiment\n"
    )

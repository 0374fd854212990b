"""Products are the truth: done, stale with its reason, or missing."""

from __future__ import annotations

import errno
import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.jobs.conftest import Asked
from tests.jobs.experiments import (
    BASELINE,
    COHORT_BASELINE,
    GAN,
    RATIO,
    SYNTHESISE,
    SYNTHETIC,
    Trial,
)


@pytest.fixture
def done(tmp_path: Path) -> Trial:
    """An experiment all of whose tasks are said to be done."""
    trial = Trial.make(tmp_path)
    trial.pretend(*(task.id for task in trial.plan.tasks))
    return trial


def states(trial: Trial) -> dict[str, str]:
    ledger = trial.ledger()
    return {task.id: ledger.finding(task).state for task in trial.plan.tasks}


def why(trial: Trial, task_id: str) -> str:
    return trial.ledger().finding(trial.task(task_id)).why


def test_nothing_there_is_missing_without_a_reason(tmp_path: Path) -> None:
    trial = Trial.make(tmp_path)
    assert set(states(trial).values()) == {"missing"}
    assert why(trial, GAN) == ""


def test_all_there_is_done(done: Trial) -> None:
    assert set(states(done).values()) == {"done"}


@pytest.mark.parametrize(("times", "state"), [(2, "done"), (99, "missing")])
def test_a_file_replaced_on_the_server_is_opened_anew(
    done: Trial, monkeypatch: pytest.MonkeyPatch, times: int, state: str
) -> None:
    refusals = iter(range(times))
    read_text = Path.read_text

    def stale_at_first(path: Path, *args: str, **kwargs: str) -> str:
        if next(refusals, None) is not None:
            raise OSError(errno.ESTALE, os.strerror(errno.ESTALE))
        return read_text(path, *args, **kwargs)

    ledger, prepare = done.ledger(), done.task("prepare")
    monkeypatch.setattr(Path, "read_text", stale_at_first)
    assert ledger.finding(prepare).state == state


def test_a_changed_setting_makes_exactly_its_dependents_stale(done: Trial) -> None:
    now = done.changed(gan={"phase_3": {"images": 40}})
    still = {task_id for task_id, state in states(now).items() if state == "done"}
    assert still == {"prepare", BASELINE, COHORT_BASELINE}
    assert set(states(now).values()) == {"done", "stale"}
    assert why(now, GAN) == "gan.phase_3.images was 24, is 40"
    assert why(now, SYNTHESISE) == f"needs {GAN}, which is stale"
    assert why(now, RATIO) == f"needs {SYNTHESISE}, which is stale"


def test_several_changed_settings_are_counted(done: Trial) -> None:
    now = done.changed(synthesis={"keep_percentile": 50, "intensity_sd": 3})
    assert why(now, SYNTHESISE) == "synthesis.intensity_sd was 2.0, is 3.0 (and 1 more)"


def test_a_setting_that_a_manifest_lacks_was_unset(done: Trial) -> None:
    manifest = done.storage.read_manifest(done.task(SYNTHESISE))
    assert manifest is not None
    del manifest["settings"]["synthesis"]["mask_margin_mm"]
    done.storage.write_manifest(done.task(SYNTHESISE), {**manifest, "fingerprint": "of before"})
    assert why(done, SYNTHESISE) == "synthesis.mask_margin_mm was unset, is 10.0"


def test_a_missing_product_is_named(done: Trial) -> None:
    (done.folder(GAN) / "product.txt").unlink()
    assert why(done, GAN) == "product.txt is gone"
    assert why(done, SYNTHESISE) == f"needs {GAN}, which is not done"
    assert states(done)[BASELINE] == "done"


def test_a_remade_input_is_named(done: Trial) -> None:
    done.pretend(GAN, content="remade")
    assert states(done)[GAN] == "done"
    assert why(done, SYNTHESISE) == f"{GAN} was remade or is gone"
    assert why(done, SYNTHETIC) == f"needs {SYNTHESISE}, which is not done"


def test_an_input_remade_with_the_same_content_changes_nothing(done: Trial) -> None:
    done.pretend(GAN)
    assert set(states(done).values()) == {"done"}


def test_a_damaged_manifest_is_none(done: Trial) -> None:
    done.storage.files(done.task(GAN)).manifest.write_text('{"task": "train')
    assert states(done)[GAN] == "missing"
    assert why(done, SYNTHESISE) == f"{GAN} was remade or is gone"


def test_the_report_is_stale_once_more_is_there(done: Trial) -> None:
    manifest = done.storage.files(done.task(SYNTHETIC)).manifest
    content = manifest.read_text()
    manifest.unlink()
    done.pretend("aggregate")
    assert states(done)["aggregate"] == "done"  # an incomplete report of all that there was
    manifest.write_text(content)
    assert why(done, "aggregate") == f"{SYNTHETIC} was remade or is gone"


def test_a_report_made_while_a_task_waited_for_its_input_is_stale_afterwards(done: Trial) -> None:
    """The same files are there again, but the report has left out what was stale meanwhile."""
    gan = done.storage.files(done.task(GAN)).manifest
    kept = gan.read_bytes()
    gan.unlink()
    assert done.ledger().finding(done.task(RATIO)).state == "stale"
    done.pretend("aggregate")
    assert done.ledger().done(done.task("aggregate"))
    gan.write_bytes(kept)
    assert done.ledger().done(done.task(RATIO))
    assert done.ledger().finding(done.task("aggregate")).state == "stale"
    done.pretend("aggregate")
    assert done.ledger().done(done.task("aggregate"))


def test_a_ledger_looks_once_until_told_to_forget(done: Trial) -> None:
    ledger, gan = done.ledger(), done.task(GAN)
    assert ledger.done(gan)
    done.storage.files(gan).manifest.unlink()
    assert ledger.done(gan)
    ledger.forget(gan)
    assert not ledger.done(gan)
    assert ledger.missing_needs(done.task(SYNTHESISE)) == [GAN]


def test_every_task_has_a_folder_of_its_own(done: Trial) -> None:
    folders = [done.storage.folder(task) for task in done.plan.tasks]
    for folder in folders:
        assert not any(
            folder in other.parents or folder == other for other in folders if other is not folder
        )


def test_the_plan_as_json_says_what_would_run_and_why(
    done: Trial, gansfer: Callable[..., Asked]
) -> None:
    now = done.changed(segmenter={"epochs": 2})
    asked = gansfer("plan", now.config, "--json")
    assert (asked.code, asked.err) == (0, "")
    rows = {row["task"]: row for row in json.loads(asked.out)}
    assert list(rows) == [task.id for task in now.plan.tasks]
    assert rows[BASELINE] == {
        "task": BASELINE,
        "state": "stale",
        "why": "segmenter.epochs was 1, is 2",
        "needs": ["prepare"],
        "folder": str(now.folder(BASELINE)),
    }
    assert rows[SYNTHESISE]["state"] == "done"


def test_the_plan_for_people_gives_the_reasons(done: Trial, gansfer: Callable[..., Asked]) -> None:
    asked = gansfer("plan", done.changed(segmenter={"epochs": 2}).config)
    assert f"stale   {BASELINE}: segmenter.epochs was 1, is 2" in asked.out
    assert "1 GANs, 3 segmenters" in asked.out

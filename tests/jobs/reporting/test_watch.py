from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from jobs.commands import local_cli
from jobs.experiment.model import Experiment
from jobs.experiment.plan import Plan, make_plan
from jobs.reporting import collect as aggregate
from jobs.store.storage import Storage


@pytest.fixture
def plan(tmp_path: Path) -> Plan:
    cohort = {"images": {"kind": "phantom", "labelled": 4}, "roi": {"voxel_mm": 2.0}}
    grid = {"folds": 2, "label_counts": [1], "ablation": None}
    made = {"name": "x", "storage": str(tmp_path), "cohort": cohort, "grid": grid}
    return make_plan(Experiment.model_validate(made))


def test_the_report_is_written_again_only_when_a_task_has_ended(
    plan: Plan, monkeypatch: pytest.MonkeyPatch
) -> None:
    storage = Storage(plan.experiment)
    written: list[int] = []
    looks: list[float] = []

    def write(plan: Plan, storage: Storage) -> Any:
        written.append(len(looks))
        return SimpleNamespace(complete=len(written) == 3, state="")

    def sleep(seconds: float) -> None:
        looks.append(seconds)
        if len(looks) in (2, 4):  # a task ends before the third and the fifth look
            task = plan.tasks[len(looks) // 2]
            storage.files(task).manifest.parent.mkdir(parents=True, exist_ok=True)
            storage.write_manifest(task, {"finished": f"at look {len(looks)}"})

    monkeypatch.setattr(aggregate, "write_report", write)
    monkeypatch.setattr(aggregate.time, "sleep", sleep)
    summaries = list(aggregate.watch_report(plan, storage, every_s=7.0))
    assert [one.complete for one in summaries] == [False, False, True]
    assert written == [0, 2, 4]
    assert set(looks) == {7.0}


def test_leaving_with_ctrl_c_tells_whether_it_was_complete(
    capsys: pytest.CaptureFixture[str],
) -> None:
    def summaries() -> Iterator[Any]:
        yield SimpleNamespace(complete=False, state="Incomplete: nothing yet.")
        raise KeyboardInterrupt

    assert local_cli._watched(summaries()) is False
    assert "Incomplete: nothing yet." in capsys.readouterr().out

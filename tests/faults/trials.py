"""One fault from beginning to end: a run under it, the same command again, and a verdict."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

from jobs.store.manifest import git_revision
from tests.faults.commands import Command, Ended
from tests.faults.comparing import contents, difference, done_again, manifests
from tests.faults.damage import DAMAGE, kept_files, products_and_readers
from tests.faults.disturbing import Away, Later, Moment, age_locks, leave_lock, real_disk
from tests.faults.drawing import Fault
from tests.jobs.experiments import Trial

Outcome = Literal["absorbed", "clear error", "traceback", "wrong", "lost"]
OUTCOMES: tuple[Outcome, ...] = ("absorbed", "clear error", "traceback", "wrong", "lost")
SETTINGS: dict[str, Any] = {
    "cohort": {"structures": ["putamen", "caudate"]},
    # As many updates as in other tests, each of a fifth of the segments.
    "segmenter": {"segments_per_subepoch": 8, "batch_segments": 2},
    "run": {"device": "cpu", "threads": 1, "checkpoint_every_s": 0.2},
}
_TRACEBACK = "Traceback (most recent call last)"
_CLEAR = re.compile(r"^(error: |failed  |stopped: )", re.MULTILINE)
_ABOUT = "reference.json"
_MOST_DELAY_S = 0.5
_COUNT = {"what": "count", "at": 1 << 60}  # of writes, and nothing else


@dataclass(frozen=True)
class Reference:
    """The experiment after a run that nobody disturbed.

    Attributes:
        trial: its folder.
        writes_by_task: how many writes each task made.
        seconds: how long the run took.
    """

    trial: Trial
    writes_by_task: dict[str, int]
    seconds: float

    @cached_property
    def contents(self) -> dict[str, str]:
        return contents(self.trial.storage.root)


@dataclass(frozen=True)
class Verdict:
    """How a fault ended, and why it is called so."""

    outcome: Outcome
    note: str = ""


def make_reference(folder: Path) -> Reference:
    """Run the experiment, and count every task's writes."""
    trial, started_s = Trial.make(folder, **SETTINGS), time.monotonic()
    paths = folder / "planted-paths"
    fault = {**_places(trial), **_COUNT, "paths": str(paths)}
    ended = Command(trial.config, folder / "said", fault).end()
    assert ended.code == 0, ended.said
    written = paths.read_text(errors="replace").splitlines()
    counts = {
        task.id: sum(path.startswith(f"{trial.folder(task.id)}/") for path in written)
        for task in trial.plan.tasks
    }
    seconds = time.monotonic() - started_s
    about = {"writes_by_task": counts, "seconds": seconds, "revision": git_revision()}
    (folder / _ABOUT).write_text(json.dumps(about))
    return Reference(trial, counts, seconds)


def find_reference(folder: Path) -> Reference | None:
    """What `make_reference` has left there with the same code; None: nothing, or by another."""
    path = folder / _ABOUT
    about = json.loads(path.read_text()) if path.exists() else {}
    if about.get("revision") != git_revision():
        return None
    return Reference(Trial.make(folder, **SETTINGS), about["writes_by_task"], about["seconds"])


def attempt(fault: Fault, reference: Reference, folder: Path) -> Verdict:
    """Try one fault in a new folder."""
    with real_disk(fault, folder) as disk:
        trial = reference.trial.copied(folder, **SETTINGS)
        damaged = _prepare(fault, trial, reference)
        before = manifests(trial, without=damaged)
        disk.shrink(fault)
        ended = _disturbed(fault, trial, _moment(fault, trial, reference))
        disk.grow()
        return judged(trial, reference, ended, before)


def _prepare(fault: Fault, trial: Trial, reference: Reference) -> tuple[str, ...]:
    """What lies there before the run under the fault; returns the tasks whose files are damaged."""
    draw = fault.draw
    if fault.kind.endswith(" in a product"):
        target = draw.choice(products_and_readers(trial))
        DAMAGE[fault.kind.removesuffix(" in a product")](
            trial.folder(target.task) / target.name, draw
        )
        trial.storage.files(trial.task(target.reader)).manifest.unlink()
        return (target.task, target.reader)
    for task_id in fault.todo:
        trial.undo(task_id)
    if "killed task" in fault.kind:
        _run(trial, fault.planted)
        files = kept_files(trial, fault.todo)
        if files:
            DAMAGE[fault.kind.removesuffix(" in what a killed task kept")](draw.choice(files), draw)
    if fault.kind == "lock of a dead host":
        leave_lock(trial, fault.todo[0], fault.facts["locked"], fault.facts["silent_s"])
    if fault.kind == "clock that jumps" and fault.facts["lock"]:
        leave_lock(trial, fault.todo[0], False, -86400)  # touched before the clock was set right
    return fault.todo


def _moment(fault: Fault, trial: Trial, reference: Reference) -> Moment:
    """When what is not planted comes: somewhere in the tasks that are to be done."""
    writes = sum(reference.writes_by_task[task_id] for task_id in fault.todo)
    counter = Path(_places(trial)["counter"])
    return Moment(counter, 1 + int(fault.after * writes), fault.draw.uniform(0, _MOST_DELAY_S))


def _disturbed(fault: Fault, trial: Trial, moment: Moment) -> list[Ended]:
    """The run under the fault, or both runs."""
    if fault.kind == "two runs at once":
        first = _begin(trial, _COUNT)
        while first.is_running() and not moment.has_come():
            time.sleep(0.02)
        second = Command(trial.config, trial.config.parent / "second")
        return [first.end(), second.end()]
    if fault.kind == "storage away for a while":
        away = Away(trial, moment, fault.facts["for_s"])
        ended = _begin(trial, _COUNT).end(away)
        away.give_back()
        return [ended]
    if "signal" in fault.facts and fault.planted is None:
        command = _begin(trial, _COUNT)
        return [command.end(Later(command, moment, fault.facts))]
    return [_run(trial, None if "killed task" in fault.kind else fault.planted)]


def judged(
    trial: Trial, reference: Reference, ended: list[Ended], before: dict[str, bytes]
) -> Verdict:
    """Weigh what became of a disturbed run, and run the same command again where it failed.

    Args:
        trial: the experiment as the run has left it.
        reference: what it is compared with.
        ended: how the run ended, or both.
        before: manifests of what was done and whole before.
    """
    said = "\n".join(one.said for one in ended)
    if any(one.hung for one in ended):
        return Verdict("lost", f"hung: {_last(said)}")
    shown = _traceback(trial, said)
    if shown:
        return Verdict("traceback", shown)
    bad = [one for one in ended if one.code != 0]
    for one in bad:
        if one.code > 0 and not _CLEAR.search(one.said):
            return Verdict("traceback", f"exit code {one.code} without a word: {_last(one.said)}")
    if not bad:
        return _final(trial, reference, before, "absorbed", "")
    note = " / ".join(f"exit code {one.code}: {_last(one.said)}" for one in bad)
    kept = before | manifests(trial)
    again = done_again(before, kept)
    age_locks(trial)
    last = _run(trial, None)
    shown = _traceback(trial, last.said)
    if shown:
        return Verdict("traceback", f"in the same command again: {shown}")
    if last.code != 0 or again:
        why = f"{again} was done again" if again else f"then exit code {last.code}: "
        return Verdict("lost", f"{note}; {why}{_last(last.said)}")
    return _final(trial, reference, kept, "clear error", note)


def _final(
    trial: Trial, reference: Reference, before: dict[str, bytes], outcome: Outcome, note: str
) -> Verdict:
    differs = difference(reference.contents, contents(trial.storage.root))
    if differs:
        return Verdict("wrong", f"{differs}; {note}")
    again = done_again(before, manifests(trial))
    return Verdict("lost", f"{again} was done again; {note}") if again else Verdict(outcome, note)


def _traceback(trial: Trial, said: str) -> str:
    """The last line of a traceback that the command has printed, or a task has logged."""
    texts = [said, *(log.read_text(errors="replace") for log in _logs(trial))]
    for text in texts:
        if _TRACEBACK in text:
            after = text.rpartition(_TRACEBACK)[2].splitlines()[1:]
            lines = [line for line in after if line and not line.startswith(" ")]
            return lines[0] if lines else _TRACEBACK
    return ""


def _logs(trial: Trial) -> Iterator[Path]:
    return trial.storage.root.rglob("task.log")


def _last(said: str) -> str:
    clear = [line for line in said.splitlines() if _CLEAR.match(line)]
    lines = clear or [line for line in said.splitlines() if line.strip()] or [""]
    return lines[0][:300]


def _places(trial: Trial) -> dict[str, str]:
    folder = trial.config.parent
    return {"root": str(folder / "runs"), "counter": str(folder / "planted-counter")}


def _begin(trial: Trial, planted: dict[str, Any] | None) -> Command:
    places = _places(trial)
    Path(places["counter"]).unlink(missing_ok=True)
    fault = None if planted is None else {**places, **planted}
    return Command(trial.config, trial.config.parent / "said", fault)


def _run(trial: Trial, planted: dict[str, Any] | None) -> Ended:
    return _begin(trial, planted).end()

"""What an experiment has left, and whether it is that of a run that nobody disturbed."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Collection, Mapping
from pathlib import Path

from tests.jobs.experiments import Trial

# What tells of a run and not of its results; the page tells how long tasks took.
_ABOUT_A_RUN = {"manifest.json", "manifest-withdrawn.json", "state.json", "task.log"}
_TIME = re.compile(rb"<dd>[\d.]+ (s|min|h)(?=<)")


def contents(root: Path) -> dict[str, str]:
    """SHA-256 of every file below a run's folder that holds results, or should not be there."""
    found = {}
    for path in sorted(root.rglob("*")):
        name = path.relative_to(root).as_posix()
        if not path.is_file() or path.name in _ABOUT_A_RUN or name == "experiment.yaml":
            continue
        if path.name.startswith((".claim", ".manifest-", ".state-", ".experiment-")):
            continue
        content = path.read_bytes()
        if path.name == "index.html":
            content = _TIME.sub(b"<dd>", content)
        found[name] = hashlib.sha256(content).hexdigest()
    return found


def difference(wanted: Mapping[str, str], found: Mapping[str, str]) -> str:
    """The first file that differs, is missing or is too many; empty where all are equal."""
    for name in sorted({*wanted, *found}):
        if wanted.get(name) != found.get(name):
            what = "is missing" if name not in found else "is left behind"
            return f"{name} {'differs' if name in wanted and name in found else what}"
    return ""


def manifests(trial: Trial, without: Collection[str] = ()) -> dict[str, bytes]:
    """The manifest of every task that is done, as it lies there: a task done again has another.

    A report that lists what is missing is to be made again.
    """
    ledger, found = trial.ledger(), {}
    for task in trial.plan.tasks:
        kept = ledger.manifest(task) or {}
        if task.id in without or not ledger.done(task) or kept.get("facts", {}).get("missing"):
            continue
        found[task.id] = trial.storage.files(task).manifest.read_bytes()
    return found


def done_again(before: Mapping[str, bytes], after: Mapping[str, bytes]) -> str:
    """The first task that was done and was done again all the same; empty: none."""
    return next((task for task, kept in before.items() if after.get(task) != kept), "")

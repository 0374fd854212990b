"""The record of job ids: which SLURM job was submitted for which task.

One JSON line before each sbatch (what will be submitted, under a job name that nobody else has) and
one after it (the job's id, or what sbatch said instead). A submission that was cut off between the
two is found again by the job's name. Ids are hints: whether a task is done is for its products to
say.

Each line carries the digest of what it says: an id with a flipped digit would be another job's. How
many lines there are stands in a file beside it: lines that are gone tell nothing themselves.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import secrets
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from gansfer.atomic import write_json
from gansfer.errors import UserError
from jobs.experiment.resources import StageName
from jobs.slurm.arrays import Array
from jobs.slurm.slurm_commands import me
from jobs.store.lock import locked

_DIGEST = "digest"
_GIVEN_UP = "given_up_lines"
# The start of a line that was cut while it was written, before sbatch was called.
_ANNOUNCEMENT = re.compile(r'\{"name": "[\w.-]+", "stage": ')
_LATER = ("job", "clusters", "answer", "given_up")  # what a second line may say


@dataclass(frozen=True)
class Submission:
    """One array, or one plain job, that was submitted or was about to be.

    Attributes:
        name: the job's name in SLURM; unique, so that it identifies the job without its id.
        stage: of all its tasks.
        tasks: their ids; element k of the array runs the k-th.
        fingerprints: theirs when they were submitted.
        submitted_at: when, in UTC.
        time_h: the time limit that was asked for.
        memory_gb: the memory.
        job: SLURM's id of the array; None when sbatch's answer was never written down.
        clusters: where it was submitted to, as `--clusters` takes it; empty: where we are.
        user: login name of who submitted it.
        answer: what sbatch said where it took the job and no id was to be found in that.
        given_up: its user has said that it is gone, where SLURM could not say so.
    """

    name: str
    stage: StageName
    tasks: tuple[str, ...]
    fingerprints: tuple[str, ...]
    submitted_at: str
    time_h: float
    memory_gb: float
    job: str | None = None
    clusters: str = ""
    user: str = ""
    answer: str = ""
    given_up: bool = False

    def element(self, index: int) -> str | None:
        """SLURM's id of one task: `123_4`, or `123` where the array has a single task."""
        if self.job is None:
            return None
        return f"{self.job}_{index}" if len(self.tasks) > 1 else self.job

    @property
    def shown(self) -> str:
        """For messages: the id and the cluster, or the name by which it can be looked for."""
        where = f" on cluster {self.clusters}" if self.clusters else ""
        return f"job {self.job or self.name}{where}"


class JobRecord:
    """The record of jobs in one experiment's submission folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.path = folder / "jobs.jsonl"
        self.count = folder / "jobs-lines.json"

    def load(self) -> list[Submission]:
        """Everything submitted so far, oldest first, without what `damaged_lines` stood for."""
        return self._read()[0]

    def damaged_lines(self) -> list[int]:
        """Numbers of the lines that are not as they were written, unless they were given up.

        What such a line said of a job is not known, so that the job may be queued all the same.
        Lines that are gone count as the last ones.
        """
        return self._read()[1]

    def give_up_damaged_lines(self) -> int:
        """Write down that no job of these lines is queued, as their user says; how many."""
        lines = self.damaged_lines()
        if lines:
            self._append({_GIVEN_UP: lines}, forget_lost=True)
        return len(lines)

    def _read(self) -> tuple[list[Submission], list[int]]:
        lines, n_written = self._lines(), self._n_written()
        found: dict[str, Submission] = {}
        damaged: list[int] = []
        for number, line in enumerate(lines, start=1):
            is_torn = _ANNOUNCEMENT.match(line) and not line.endswith("}")
            if is_torn and not number == len(lines) <= n_written:
                continue
            try:
                kept = _checked(line)
                if _GIVEN_UP in kept:
                    damaged = [one for one in damaged if one not in kept[_GIVEN_UP]]
                elif "tasks" in kept:
                    found[kept["name"]] = _announced(kept)
                else:
                    changes = {key: kept[key] for key in _LATER if key in kept}
                    found[kept["name"]] = replace(found[kept["name"]], **changes)
            except (ValueError, KeyError, TypeError, AttributeError):
                damaged.append(number)
        damaged += range(len(lines) + 1, n_written + 1)
        return list(found.values()), damaged

    def _lines(self) -> list[str]:
        try:
            text = self.path.read_text(encoding="utf-8", errors="replace")
        except (FileNotFoundError, NotADirectoryError):
            return []
        return [line for line in text.split("\n") if line]

    def _n_written(self) -> int:
        """How many lines there are at least; 0 where nobody has counted them."""
        try:
            kept = _checked(self.count.read_text(encoding="utf-8"))
            return int(kept["lines"])
        except (OSError, ValueError, KeyError, TypeError):
            return 0

    def announce(self, experiment: str, array: Array) -> Submission:
        """Write down what is about to be submitted, under a new name."""
        line = {
            "name": f"{experiment}.{array.name}.{secrets.token_hex(3)}",
            "stage": array.stage,
            "tasks": {task.id: task.fingerprint for task in array.tasks},
            "sent": datetime.now(UTC).isoformat(timespec="seconds"),
            "time_h": array.ask.time_h,
            "memory_gb": array.ask.memory_gb,
            "clusters": clusters_of(array.ask.sbatch),
            "user": me(),
        }
        self._append(line)
        return _announced(line)

    def confirm(self, submission: Submission, job: str, clusters: str = "") -> Submission:
        """Write down the id that SLURM gave, and on which cluster where it named one."""
        changes = {"job": job} | ({"clusters": clusters} if clusters else {})
        self._append({"name": submission.name, **changes})
        return replace(submission, **changes)  # type: ignore[arg-type]

    def keep_answer(self, submission: Submission, answer: str) -> None:
        """Write down that sbatch took it, and what it said in place of an id."""
        self._append({"name": submission.name, "answer": answer})

    def give_up(self, submission: Submission) -> None:
        """Write down that it is gone, as its user says."""
        self._append({"name": submission.name, "given_up": True})

    def log(self, element: str) -> Path:
        """Where a job's output goes (submitit's names, in a folder for each array)."""
        return self.folder / element.split("_")[0] / f"{element}_0_log.out"

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Let one process at a time submit this experiment.

        Raises:
            UserError: another one does.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        with locked(self.folder / ".lock") as other:
            if other is not None:
                raise UserError(
                    f"{self.folder}: another gansfer is submitting this experiment ({other}); "
                    "wait for it"
                )
            yield

    def _append(self, value: dict[str, Any], *, forget_lost: bool = False) -> None:
        n_before = len(self._lines())
        n_before = n_before if forget_lost else max(n_before, self._n_written())
        torn = self.path.exists() and not self.path.read_bytes().endswith(b"\n")
        with self.path.open("a", encoding="utf-8") as file:
            file.write(("\n" if torn else "") + json.dumps(_with_digest(value)) + "\n")
            file.flush()
            os.fsync(file.fileno())
        write_json(self.count, _with_digest({"lines": n_before + 1}))


def clusters_of(options: Mapping[str, str | int | bool]) -> str:
    """Where these sbatch options send a job, as `--clusters` takes it; empty: where we are."""
    return str(options.get("clusters", options.get("cluster", "")))


def _checked(line: str) -> dict[str, Any]:
    """What a line says; one of an earlier version has no digest.

    Raises:
        ValueError: it is not as it was written.
    """
    kept = json.loads(line)
    if not isinstance(kept, dict):
        raise ValueError("no JSON object")
    if kept.pop(_DIGEST, None) not in (None, _digest(kept)):
        raise ValueError("another digest")
    return kept


def _with_digest(value: Mapping[str, Any]) -> dict[str, Any]:
    return {**value, _DIGEST: _digest(value)}


def _digest(value: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(value).encode()).hexdigest()[:16]


def _announced(line: dict[str, Any]) -> Submission:
    tasks = line["tasks"]
    return Submission(
        line["name"],
        line["stage"],
        tuple(tasks),
        tuple(tasks.values()),
        line["sent"],
        line.get("time_h", 0.0),  # an older record does not say
        line.get("memory_gb", 0.0),
        clusters=line.get("clusters", ""),
        user=line.get("user", ""),
    )

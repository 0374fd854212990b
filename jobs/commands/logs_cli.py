"""`gansfer logs`: what tasks have printed, and with --follow what they go on to print."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated

import typer

from gansfer.errors import UserError
from jobs.commands.arguments import ConfigPath, Only, Settings
from jobs.experiment.plan import Task
from jobs.experiment.selection import tasks_chosen
from jobs.slurm.job_record import JobRecord
from jobs.slurm.submitted_jobs import SubmittedJobs, look_up
from jobs.store.opening import open_experiment
from jobs.store.storage import Storage

READ_EVERY_S = 1.0
ASK_EVERY_S = 30.0  # SLURM, for jobs that were submitted meanwhile
_ENDED = ("done", "failed", "blocked", "stopped")


def register(app: typer.Typer) -> None:
    """Add the command to the program."""
    app.command("logs")(logs_command)


def logs_command(
    config: ConfigPath,
    tasks: Annotated[
        list[str] | None,
        typer.Argument(
            help="parts of their names, such as train_gan/seed-0/fold-0 or fold-0/labels-01"
        ),
    ] = None,
    settings: Settings = None,
    only: Only = None,
    follow: Annotated[
        bool, typer.Option("--follow", "-f", help="go on until the tasks end; leave with Ctrl-C")
    ] = False,
    lines: Annotated[int, typer.Option(min=1, help="how many of the last lines")] = 200,
) -> None:
    """Print each task's own log, and what its last SLURM job has printed."""
    given = [*(tasks or ()), *(only or ())]
    if not given:
        raise UserError(
            "logs: which tasks? Give parts of their names, such as train_gan or fold-0/labels-01"
        )
    plan, storage = open_experiment(config, settings)
    chosen = tasks_chosen(plan, given)
    record = JobRecord(storage.submissions)
    follower = Follower(typer.echo, lines)
    submitted = look_up(record)
    asked_s = time.monotonic()
    follower.read(_logs(chosen, storage, record, submitted))
    if not follow:
        if not follower.found:
            which = chosen[0].id if len(chosen) == 1 else f"none of these {len(chosen)} tasks"
            raise UserError(f"{which}: has no log yet; it was not started")
        follower.end()
        return
    try:
        while not all(_has_ended(task, storage, submitted) for task in chosen):
            time.sleep(READ_EVERY_S)
            if time.monotonic() - asked_s >= ASK_EVERY_S:
                submitted, asked_s = look_up(record), time.monotonic()
            follower.read(_logs(chosen, storage, record, submitted))
        follower.read(_logs(chosen, storage, record, submitted))
    except KeyboardInterrupt:
        pass  # the way to leave
    follower.end()


class Follower:
    """Prints what is new in files: whole lines, under the file's name where that changes."""

    def __init__(self, echo: Callable[[str], object], last_lines: int) -> None:
        """Print with `echo`, of each file at first its last lines only."""
        self._echo = echo
        self._last_lines = last_lines
        self._read_to: dict[Path, int] = {}
        self._begun: dict[Path, bytes] = {}  # a line without an end yet
        self._shown: Path | None = None

    @property
    def found(self) -> bool:
        """There was a file."""
        return bool(self._read_to)

    def read(self, files: Sequence[Path]) -> None:
        """Print what was written since the last look; a file that is shorter by now is new."""
        for file in files:
            try:
                with file.open("rb") as stream:
                    start = self._read_to.get(file)
                    size = stream.seek(0, 2)
                    if start is not None and size < start:
                        start, self._begun[file] = 0, b""
                    stream.seek(start or 0)
                    content = self._begun.get(file, b"") + stream.read()
                    self._read_to[file] = stream.tell()
            except FileNotFoundError:
                continue  # not started yet
            *whole, self._begun[file] = content.split(b"\n")
            if start is None:
                self._head(file)
                whole = whole[-self._last_lines :]
            self._print(file, whole)

    def end(self) -> None:
        """Print the lines that never got an end."""
        for file, line in self._begun.items():
            self._print(file, [line] if line else [])
        self._begun.clear()

    def _print(self, file: Path, lines: Sequence[bytes]) -> None:
        if lines and self._shown != file:
            self._head(file)
        for line in lines:
            self._echo(line.decode("utf-8", errors="replace").rstrip("\r"))

    def _head(self, file: Path) -> None:
        self._shown = file
        self._echo(f"==> {file} <==")


def _logs(
    tasks: Sequence[Task], storage: Storage, record: JobRecord, submitted: SubmittedJobs
) -> list[Path]:
    files = []
    for task in tasks:
        files.append(storage.files(task).task_log)
        element = submitted.element(task.id)
        if element:
            files.append(record.log(element))
    return files


def _has_ended(task: Task, storage: Storage, submitted: SubmittedJobs) -> bool:
    """Nothing more is to come. What was killed without a word is still running for all we know."""
    if task.id in submitted.queued:
        return False
    return (storage.read_state(task) or {}).get("state") in _ENDED

"""Progress of a local run, or of one piece of work: bars on a terminal, plain lines in a log."""

from __future__ import annotations

import time
from collections.abc import Mapping

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

from jobs.commands.status_view import describe_progress
from jobs.experiment.plan import Task
from jobs.experiment.resources import STAGES
from jobs.worker.pool import LocalRun
from jobs.worker.run import DONE

_PLAIN_EVERY_S = 30.0


class Display:
    """Shows a `LocalRun` at each change; use it as a context manager."""

    def __init__(self, console: Console) -> None:
        self.console = console
        self._bars: dict[str, TaskID] = {}
        self._printed: set[str] = set()
        self._started: set[str] = set()
        self._said_at_s = time.monotonic()
        self._read_at_s: dict[str, float] = {}
        self._progress_of: dict[str, dict[str, object]] = {}
        self._progress = Progress(
            TextColumn("[bold]{task.description:<16}"),
            BarColumn(bar_width=30),
            TextColumn("{task.fields[tasks]:>9}"),
            TimeElapsedColumn(),
            TextColumn("{task.fields[note]}"),
            console=console,
        )

    def __enter__(self) -> Display:
        if self.console.is_terminal:
            self._progress.start()
        return self

    def __exit__(self, *error: object) -> None:
        if self.console.is_terminal:
            self._progress.stop()

    def update(self, run: LocalRun) -> None:
        """Show what has changed."""
        for task_id in run.running:
            self._look_at(run, task_id)
        if self.console.is_terminal:
            self._update_bars(run)
        else:
            self._print_lines(run)

    def _look_at(self, run: LocalRun, task_id: str) -> None:
        """Read a running task's heartbeat, at most every two seconds."""
        now = time.monotonic()
        if now - self._read_at_s.get(task_id, 0.0) < 2.0:
            return
        self._read_at_s[task_id] = now
        state = run.storage.read_state(run.plan.by_id[task_id]) or {}
        self._progress_of[task_id] = state.get("progress") or {}

    def _share(self, run: LocalRun, task: Task) -> float:
        if run.is_finished(task):
            return 1.0
        kept = self._progress_of.get(task.id, {})
        done, total = kept.get("done"), kept.get("total")
        if task.id not in run.running or not isinstance(done, int) or not isinstance(total, int):
            return 0.0
        return done / total if total else 0.0

    def _update_bars(self, run: LocalRun) -> None:
        for stage in STAGES:
            tasks = [task for task in run.tasks if task.stage == stage]
            if not tasks:
                continue
            finished = sum(run.is_finished(task) for task in tasks)
            running = [task.id for task in tasks if task.id in run.running]
            if stage not in self._bars:
                self._bars[stage] = self._progress.add_task(
                    stage, total=len(tasks), tasks="", note="", start=False
                )
            if running or finished:
                self._progress.start_task(self._bars[stage])
            if finished == len(tasks):
                self._progress.stop_task(self._bars[stage])
            self._progress.update(
                self._bars[stage],
                completed=sum(self._share(run, task) for task in tasks),
                tasks=f"{finished}/{len(tasks)}",
                note=self._note(running[0]) if running else "",
            )

    def _note(self, task_id: str) -> str:
        return describe_progress(self._progress_of.get(task_id))

    def _print_lines(self, run: LocalRun) -> None:
        for task_id in run.running:
            if task_id not in self._started:
                self._started.add(task_id)
                self.console.print(f"start   {task_id}", highlight=False, soft_wrap=True)
        for task_id, code in run.ended.items():
            if task_id in self._printed:
                continue
            self._printed.add(task_id)
            done = sum(run.is_finished(task) for task in run.tasks)
            word = "done   " if code == DONE else f"exit {code:<2}"
            self.console.print(
                f"{word} {task_id} ({done} of {len(run.tasks)} tasks done)",
                highlight=False,
                soft_wrap=True,
            )
        now = time.monotonic()
        if now - self._said_at_s >= _PLAIN_EVERY_S:
            self._said_at_s = now
            for task_id in run.running:
                self.console.print(
                    f"running {task_id}: {self._note(task_id) or 'starting'}",
                    highlight=False,
                    soft_wrap=True,
                )


class OneBar:
    """Shows one piece of work; a `gansfer.progress.Watch`, and a context manager."""

    def __init__(self, console: Console, what: str) -> None:
        self.console, self.what = console, what
        self._said_at_s = time.monotonic()
        self._progress = Progress(
            TextColumn("[bold]{task.description}"),
            BarColumn(bar_width=30),
            TimeElapsedColumn(),
            TextColumn("{task.fields[note]}"),
            console=console,
            transient=True,
        )
        self._bar = self._progress.add_task(what, total=None, note="")

    def __enter__(self) -> OneBar:
        if self.console.is_terminal:
            self._progress.start()
        else:
            self.console.print(self.what, highlight=False, soft_wrap=True)
        return self

    def __exit__(self, *error: object) -> None:
        if self.console.is_terminal:
            self._progress.stop()

    def report(self, done: int, total: int, unit: str, note: str = "") -> None:
        """Show how far it is; in a log now and then."""
        self._progress.update(self._bar, completed=done, total=total, note=note)
        now = time.monotonic()
        if not self.console.is_terminal and now - self._said_at_s >= _PLAIN_EVERY_S:
            self._said_at_s = now
            self.console.print(
                f"{self.what}: {done} of {total} {unit}, {note}", highlight=False, soft_wrap=True
            )

    def stopping(self) -> bool:
        """Ctrl-C ends it at once: there is nothing to save."""
        return False

    def record(self, values: Mapping[str, object]) -> None:
        """What it measures is shown when it is done."""

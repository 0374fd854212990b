"""The tables of `gansfer status` and `gansfer submit`, and what their costs rest on."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any, Literal

from rich import box
from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from gansfer.progress import duration
from jobs.checking.estimate import GpuHours, device_of, gpu_hours_of
from jobs.checking.measurement import Measurement, last_measurement
from jobs.experiment.model import Experiment
from jobs.experiment.plan import Plan
from jobs.slurm.arrays import Array
from jobs.slurm.status import ExperimentStatus
from jobs.slurm.verdict import STATES, TaskStatus
from jobs.store.storage import Storage

_MOST_SHOWN = 12
_COLOURS = {"done": "green", "running": "cyan", "blocked": "yellow", "failed": "red"}


def wide_console(*, stderr: bool = False) -> Console:
    """A console that does not squeeze its tables into 80 columns where nobody looks at them."""
    console = Console(stderr=stderr)
    return console if console.is_terminal else Console(stderr=stderr, width=160)


def measured_device(experiment: Experiment, storage: Storage) -> Measurement | None:
    """What `gansfer bench` measured last of the kind of device that trains, or None.

    A file that is none is told of on stderr.
    """
    measurement, notes = last_measurement(storage.machines, device_of(experiment))
    for note in notes:
        wide_console(stderr=True).print(f"note: {note}", highlight=False, soft_wrap=True)
    return measurement


def status_view(status: ExperimentStatus, plan: Plan, storage: Storage) -> RenderableType:
    """One table of all stages; under it what runs, what failed and why, and what is done badly."""
    told = {"nothing": "products and heartbeats"}.get(status.source, status.source)
    states = [state for state in STATES if state != "todo" or status.count("todo")]
    columns = ("stage", "labels", *states, "at", "left")
    table = _table(f"{storage.root} (from {told})", columns)
    of_task = {one.task: one for one in status.tasks}
    for stage, labels, tasks in plan.arrays():
        ones = [of_task[task.id] for task in tasks]
        table.add_row(
            stage,
            "" if labels is None else str(labels),
            *(_counted(ones, state) for state in states),
            _share(ones),
            _longest_left(ones),
        )
    table.add_section()
    table.add_row("all", "", *(_counted(status.tasks, state) for state in states), "", "")
    parts: list[RenderableType] = [table]
    unlisted = [one for one in status.tasks if one.state == "queued" and _is_unlisted(one)]
    parts += _lines(unlisted)
    for state in ("running", "failed", "blocked", "stale"):
        parts += _lines([one for one in status.tasks if one.state == state])
    parts += _lines([one for one in status.tasks if one.state == "done" and one.reason])
    return Group(*parts)


def submission_table(
    plan: Plan,
    arrays: Sequence[Array],
    queued: Collection[str],
    measurement: Measurement | None = None,
) -> Table:
    """What would be submitted, with what it asks for and what it costs."""
    total = _gpu_hours(plan, arrays, measurement)
    columns = ("stage", "labels", "jobs", "tasks", "queued", "each", "time", "GPU-hours", "at most")
    table = _table(f"{plan.experiment.name}: {total.shown}", columns)
    alike: dict[tuple[str, int | None, float, float], list[Array]] = {}
    for array in arrays:  # of all folds together
        key = (array.stage, array.labels, array.ask.time_h, array.ask.memory_gb)
        alike.setdefault(key, []).append(array)
    for (stage, labels, time_h, memory_gb), ones in alike.items():
        ask = ones[0].ask
        hours = _gpu_hours(plan, ones, measurement)
        gpus = f"{ask.gpus} GPU, " if ask.gpus else ""
        table.add_row(
            stage,
            "" if labels is None else str(labels),
            str(len(ones)),
            str(sum(len(array.tasks) for array in ones)),
            str(_n_queued(plan, stage, labels, queued) or ""),
            f"{gpus}{ask.cpus} CPU, {memory_gb:g} GB",
            f"{time_h:g} h" if time_h >= 1 else f"{time_h * 60:.0f} min",
            *(f"{one:,.1f}" if one else "" for one in (hours.expected, hours.at_most)),
        )
    return table


def _gpu_hours(plan: Plan, arrays: Sequence[Array], measurement: Measurement | None) -> GpuHours:
    of_each = (gpu_hours_of(plan, array.tasks, array.ask, measurement) for array in arrays)
    return sum(of_each, GpuHours())


def describe_progress(progress: dict[str, Any] | None) -> str:
    """A heartbeat's progress as words: `phase 1, 20 px: 1200/4000 images, 310/s, 2 min left`."""
    if not progress:
        return ""
    note = f"{progress['note']}: " if progress["note"] else ""
    left = f", {duration(progress['left_s'])} left" if progress["left_s"] is not None else ""
    done, total, unit = progress["done"], progress["total"], progress["unit"]
    return f"{note}{done:,}/{total:,} {unit}, {progress['per_s']:.4g}/s{left}"


def _table(title: str, columns: Sequence[str]) -> Table:
    table = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False)
    for column in columns:
        justify: Literal["left", "right"] = "left" if column in ("stage", "each") else "right"
        table.add_column(column, justify=justify, no_wrap=True)
    return table


def _n_queued(plan: Plan, stage: str, labels: int | None, queued: Collection[str]) -> int:
    """Of the stage; of one label count where one is given."""
    tasks = plan.of_stage(stage)
    return sum(task.id in queued for task in tasks if labels in (None, task.cell.labels))


def _counted(ones: Sequence[TaskStatus], state: str) -> Text:
    n = sum(one.state == state for one in ones)
    return Text(str(n) if n else "", style=_COLOURS.get(state, ""))


def _share(ones: Sequence[TaskStatus]) -> str:
    """How far the running tasks are, on average."""
    known = [one.progress for one in ones if one.state == "running" and one.progress]
    shares = [each["done"] / each["total"] for each in known if each["total"]]
    return f"{sum(shares) / len(shares):.0%}" if shares else ""


def _longest_left(ones: Sequence[TaskStatus]) -> str:
    left_s = [
        one.progress["left_s"]
        for one in ones
        if one.state == "running" and one.progress and one.progress["left_s"] is not None
    ]
    return duration(max(left_s)) if left_s else ""


def _is_unlisted(one: TaskStatus) -> bool:
    """SLURM lists no such job, and it may be somewhere all the same."""
    return "SLURM does not list" in one.reason


def _lines(ones: Sequence[TaskStatus]) -> list[Text]:
    lines = []
    for one in ones[:_MOST_SHOWN]:
        where = f" of {one.user}" if one.user else ""
        where += f" on {one.host}" if one.state == "running" and one.host else ""
        said = ", ".join(part for part in (describe_progress(one.progress), one.reason) if part)
        kind = f" ({one.kind})" if one.kind else ""
        line = Text.assemble((f"{one.state}{kind}", _COLOURS.get(one.state, "")), f" {one.task}")
        lines.append(line.append(f"{where}: {said}" if said else where))
        if one.state == "failed" and one.log:
            lines.append(Text(f"    {one.log}"))
    if len(ones) > _MOST_SHOWN:
        lines.append(Text(f"... and {len(ones) - _MOST_SHOWN} more {ones[0].state}"))
    return lines

"""`gansfer bench`: what was measured of a machine, and what the experiment takes there."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from jobs.checking.estimate import device_hours, device_of
from jobs.checking.measurement import Measurement
from jobs.checking.work import piece_name
from jobs.experiment.plan import Plan

# What a device is called, and what asks for it.
_DEVICE = {"gpu": ("GPU", "cuda"), "cpu_core": ("CPU core", "cpu")}


def benchmark_summary(plan: Plan, measurement: Measurement, path: Path) -> dict[str, Any]:
    """The measurement, and the experiment's hours at its rates, as plain numbers.

    Args:
        plan: the experiment's.
        measurement: of the device here.
        path: the file that it was written to.
    """
    hours = device_hours(plan.experiment, measurement)
    tasks = {stage: len(plan.of_stage(stage)) for stage in hours}
    return {
        "experiment": plan.experiment.name,
        "file": str(path),
        "measured": measurement.model_dump(mode="json"),
        "stages": {
            stage: {
                "tasks": tasks[stage],
                "device_hours_a_task": value,
                "device_hours": value * tasks[stage],
            }
            for stage, value in hours.items()
        },
        "device_hours": sum(value * tasks[stage] for stage, value in hours.items()),
        "device_asked_for": device_of(plan.experiment),
    }


def print_benchmark(summary: dict[str, Any], console: Console) -> None:
    """Show a summary as a table of steps, and what they come to."""
    measured = summary["measured"]
    threads = f"{measured['threads']} thread" + ("s" if measured["threads"] > 1 else "")
    where = f"{measured['name']} ({measured['host']}, {threads}, torch {measured['torch']})"
    table = Table(title=where, title_justify="left")
    for column in ("piece", "batch", "ms a step", "GFLOP/s", "timed"):
        table.add_column(column, justify="left" if column == "piece" else "right")
    for precision, rate in measured["matmul_gflop_per_s"].items():
        table.add_row(f"matrix product, {precision}", "", "", f"{rate:,.1f}", "")
    table.add_row("memory copy", "", "", f"{measured['copy_gb_per_s']:,.1f} GB/s", "")
    table.add_section()
    for piece in measured["pieces"]:
        rate = piece["flops_a_step"] / piece["seconds_a_step"] / 1e9
        table.add_row(
            piece_name(piece["kind"], piece["side_px"]),
            str(piece["batch"]),
            f"{piece['seconds_a_step'] * 1e3:,.2f}",
            f"{rate:,.1f}",
            str(piece["timed_steps"]),
        )
    console.print(table)
    lines = [
        f"{stage}: {_hours(row['device_hours_a_task'])} h a task, {row['tasks']} "
        f"task{'' if row['tasks'] == 1 else 's'}"
        for stage, row in summary["stages"].items()
    ]
    lines.append(
        f"{summary['experiment']}: {_hours(summary['device_hours'])} device-hours of all tasks' "
        f"networks; kept in {summary['file']}"
    )
    asked, measured_kind = summary["device_asked_for"], measured["device"]
    if measured_kind != asked:
        lines.append(
            f"describe and submit estimate for a {_DEVICE[asked][0]}, which the experiment asks "
            f"for; --set run.device={_DEVICE[measured_kind][1]} asks for a "
            f"{_DEVICE[measured_kind][0]}"
        )
    for line in lines:
        console.print(line, highlight=False, soft_wrap=True)


def _hours(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"

"""What several commands take."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from gansfer.errors import UserError
from jobs.store.opening import open_experiment

ConfigPath = Annotated[
    Path, typer.Argument(metavar="CONFIG", help="the experiment's YAML file, or its run folder")
]
INCOMPLETE = 3  # exit code: something is not done, or not in the report

AsJson = Annotated[bool, typer.Option("--json", help="print JSON, for scripts")]
Settings = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="KEY=VALUE",
        help="instead of the file's, such as gan.phase_2.images=48000; may be given several times",
    ),
]


def _beginnings(context: typer.Context) -> list[str]:
    """What --only may be, for a shell that completes it."""
    config = next((one for one in (context.params.get("config"), *context.args) if one), None)
    if config is None:
        return []
    try:
        plan, _ = open_experiment(Path(config), context.params.get("settings"))
    except UserError:
        return []  # a shell that completes has no place for it; the command will say it
    found = {"/".join(task.cell.parts[:depth]) for task in plan.tasks for depth in range(1, 6)}
    return sorted({*(task.stage for task in plan.tasks), *found} - {""})


Only = Annotated[
    list[str] | None,
    typer.Option(
        "--only",
        metavar="TASKS",
        help="tasks whose names have these parts, such as fold-2/labels-01; several times for more",
        autocompletion=_beginnings,
    ),
]

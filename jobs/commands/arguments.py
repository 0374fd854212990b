"""What several commands take, and how each opens the experiment that it is given."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from gansfer.errors import UserError
from jobs.experiment.loading import load_experiment
from jobs.experiment.model import NAME_PATTERN, Experiment
from jobs.experiment.plan import Plan, make_plan
from jobs.store.storage import EXPERIMENT_FILE, Storage

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


def read_experiment(config: Path, settings: Sequence[str] | None = None) -> Experiment:
    """The experiment of a file, or of a run folder wherever that lies by now.

    Args:
        config: the file, or the folder.
        settings: KEY=VALUE that stand in place of the file's.

    Raises:
        UserError: there is none, or a key or value in it is wrong.
    """
    if not config.is_dir():
        return load_experiment(config, settings or ())
    file = config / EXPERIMENT_FILE
    if not file.is_file():
        raise UserError(
            f"{config}: a folder without {EXPERIMENT_FILE}, so no experiment has run in it; give "
            "an experiment's YAML file, or its run folder"
        )
    experiment = load_experiment(file, settings or ())
    if any(re.match(r"(storage|name) *=", one) for one in settings or ()):
        return experiment
    return _where_it_lies(experiment, config)


def open_experiment(config: Path, settings: Sequence[str] | None = None) -> tuple[Plan, Storage]:
    """The plan of an experiment, and where its products are.

    Raises:
        UserError: the file cannot be read, or a key or value in it is wrong.
    """
    plan = make_plan(read_experiment(config, settings))
    return plan, Storage(plan.experiment)


def _where_it_lies(experiment: Experiment, folder: Path) -> Experiment:
    """The experiment with its products in `folder`, which was perhaps moved, copied or renamed."""
    root = Storage(experiment).root
    if root.is_dir() and root.samefile(folder):
        return experiment  # by the name that its jobs know
    place = folder.resolve()
    if not re.fullmatch(NAME_PATTERN, place.name):
        raise UserError(
            f"{folder}: the folder's name is not one of an experiment, expected letters, digits, "
            "dots, dashes and underscores; rename it"
        )
    return experiment.model_copy(update={"storage": str(place.parent), "name": place.name})

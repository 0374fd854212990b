"""What several commands take, and how each opens the experiment that it is given."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from jobs.experiment.loading import load_experiment
from jobs.experiment.plan import Plan, make_plan
from jobs.store.storage import EXPERIMENT_FILE, Storage

ConfigPath = Annotated[
    Path, typer.Argument(metavar="CONFIG", help="the experiment's YAML file, or its folder")
]
INCOMPLETE = 3  # exit code: something is not done, or not in the report

AsJson = Annotated[bool, typer.Option("--json", help="print JSON, for scripts")]


def experiment_file(config: Path) -> Path:
    """The YAML file itself, or the resolved one in an experiment's folder."""
    return config / EXPERIMENT_FILE if config.is_dir() else config


def open_experiment(config: Path) -> tuple[Plan, Storage]:
    """The plan of an experiment, and where its products are.

    Raises:
        UserError: the file cannot be read, or a key or value in it is wrong.
    """
    plan = make_plan(load_experiment(experiment_file(config)))
    return plan, Storage(plan.experiment)

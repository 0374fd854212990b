"""An experiment, its plan and its products, opened by what a user names: a file or a run folder."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from gansfer.errors import UserError
from jobs.experiment.loading import load_experiment
from jobs.experiment.model import NAME_PATTERN, Experiment
from jobs.experiment.plan import Plan, make_plan
from jobs.store.storage import EXPERIMENT_FILE, Storage


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

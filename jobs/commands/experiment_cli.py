"""The commands that look at an experiment before it runs, and at its cohort."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from jobs.commands.arguments import AsJson, ConfigPath, Settings
from jobs.commands.status_view import wide_console
from jobs.experiment.loading import experiment_schema
from jobs.experiment.plan import make_plan
from jobs.slurm.partitions import check_partitions
from jobs.store.opening import open_experiment, read_experiment
from jobs.store.storage import Storage


def register(app: typer.Typer) -> None:
    """Add the commands to the program."""
    app.command("validate")(validate_command)
    app.command("describe")(describe_command)
    app.command("schema")(schema_command)
    app.command("inspect")(inspect_command)


def validate_command(
    config: ConfigPath,
    workers: Annotated[
        int | None, typer.Option(min=1, help="processes that read files [default: one a core]")
    ] = None,
    settings: Settings = None,
) -> None:
    """Check the experiment, every file of its cohort and the machine; list all that is wrong."""
    from jobs.checking.validation import validate_experiment

    experiment = read_experiment(config, settings)
    for note in validate_experiment(experiment, workers):
        typer.echo(f"note: {note}")
    check_partitions(experiment)
    typer.echo(f"{config}: valid ({len(make_plan(experiment).tasks)} tasks)")


def describe_command(
    config: ConfigPath, settings: Settings = None, as_json: AsJson = False
) -> None:
    """Print parameters, operations an image, tasks a stage and estimated device-hours."""
    from jobs.checking.description import describe_experiment, print_description

    description = describe_experiment(open_experiment(config, settings)[0])
    if as_json:
        typer.echo(json.dumps(description, indent=1))
    else:
        print_description(description, Console())


def schema_command() -> None:
    """Print the JSON Schema of an experiment file, with which editors complete and check it."""
    typer.echo(json.dumps(experiment_schema(), indent=1))


def inspect_command(
    path: Annotated[
        Path,
        typer.Argument(
            metavar="PATH", help="a prepared cohort, its run folder, or the experiment's YAML file"
        ),
    ],
    out: Annotated[
        Path | None, typer.Option(help="folder for the contact sheets [default: the cohort's]")
    ] = None,
) -> None:
    """Print who is in a prepared cohort and what is unusual, and draw its contact sheets."""
    from jobs.checking.inspection import inspect_cohort

    cohort = Storage(read_experiment(path)).cohort if path.suffix in (".yaml", ".yml") else path
    for sheet in inspect_cohort(cohort, out, wide_console()):
        typer.echo(f"contact sheet: {sheet}")

"""The commands that look at an experiment before it runs, and at its cohort."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from gansfer.errors import UserError
from jobs.commands.arguments import AsJson, ConfigPath, Settings
from jobs.commands.display import OneBar
from jobs.commands.status_view import measured_device, wide_console
from jobs.experiment.loading import experiment_schema
from jobs.experiment.plan import make_plan
from jobs.slurm.partitions import check_partitions
from jobs.store.opening import open_experiment, read_experiment
from jobs.store.storage import Storage


def register(app: typer.Typer) -> None:
    """Add the commands to the program."""
    app.command("validate")(validate_command)
    app.command("describe")(describe_command)
    app.command("bench")(bench_command)
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

    plan, storage = open_experiment(config, settings)
    description = describe_experiment(plan, measured_device(plan.experiment, storage))
    if as_json:
        typer.echo(json.dumps(description, indent=1))
    else:
        print_description(description, Console())


def bench_command(
    config: ConfigPath,
    seconds: Annotated[
        float,
        typer.Option(
            min=0,
            max=86_400,
            help="of timing, about; more where three steps of each kind take longer",
        ),
    ] = 60.0,
    settings: Settings = None,
    as_json: AsJson = False,
) -> None:
    """Measure this machine at the experiment's steps, and tell what the experiment takes here.

    The measurement is kept in <storage>/machines, where describe and submit find it.
    """
    from jobs.checking.benchmark import measure_machine
    from jobs.checking.benchmark_view import benchmark_summary, print_benchmark

    plan, storage = open_experiment(config, settings)
    _make_folder(storage.machines)
    with OneBar(Console(stderr=True), f"measuring this machine for {plan.experiment.name}") as bar:
        measurement = measure_machine(plan.experiment, budget_s=seconds, watch=bar)
    summary = benchmark_summary(plan, measurement, measurement.write(storage.machines))
    if as_json:
        typer.echo(json.dumps(summary, indent=1))
    else:
        print_benchmark(summary, wide_console())


def _make_folder(folder: Path) -> None:
    """Before a minute is spent on what cannot be kept.

    Raises:
        UserError: it cannot be made.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except PermissionError:
        raise  # it says whose the folder is
    except OSError as error:
        raise UserError(
            f"{folder}: cannot be made ({error.strerror}); set storage to a folder that can be "
            "written"
        ) from None


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

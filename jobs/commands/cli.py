"""The command `gansfer`. A user's mistake ends as one line on stderr and exit code 2."""

from __future__ import annotations

import json
import logging
import os
import sys
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.table import Table

import gansfer
from gansfer.errors import UserError, not_permitted
from jobs.commands.arguments import INCOMPLETE, AsJson, ConfigPath, experiment_file, open_experiment
from jobs.commands.cluster_cli import register
from jobs.commands.display import Display
from jobs.commands.product_cli import register as register_products
from jobs.commands.status_view import wide_console
from jobs.commands.submitting import refuse_outdated
from jobs.experiment.loading import experiment_schema, load_experiment, save_experiment
from jobs.experiment.model import Experiment
from jobs.experiment.plan import Plan, make_plan
from jobs.experiment.resources import STAGES
from jobs.slurm.job_record import JobRecord
from jobs.slurm.submitted_jobs import look_up
from jobs.store.ledger import Ledger
from jobs.store.storage import Storage
from jobs.worker.pool import run_locally
from jobs.worker.run import DONE, MISTAKE, STOPPED

if TYPE_CHECKING:  # a login node has no pandas
    from gansfer.report.build import ReportSummary

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="GANsfer Learning: segment medical images with almost no labels, as a batch job.",
)
register(app)
register_products(app)
# What a login node may lack; pyproject.toml's extra `run` has all of them.
_SCIENTIFIC = {
    *("h5py", "jinja2", "matplotlib", "nibabel", "numpy", "pandas", "PIL", "safetensors", "scipy"),
    *("SimpleITK", "skimage", "sklearn", "threadpoolctl", "torch"),
}


def _print_version(asked: bool) -> None:
    if asked:
        typer.echo(f"gansfer {gansfer.__version__}")
        raise typer.Exit


@app.callback()
def options(
    version: Annotated[
        bool,
        typer.Option("--version", callback=_print_version, is_eager=True, help="print the version"),
    ] = False,
) -> None:
    """What stands before the command."""


@app.command()
def run(
    config: ConfigPath,
    workers: Annotated[
        int | None, typer.Option(min=1, help="tasks at a time [default: one a core]")
    ] = None,
    until: Annotated[
        str | None, typer.Option(help="stop after this stage, such as train_gan")
    ] = None,
) -> None:
    """Run the whole experiment on this machine; run again to go on after any stop."""
    from jobs.commands.validation import check_machine, check_packages, check_sources

    experiment = load_experiment(experiment_file(config))
    check_sources(experiment)
    check_packages(experiment)
    plan, storage = make_plan(experiment), Storage(experiment)
    chosen = plan if until is None else _until(plan, until)
    n_workers = workers or experiment.run.workers
    check_machine(experiment, n_workers, {task.stage for task in chosen.tasks})
    # Jobs in a queue read the file that is written here.
    refuse_outdated(plan, storage, look_up(JobRecord(storage.submissions)))
    _remember(experiment, storage)
    console = Console()
    with Display(console) as display:
        result = run_locally(chosen, storage, workers=n_workers, on_change=display.update)
    failures = {task: code for task, code in result.ended.items() if code not in (DONE, STOPPED)}
    for task_id, code in failures.items():
        task = plan.by_id[task_id]
        state = storage.read_state(task) or {}
        reason = state.get("reason") if state.get("state") in ("failed", "blocked") else None
        killed = f"its process was killed (signal {-code})" if code < 0 else f"exit code {code}"
        log = storage.files(task).task_log
        typer.echo(f"failed  {task_id}: {reason or killed}; see {log}", err=True)
    unfinished = [task.id for task in chosen.tasks if not result.is_finished(task)]
    n_saved = list(result.ended.values()).count(STOPPED)
    stopped = bool(unfinished) and (result.asked_to_stop or n_saved > 0)
    if stopped:
        tasks = "1 task" if n_saved == 1 else f"{n_saved} tasks"
        typer.echo(f"stopped: state of {tasks} saved; run the same command again to go on")
    prepared = all(result.is_finished(task) for task in plan.of_stage("prepare"))
    if until is None and not stopped and prepared:
        _print_results(console, storage, nothing_to_do=not result.ended)
    if failures:
        raise typer.Exit(MISTAKE if MISTAKE in failures.values() else 1)
    if stopped:
        raise typer.Exit(STOPPED)
    if unfinished:
        raise typer.Exit(INCOMPLETE)


@app.command("plan")
def show_plan(config: ConfigPath, as_json: AsJson = False) -> None:
    """Print the stages and tasks, what is done, and what would run and why. Needs no data."""
    plan, storage = open_experiment(config)
    ledger = Ledger(plan, storage, sources=True)
    if as_json:
        rows = [
            {
                "task": task.id,
                "state": ledger.finding(task).state,
                "why": ledger.finding(task).why,
                "needs": list(task.needs),
                "folder": str(storage.folder(task)),
            }
            for task in plan.tasks
        ]
        typer.echo(json.dumps(rows, indent=1))
        return
    console = Console()
    table = Table(title=f"{plan.experiment.name}: {len(plan.tasks)} tasks in {storage.root}")
    for column in ("stage", "labels", "tasks", "done", "stale", "to do", "needs"):
        table.add_column(column, justify="left" if column in ("stage", "needs") else "right")
    for stage, labels, tasks in plan.arrays():
        states = [ledger.finding(task).state for task in tasks]
        needs = {need.split("/")[0] for task in tasks for need in task.needs}
        table.add_row(
            stage,
            "" if labels is None else str(labels),
            str(len(tasks)),
            *(str(states.count(state)) for state in ("done", "stale", "missing")),
            ", ".join(one for one in STAGES if one in needs),
        )
    console.print(table)
    n_gans = len(plan.of_stage("train_gan"))
    console.print(f"{n_gans} GANs, {len(plan.of_stage('train_segmenter'))} segmenters")
    for task in plan.tasks:
        finding = ledger.finding(task)
        if finding.state == "stale":
            console.print(f"stale   {task.id}: {finding.why}", highlight=False, soft_wrap=True)


@app.command()
def validate(
    config: ConfigPath,
    workers: Annotated[
        int | None, typer.Option(min=1, help="processes that read files [default: one a core]")
    ] = None,
) -> None:
    """Check the experiment, every file of its cohort and the machine; list all that is wrong."""
    from jobs.commands.validation import validate_experiment

    experiment = load_experiment(experiment_file(config))
    for note in validate_experiment(experiment, workers):
        typer.echo(f"note: {note}")
    typer.echo(f"{config}: valid ({len(make_plan(experiment).tasks)} tasks)")


@app.command("inspect")
def inspect_command(
    path: Annotated[
        Path, typer.Argument(metavar="PATH", help="a prepared cohort, or its experiment's folder")
    ],
    out: Annotated[
        Path | None, typer.Option(help="folder for the contact sheets [default: the cohort's]")
    ] = None,
) -> None:
    """Print who is in a prepared cohort and what is unusual, and draw its contact sheets."""
    from jobs.commands.inspection import inspect_cohort

    for sheet in inspect_cohort(path, out, wide_console()):
        typer.echo(f"contact sheet: {sheet}")


@app.command()
def describe(config: ConfigPath, as_json: AsJson = False) -> None:
    """Print parameters, operations an image, tasks a stage and estimated device-hours."""
    from jobs.commands.description import describe_experiment, print_description

    description = describe_experiment(open_experiment(config)[0])
    if as_json:
        typer.echo(json.dumps(description, indent=1))
    else:
        print_description(description, Console())


@app.command()
def schema() -> None:
    """Print the JSON Schema of an experiment file, with which editors complete and check it."""
    typer.echo(json.dumps(experiment_schema(), indent=1))


@app.command()
def aggregate(
    config: ConfigPath,
    watch: Annotated[
        bool, typer.Option("--watch", help="refresh while tasks finish; leave with Ctrl-C")
    ] = False,
    every: Annotated[float, typer.Option(min=1, help="seconds between looks of --watch")] = 30.0,
) -> None:
    """Make the report from whatever is there; exit code 3 when something is missing."""
    from jobs.reporting.collect import watch_report, write_report

    plan, storage = open_experiment(config)
    if not storage.experiment_file.exists():  # jobs may be reading the one that is there
        _remember(plan.experiment, storage)
    if watch:
        complete = _watched(watch_report(plan, storage, every))
    else:
        complete = write_report(plan, storage).complete
    _print_results(Console(), storage, nothing_to_do=False)
    if not complete:
        raise typer.Exit(INCOMPLETE)


def _watched(summaries: Iterator[ReportSummary]) -> bool:
    """Print each report's first line; whether the last one was complete."""
    complete = False
    try:
        for summary in summaries:
            complete = summary.complete
            typer.echo(f"{datetime.now():%H:%M:%S}  {summary.state}")
    except KeyboardInterrupt:
        typer.echo("")
    return complete


def main() -> None:
    """Entry point: errors of the user's making become one line each."""
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s %(message)s")
    # Figures are files. A notebook's cells and terminals name a backend of their own, and what we
    # start inherits it: Matplotlib would refuse to load where that is not installed.
    os.environ["MPLBACKEND"] = "Agg"
    try:
        app()
    except UserError as error:
        for line in str(error).splitlines():
            typer.echo(f"error: {line}", err=True)
        sys.exit(MISTAKE)
    except PermissionError as error:
        typer.echo(f"error: {not_permitted(error)}", err=True)
        sys.exit(MISTAKE)
    except ModuleNotFoundError as error:
        package = (error.name or "").split(".")[0]
        if package not in _SCIENTIFIC:
            raise
        typer.echo(
            f"error: {package} is not installed here, and this command needs it; install it with "
            "pip install '.[run]', or run the command in the image",
            err=True,
        )
        sys.exit(MISTAKE)


def _remember(experiment: Experiment, storage: Storage) -> None:
    try:
        save_experiment(experiment, storage.experiment_file)
    except PermissionError:
        raise  # it says whose the folder is
    except OSError as error:
        raise UserError(
            f"{storage.root}: cannot be written ({error.strerror}); set storage to a folder that "
            "can be"
        ) from None


def _until(plan: Plan, stage: str) -> Plan:
    if stage not in STAGES:
        raise UserError(f"--until {stage}: no such stage; there are {', '.join(STAGES)}")
    wanted = STAGES[: STAGES.index(stage) + 1]
    return Plan(plan.experiment, tuple(task for task in plan.tasks if task.stage in wanted))


def _print_results(console: Console, storage: Storage, *, nothing_to_do: bool) -> None:
    from jobs.commands.results_table import results_table

    page = storage.report.page
    if not page.exists():
        return
    if nothing_to_do:
        console.print("nothing to do: every task is done")
    console.print(results_table(storage.report.table("dsc_by_ratio")))
    console.print(f"report: {page}", soft_wrap=True, highlight=False)


if __name__ == "__main__":
    main()

"""The commands that work on this machine: run, plan, aggregate."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.table import Table

from gansfer.errors import UserError, clear_storage_errors
from jobs.commands.arguments import INCOMPLETE, AsJson, ConfigPath, Only, Settings
from jobs.commands.display import Display
from jobs.commands.submitting import refuse_outdated
from jobs.experiment.loading import save_experiment
from jobs.experiment.model import Experiment
from jobs.experiment.plan import Plan
from jobs.experiment.resources import STAGES
from jobs.experiment.selection import tasks_chosen, with_needs
from jobs.slurm.job_record import JobRecord
from jobs.slurm.submitted_jobs import look_up
from jobs.store.ledger import Ledger
from jobs.store.merging import take, what_to_merge
from jobs.store.opening import open_experiment
from jobs.store.storage import Storage
from jobs.worker.pool import run_locally
from jobs.worker.run import BUSY, DONE, MISTAKE, STOPPED

if TYPE_CHECKING:  # a login node has no pandas
    from gansfer.report.build import ReportSummary

_INTERRUPTED = 130  # as shells say it
_SERVER_GONE = 255  # multiprocessing's, where nobody is left to say how a process ended


def register(app: typer.Typer) -> None:
    """Add the commands to the program."""
    app.command("run")(run_command)
    app.command("plan")(plan_command)
    app.command("aggregate")(aggregate_command)
    app.command("merge")(merge_command)


def run_command(
    config: ConfigPath,
    workers: Annotated[
        int | None, typer.Option(min=1, help="tasks at a time [default: one a core]")
    ] = None,
    until: Annotated[
        str | None, typer.Option(help="stop after this stage, such as train_gan")
    ] = None,
    settings: Settings = None,
    only: Only = None,
) -> None:
    """Run the experiment on this machine; run again to go on after any stop.

    With --only: these tasks, and what they need that is not done; the report is left as it is.
    """
    from jobs.checking.validation import check_machine, check_packages, check_sources

    with _interruptible():
        plan, storage = open_experiment(config, settings)
        experiment = plan.experiment
        check_sources(experiment)
        check_packages(experiment)
        chosen = _chosen(plan, storage, until, only)
        n_workers = workers or experiment.run.workers
        check_machine(experiment, n_workers, {plan.by_id[task].stage for task in chosen})
        with clear_storage_errors(storage.root):
            # Jobs in a queue read the file that is written here.
            refuse_outdated(plan, storage, look_up(JobRecord(storage.submissions)))
            _remember(experiment, storage)
            _run_here(plan, chosen, storage, n_workers, until, only)


@contextmanager
def _interruptible() -> Iterator[None]:
    """Tell of a Ctrl-C that comes while no task runs; else the pool lets tasks save first."""
    try:
        yield
    except KeyboardInterrupt:
        typer.echo("stopped: no task was running; run the same command again to go on", err=True)
        raise typer.Exit(_INTERRUPTED) from None


def _run_here(
    plan: Plan,
    chosen: Sequence[str],
    storage: Storage,
    n_workers: int | None,
    until: str | None,
    only: Sequence[str] | None,
) -> None:
    """Run the chosen tasks of a plan, tell what became of them, and leave with the exit code."""
    console = Console()
    with Display(console) as display:
        result = run_locally(
            plan, storage, only=chosen, workers=n_workers, on_change=display.update
        )
    failures = {task: code for task, code in result.ended.items() if code not in (DONE, STOPPED)}
    for task_id, code in failures.items():
        task = plan.by_id[task_id]
        state = storage.read_state(task) or {}
        reason = state.get("reason") if state.get("state") in ("failed", "blocked") else None
        files = storage.files(task)
        said = reason or _without_a_reason(code, files.state)
        typer.echo(f"failed  {task_id}: {said}; see {files.task_log}", err=True)
    unfinished = [task_id for task_id in chosen if not result.is_finished(plan.by_id[task_id])]
    n_saved = list(result.ended.values()).count(STOPPED)
    stopped = bool(unfinished) and (result.asked_to_stop or n_saved > 0)
    if stopped:
        tasks = "1 task" if n_saved == 1 else f"{n_saved} tasks"
        typer.echo(f"stopped: state of {tasks} saved; run the same command again to go on")
    prepared = all(result.is_finished(task) for task in plan.of_stage("prepare"))
    if until is None and not only and not stopped and prepared:
        _print_results(console, storage, nothing_to_do=not result.ended)
    elif only and not unfinished:
        if not result.ended:
            typer.echo("nothing to do: what --only names is done")
        else:
            typer.echo(f"report: as it was; gansfer aggregate {storage.root} makes it anew")
    if failures:
        raise typer.Exit(MISTAKE if MISTAKE in failures.values() else 1)
    if stopped:
        raise typer.Exit(STOPPED)
    if unfinished:
        raise typer.Exit(INCOMPLETE)


def _without_a_reason(code: int, state: Path) -> str:
    """How a task ended that has not said why in its state."""
    if code < 0:
        return f"its process was killed (signal {-code})"
    if code == BUSY:
        return "another process is working on it; run the same command again when that has ended"
    if code == MISTAKE:  # a user's mistake, which a task writes down where it can
        return f"{state} could not be read or written"
    return "its process was killed" if code == _SERVER_GONE else f"exit code {code}"


def plan_command(
    config: ConfigPath, settings: Settings = None, only: Only = None, as_json: AsJson = False
) -> None:
    """Print the stages and tasks, what is done, and what would run and why. Needs no data.

    With --only: these tasks, and what they need that is not done.
    """
    whole, storage = open_experiment(config, settings)
    ledger = Ledger(whole, storage, sources=True)
    chosen = with_needs(whole, tasks_chosen(whole, only or ()), ledger.done)
    plan = Plan(whole.experiment, tuple(task for task in whole.tasks if task.id in chosen))
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
    table = Table(title=f"{plan.experiment.name}: {_counted(plan, whole)} in {storage.root}")
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


def aggregate_command(
    config: ConfigPath,
    watch: Annotated[
        bool, typer.Option("--watch", help="refresh while tasks finish; leave with Ctrl-C")
    ] = False,
    every: Annotated[float, typer.Option(min=1, help="seconds between looks of --watch")] = 30.0,
    settings: Settings = None,
) -> None:
    """Make the report from whatever is there; exit code 3 when something is missing."""
    from jobs.reporting.collect import watch_report, write_report

    plan, storage = open_experiment(config, settings)
    if not storage.experiment_file.exists():  # jobs may be reading the one that is there
        _remember(plan.experiment, storage)
    if watch:
        complete = _watched(watch_report(plan, storage, every))
    else:
        complete = write_report(plan, storage).complete
    _print_results(Console(), storage, nothing_to_do=False)
    if not complete:
        raise typer.Exit(INCOMPLETE)


def merge_command(
    into: Annotated[Path, typer.Argument(metavar="INTO", help="the run folder that takes")],
    source: Annotated[Path, typer.Argument(metavar="FROM", help="the run folder that gives")],
    dry_run: Annotated[bool, typer.Option("--dry-run", help="tell, and copy nothing")] = False,
) -> None:
    """Take what another run folder has done of the same experiment; a difference is refused."""
    for folder in (into, source):
        if not folder.is_dir():
            raise UserError(f"{folder}: is not a folder; give the run folders of an experiment")
    (plan, storage), (_, other) = open_experiment(into), open_experiment(source)
    merge = what_to_merge(plan, storage, other)
    for task in merge.taken if dry_run else take(merge, storage, other):
        typer.echo(f"{'would take' if dry_run else 'took'}  {task.id}")
    for task_id, why in merge.left.items():
        typer.echo(f"left  {task_id}: {why}")
    n = len(merge.taken)
    typer.echo(
        f"{n} tasks taken, {merge.there} were done, {len(merge.left)} left, of {len(plan.tasks)}"
        + (f"; gansfer aggregate {storage.root} makes the report anew" if n and not dry_run else "")
    )


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


def _counted(plan: Plan, whole: Plan) -> str:
    n, n_whole = len(plan.tasks), len(whole.tasks)
    return f"{n} tasks" if n == n_whole else f"{n} of {n_whole} tasks"


def _chosen(
    plan: Plan, storage: Storage, until: str | None, only: Sequence[str] | None
) -> list[str]:
    """Ids of the tasks to run, in the plan's order; done ones may be among them."""
    if until is not None and until not in STAGES:
        raise UserError(f"--until {until}: no such stage; there are {', '.join(STAGES)}")
    last = STAGES[-1] if until is None else until
    wanted = STAGES[: [*STAGES].index(last) + 1]
    tasks = tuple(task for task in tasks_chosen(plan, only or ()) if task.stage in wanted)
    if not tasks:
        raise UserError(f"--until {until}: what --only names comes later; leave one of them out")
    if not only:
        return [task.id for task in tasks]
    chosen = with_needs(plan, tasks, Ledger(plan, storage, sources=True).done)
    return [task.id for task in plan.tasks if task.id in chosen]


def _print_results(console: Console, storage: Storage, *, nothing_to_do: bool) -> None:
    from jobs.commands.results_table import results_table

    page = storage.report.page
    if not page.exists():
        return
    if nothing_to_do:
        console.print("nothing to do: every task is done")
    console.print(results_table(storage.report.table("dsc_by_ratio")))
    console.print(f"report: {page}", soft_wrap=True, highlight=False)

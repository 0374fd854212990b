"""The commands for a cluster: submit, status, retry, cancel. They load without torch."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Collection, Sequence
from typing import Annotated

import typer
from rich.live import Live

from gansfer.errors import UserError
from jobs.commands.arguments import INCOMPLETE, AsJson, ConfigPath, Only, Settings
from jobs.commands.status_view import status_view, wide_console
from jobs.commands.submitting import (
    confirm_and_submit,
    jobs_off_the_record,
    look_up_queue,
    look_up_to_submit,
    not_done,
    print_scripts,
    refuse_outdated,
)
from jobs.experiment.plan import Plan
from jobs.experiment.selection import names_chosen, tasks_chosen, with_needs
from jobs.slurm.arrays import Scale
from jobs.slurm.cancelling import cancel_jobs
from jobs.slurm.job_record import JobRecord
from jobs.slurm.status import ExperimentStatus, experiment_status
from jobs.slurm.submitted_jobs import SubmittedJobs, look_up
from jobs.store.opening import open_experiment
from jobs.store.storage import Storage

Yes = Annotated[bool, typer.Option("--yes", "-y", help="do not ask")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="print the sbatch scripts, submit nothing")]
WATCH_EVERY_S = 30.0


def register(app: typer.Typer) -> None:
    """Add the cluster's commands to the program's."""
    app.command("submit")(submit_command)
    app.command("status")(status_command)
    app.command("retry")(retry_command)
    app.command("cancel")(cancel_command)


def submit_command(
    config: ConfigPath,
    settings: Settings = None,
    only: Only = None,
    yes: Yes = False,
    dry_run: DryRun = False,
) -> None:
    """Submit what is not done and not queued. Run it again at any time: nothing doubles.

    With --only: these tasks, and what they need that is not done; the report is left as it is.
    """
    plan, storage = open_experiment(config, settings)
    record = JobRecord(storage.submissions)
    if dry_run:
        submitted = look_up_queue(record)
        refuse_outdated(plan, storage, submitted)
        wanted = not_done(plan, storage, only or ()) - set(submitted.queued)
        print_scripts(plan, storage, submitted, wanted, Scale(), report=not only)
        return
    with record.locked():
        submitted = look_up_to_submit(plan, storage)
        wanted = not_done(plan, storage, only or ()) - set(submitted.queued)
        confirm_and_submit(plan, storage, submitted, wanted, Scale(), yes=yes, report=not only)


def retry_command(
    config: ConfigPath,
    settings: Settings = None,
    only: Only = None,
    failed: Annotated[
        bool, typer.Option("--failed", help="every failed task and what it blocked [the default]")
    ] = False,
    task: Annotated[
        list[str] | None, typer.Option("--task", help="this task; may be given several times")
    ] = None,
    time_factor: Annotated[
        str,
        typer.Option(
            "--time", metavar="xFACTOR", help="times the last attempt's time limit, such as x2"
        ),
    ] = "x1",
    memory_factor: Annotated[
        str, typer.Option("--mem", metavar="xFACTOR", help="times its memory, such as x2")
    ] = "x1",
    yes: Yes = False,
    dry_run: DryRun = False,
) -> None:
    """Submit failed tasks again, and those that they blocked; what waits for them waits on.

    With --only: those among these tasks and what they need; the report is left as it is.
    """
    if task and (failed or only):
        raise UserError(f"{'--failed' if failed else '--only'} and --task: give one of them")
    times, memory = _factor("--time", time_factor), _factor("--mem", memory_factor)
    plan, storage = open_experiment(config, settings)
    with JobRecord(storage.submissions).locked():
        submitted = look_up_to_submit(plan, storage)
        states = {t.task: t.state for t in experiment_status(plan, storage, submitted).tasks}
        if task:
            _check_tasks(plan, task)
            done = [one for one in task if states[one] in ("done", "queued", "running")]
            if done:
                raise UserError(f"--task {done[0]}: it is {states[done[0]]}; nothing to retry")
            wanted = set(task)
            again = wanted
        else:
            again = {one for one, state in states.items() if state == "failed"}
            wanted = again | {one for one, state in states.items() if state == "blocked"}
            if only:
                wanted &= with_needs(
                    plan, tasks_chosen(plan, only), lambda need: states[need.id] == "done"
                )
                again &= wanted
        scale = Scale(frozenset(again), times, memory, submitted.hours_and_gb(plan))
        if dry_run:
            print_scripts(plan, storage, submitted, wanted, scale, report=not only)
        else:
            confirm_and_submit(plan, storage, submitted, wanted, scale, yes=yes, report=not only)


def status_command(
    config: ConfigPath,
    settings: Settings = None,
    only: Only = None,
    as_json: AsJson = False,
    watch: Annotated[
        bool, typer.Option("--watch", help="again every 30 s, until all has ended")
    ] = False,
) -> None:
    """Print how every stage stands and why tasks failed; exit code 3 until all is done."""
    plan, storage = open_experiment(config, settings)
    record = JobRecord(storage.submissions)
    shown = Plan(plan.experiment, tasks_chosen(plan, only or ()))

    def look() -> ExperimentStatus:
        return experiment_status(plan, storage, look_up(record)).of(shown.by_id)

    found = look()
    if as_json:
        typer.echo(json.dumps(found.as_json(), indent=1))
    else:
        console = wide_console()
        if not watch or not console.is_terminal:
            console.print(status_view(found, shown, storage))
        else:
            with Live(
                status_view(found, shown, storage), console=console, auto_refresh=False
            ) as live:
                while found.count("running") or found.count("queued"):
                    time.sleep(WATCH_EVERY_S)
                    found = look()
                    live.update(status_view(found, shown, storage), refresh=True)
    if found.count("done") < len(found.tasks):
        raise typer.Exit(INCOMPLETE)


def cancel_command(
    config: ConfigPath,
    tasks: Annotated[
        list[str] | None,
        typer.Argument(help="a stage, or parts of tasks' names, such as fold-2/labels-01"),
    ] = None,
    settings: Settings = None,
    only: Only = None,
    yes: Yes = False,
) -> None:
    """End this experiment's queued and running jobs, and nobody else's."""
    plan, storage = open_experiment(config, settings)
    given = [*(tasks or ()), *(only or ())]
    record = JobRecord(storage.submissions)
    n_jobs = len(_to_cancel(look_up_queue(record), plan, storage, given))
    n_damaged = len(record.damaged_lines()) if not given else 0
    if not n_jobs and not n_damaged:
        typer.echo(
            f"nothing to cancel: no job of {', '.join(given) or 'this experiment'} is queued or "
            f"running, in {storage.root}"
        )
        return
    strangers = jobs_off_the_record(record, plan) if n_damaged else []
    if strangers:
        raise UserError(
            f"{', '.join(strangers)}: not on record, of which a line is damaged; end it with "
            "scancel, then cancel again"
        )
    if not yes:
        lines = f" and give up {n_damaged} damaged lines of their record" if n_damaged else ""
        typer.confirm(f"cancel {n_jobs} jobs of {storage.root}{lines}?", abort=True)
    with record.locked():  # asked again: what was submitted meanwhile is to end too
        submitted = look_up_queue(record)
        n_jobs = cancel_jobs(record, submitted, _to_cancel(submitted, plan, storage, given))
        if n_damaged:
            typer.echo(f"gave up {record.give_up_damaged_lines()} damaged lines of {record.path}")
    typer.echo(f"cancelled {n_jobs} jobs; gansfer submit starts them again")


def _to_cancel(
    submitted: SubmittedJobs, plan: Plan, storage: Storage, given: Sequence[str]
) -> list[str]:
    """Of the tasks asked for, or of all, those whose jobs wait, run, or may; last stage first."""
    done = plan.by_id.keys() - not_done(plan, storage)
    live = submitted.to_cancel(submitted.lost_sight_of(done))
    if not given:
        return live
    # By the record as well: jobs of earlier settings are in no plan any more.
    chosen = names_chosen([*submitted.last, *plan.by_id], given)
    return [task_id for task_id in live if task_id in chosen]


def _check_tasks(plan: Plan, task_ids: Collection[str]) -> None:
    for task_id in task_ids:
        if task_id not in plan.by_id:
            near = [known for known in plan.by_id if known.startswith(task_id)][:3]
            hint = f"did you mean {', '.join(near)}?" if near else "gansfer plan --json lists them"
            raise UserError(f"{task_id}: no such task in this experiment; {hint}")


def _factor(option: str, text: str) -> float:
    found = re.fullmatch(r"x(\d+(?:\.\d+)?)", text)
    if found is None or float(found[1]) <= 0:
        raise UserError(f"{option} {text}: expected a factor, such as x2")
    return float(found[1])

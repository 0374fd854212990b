"""The commands for a cluster: submit, status, logs, retry, cancel. They load without torch."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Collection
from typing import Annotated

import typer
from rich.live import Live

from gansfer.errors import UserError
from jobs.commands.arguments import INCOMPLETE, AsJson, ConfigPath, Settings, open_experiment
from jobs.commands.status_view import status_view, wide_console
from jobs.commands.submitting import (
    confirm_and_submit,
    look_up_queue,
    look_up_to_submit,
    not_done,
    print_scripts,
    refuse_outdated,
)
from jobs.experiment.plan import Plan
from jobs.experiment.resources import STAGES
from jobs.slurm.arrays import Scale
from jobs.slurm.cancelling import cancel_jobs
from jobs.slurm.job_record import JobRecord
from jobs.slurm.status import experiment_status
from jobs.slurm.submitted_jobs import SubmittedJobs, look_up
from jobs.store.storage import Storage

Yes = Annotated[bool, typer.Option("--yes", "-y", help="do not ask")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="print the sbatch scripts, submit nothing")]
WATCH_EVERY_S = 30.0


def register(app: typer.Typer) -> None:
    """Add the cluster's commands to the program's."""
    app.command("submit")(submit_command)
    app.command("status")(status_command)
    app.command("logs")(logs_command)
    app.command("retry")(retry_command)
    app.command("cancel")(cancel_command)


def submit_command(
    config: ConfigPath, settings: Settings = None, yes: Yes = False, dry_run: DryRun = False
) -> None:
    """Submit what is not done and not queued. Run it again at any time: nothing doubles."""
    plan, storage = open_experiment(config, settings)
    record = JobRecord(storage.submissions)
    if dry_run:
        submitted = look_up_queue(record)
        refuse_outdated(plan, storage, submitted)
        wanted = not_done(plan, storage) - set(submitted.queued)
        print_scripts(plan, storage, submitted, wanted, Scale())
        return
    with record.locked():
        submitted = look_up_to_submit(plan, storage)
        wanted = not_done(plan, storage) - set(submitted.queued)
        confirm_and_submit(plan, storage, submitted, wanted, Scale(), yes=yes)


def retry_command(
    config: ConfigPath,
    settings: Settings = None,
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
    """Submit failed tasks again, and those that they blocked; what waits for them waits on."""
    if failed and task:
        raise UserError("--failed and --task: give one of them")
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
        scale = Scale(frozenset(again), times, memory, submitted.hours_and_gb(plan))
        if dry_run:
            print_scripts(plan, storage, submitted, wanted, scale)
        else:
            confirm_and_submit(plan, storage, submitted, wanted, scale, yes=yes)


def status_command(
    config: ConfigPath,
    settings: Settings = None,
    as_json: AsJson = False,
    watch: Annotated[
        bool, typer.Option("--watch", help="again every 30 s, until all has ended")
    ] = False,
) -> None:
    """Print how every stage stands and why tasks failed; exit code 3 until all is done."""
    plan, storage = open_experiment(config, settings)
    record = JobRecord(storage.submissions)
    found = experiment_status(plan, storage, look_up(record))
    if as_json:
        typer.echo(json.dumps(found.as_json(), indent=1))
    else:
        console = wide_console()
        if not watch or not console.is_terminal:
            console.print(status_view(found, plan, storage))
        else:
            with Live(
                status_view(found, plan, storage), console=console, auto_refresh=False
            ) as live:
                while found.count("running") or found.count("queued"):
                    time.sleep(WATCH_EVERY_S)
                    found = experiment_status(plan, storage, look_up(record))
                    live.update(status_view(found, plan, storage), refresh=True)
    if found.count("done") < len(found.tasks):
        raise typer.Exit(INCOMPLETE)


def logs_command(
    config: ConfigPath,
    task: Annotated[str, typer.Argument(help="such as train_gan/seed-0/fold-0/labels-01/group-0")],
    settings: Settings = None,
    lines: Annotated[int, typer.Option(min=1, help="how many of the last lines")] = 200,
) -> None:
    """Print a task's own log, and what its last SLURM job has printed."""
    plan, storage = open_experiment(config, settings)
    _check_tasks(plan, [task])
    record = JobRecord(storage.submissions)
    element = look_up(record).element(task)
    files = [storage.files(plan.by_id[task]).task_log]
    if element:
        files.append(record.log(element))
    there = [file for file in files if file.exists()]
    if not there:
        raise UserError(f"{task}: has no log yet; it was not started")
    for file in there:
        typer.echo(f"==> {file} <==")
        for line in file.read_text(encoding="utf-8", errors="replace").splitlines()[-lines:]:
            typer.echo(line)


def cancel_command(
    config: ConfigPath,
    stage: Annotated[str | None, typer.Argument(help="only this stage, such as train_gan")] = None,
    settings: Settings = None,
    yes: Yes = False,
) -> None:
    """End this experiment's queued and running jobs, and nobody else's."""
    plan, storage = open_experiment(config, settings)
    if stage is not None and stage not in STAGES:
        raise UserError(f"{stage}: no such stage; there are {', '.join(STAGES)}")
    record = JobRecord(storage.submissions)
    n_jobs = len(_to_cancel(look_up_queue(record), plan, storage, stage))
    if not n_jobs:
        typer.echo(
            f"nothing to cancel: no job of this experiment is queued or running, in {storage.root}"
        )
        return
    if not yes:
        typer.confirm(f"cancel {n_jobs} jobs of {storage.root}?", abort=True)
    with record.locked():  # asked again: what was submitted meanwhile is to end too
        submitted = look_up_queue(record)
        n_jobs = cancel_jobs(record, submitted, _to_cancel(submitted, plan, storage, stage))
    typer.echo(f"cancelled {n_jobs} jobs; gansfer submit starts them again")


def _to_cancel(
    submitted: SubmittedJobs, plan: Plan, storage: Storage, stage: str | None
) -> list[str]:
    """Tasks whose jobs wait, run, or may do so; the last stage first."""
    done = plan.by_id.keys() - not_done(plan, storage)
    return submitted.to_cancel(stage, submitted.lost_sight_of(done))


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

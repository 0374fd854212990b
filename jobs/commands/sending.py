"""What `submit` and `retry` share: look up what is queued, show what would go, ask, send, tell."""

from __future__ import annotations

import shutil
from collections.abc import Collection

import typer

from gansfer.errors import UserError
from jobs.commands.status_view import submission_table, wide_console
from jobs.commands.validation import check_packages, check_sources
from jobs.experiment.loading import save_experiment
from jobs.experiment.plan import Plan
from jobs.slurm import submission as submit
from jobs.slurm.arrays import Scale, arrays_to_send, jobs_needed
from jobs.slurm.job_ids import Submissions
from jobs.slurm.status import Submitted, look_up
from jobs.store.ledger import Ledger
from jobs.store.storage import Storage


def look_up_to_send(plan: Plan, storage: Storage) -> Submitted:
    """What is queued already, with today's settings; without that knowledge nothing is sent.

    What a submission that was cut off has left unfinished is finished first.
    """
    if shutil.which("sbatch") is None or shutil.which("srun") is None:
        raise UserError(
            "sbatch or srun is not on PATH; submit from a login node of the cluster, or use "
            "gansfer run on this machine"
        )
    submissions = Submissions(storage.submissions)
    submitted = look_up_queue(submissions)
    for sent in submissions.load():
        found = submitted.last.get(sent.tasks[0])
        if sent.job is None and found and found[0].name == sent.name and found[0].job:
            submit.finish_cut_off(found[0], storage)
            submissions.confirm(sent, found[0].job)
    refuse_outdated(plan, storage, submitted)
    # A retry may have been killed between sending an array and telling those that need it.
    submit.let_wait_for(set(submitted.queued.values()), plan, submitted.queued)
    return submitted


def look_up_queue(submissions: Submissions) -> Submitted:
    """What is queued already.

    Raises:
        UserError: something was sent, and squeue does not say what became of it.
    """
    submitted = look_up(submissions)
    if submitted.answer.source == "nothing" and submissions.load():
        raise UserError(
            "squeue does not answer, so what is queued already is not known; try again when it does"
        )
    return submitted


def refuse_outdated(plan: Plan, storage: Storage, submitted: Submitted) -> None:
    """Refuse to change the experiment under jobs that were sent with other settings.

    They would read the new experiment file, and compute what they were not sent for.

    Raises:
        UserError: there are such jobs.
    """
    outdated = submitted.outdated(plan)
    if not outdated:
        return
    stages = {task_id.split("/")[0] for task_id in outdated}
    only = f" {stages.pop()}" if len(stages) == 1 else ""
    more = f" and {len(outdated) - 1} more are" if len(outdated) > 1 else " is"
    raise UserError(
        f"{outdated[0]}{more} queued or running with other settings than today's; first end what "
        f"was sent with them: gansfer cancel {storage.root}{only}"
    )


def not_done(plan: Plan, storage: Storage) -> set[str]:
    """Ids of the tasks whose products are missing or stale."""
    ledger = Ledger(plan, storage, sources=True)
    return {task.id for task in plan.tasks if not ledger.done(task)}


def send_and_tell(
    plan: Plan,
    storage: Storage,
    submitted: Submitted,
    wanted: set[str],
    scale: Scale,
    *,
    yes: bool,
) -> None:
    """Show what would be sent, ask, and send it."""
    check_sources(plan.experiment)
    if plan.experiment.cluster.container.image is None:  # the tasks run with this python
        check_packages(plan.experiment)
    wanted = _with_report(plan, wanted, submitted.waiting)
    if not wanted:
        typer.echo(f"nothing to send: {_settled(plan, storage, submitted)}")
        return
    arrays = arrays_to_send(plan, wanted, submit.array_size(plan.experiment), scale)
    console = wide_console()
    console.print(submission_table(plan, arrays, set(submitted.queued)))
    if not yes:
        typer.confirm(f"send {len(wanted)} tasks in {len(arrays)} jobs?", abort=True)
    save_experiment(plan.experiment, storage.experiment_file)
    n_sent = 0
    try:
        for sent in submit.send(arrays, plan, storage, submitted.queued):
            n_sent += len(sent.tasks)
            typer.echo(f"job {sent.job}: {len(sent.tasks)} of {sent.name.rsplit('.', 1)[0]}")
    except KeyboardInterrupt:
        typer.echo(f"stopped: {n_sent} of {len(wanted)} tasks are sent; submit again for the rest")
        raise typer.Exit(130) from None
    typer.echo(f"watch it with: gansfer status {storage.root}")


def _with_report(plan: Plan, wanted: set[str], waiting: Collection[str]) -> set[str]:
    """Whatever is made anew goes into the report: one that still waits, or one after it."""
    report = {task.id for task in plan.of_stage("aggregate") if task.id not in waiting}
    return wanted | report if wanted else wanted


def _settled(plan: Plan, storage: Storage, submitted: Submitted) -> str:
    n_queued = len(set(submitted.queued) & set(plan.by_id))
    n_done = len(plan.tasks) - len(not_done(plan, storage))
    return f"{n_done} of {len(plan.tasks)} tasks are done, {n_queued} queued or running"


def print_scripts(
    plan: Plan, storage: Storage, submitted: Submitted, wanted: set[str], scale: Scale
) -> None:
    """The script of each array that would be sent; for lack of ids, numbers after the queue's."""
    wanted = _with_report(plan, wanted, submitted.waiting)
    if not wanted:
        typer.echo(f"nothing to send: {_settled(plan, storage, submitted)}")
        return
    arrays = arrays_to_send(plan, wanted, submit.array_size(plan.experiment), scale)
    job_of = submitted.queued
    wide_console(stderr=True).print(submission_table(plan, arrays, set(job_of)))
    first = 1 + max(map(int, job_of.values()), default=0)
    for number, array in enumerate(arrays, start=first):
        after = jobs_needed(array.tasks, job_of)
        job_of |= dict.fromkeys((task.id for task in array.tasks), str(number))
        labels = "" if array.labels is None else f".labels-{array.labels:02d}"
        name = f"{plan.experiment.name}.{array.stage}{labels}"
        typer.echo(f"# job {number}: {', '.join(task.id for task in array.tasks)}")
        typer.echo(submit.script_for(array, name, after, plan.experiment, storage))

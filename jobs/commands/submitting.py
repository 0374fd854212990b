"""What `submit` and `retry` share: look up what is queued, show it, ask, submit, tell."""

from __future__ import annotations

import shutil
from collections.abc import Collection, Mapping, Sequence

import typer
from rich.console import Console

from gansfer.errors import UserError
from jobs.checking.estimate import basis, basis_in_words
from jobs.checking.validation import check_packages, check_sources
from jobs.commands.status_view import measured_device, submission_table, wide_console
from jobs.experiment.loading import save_experiment
from jobs.experiment.plan import Plan
from jobs.experiment.selection import tasks_chosen, with_needs
from jobs.slurm import scheduler
from jobs.slurm import submission as submit
from jobs.slurm.arrays import Array, Scale, arrays_to_submit, jobs_before
from jobs.slurm.job_record import JobRecord
from jobs.slurm.partitions import check_partitions
from jobs.slurm.submitted_jobs import SubmittedJobs, look_up
from jobs.store.ledger import Ledger
from jobs.store.storage import Storage


def look_up_to_submit(plan: Plan, storage: Storage) -> SubmittedJobs:
    """What is queued already, with the current settings. Where that is not known, nothing is.

    What a submission that was cut off has left unfinished is finished first.
    """
    if shutil.which("sbatch") is None or shutil.which("srun") is None:
        raise UserError(
            "sbatch or srun is not on PATH; submit from a login node of the cluster, or use "
            "gansfer run on this machine"
        )
    record = JobRecord(storage.submissions)
    submitted = look_up_queue(record)
    n_found = 0
    for submission in record.load():
        found = submitted.last.get(submission.tasks[0])
        if submission.job is None and found and found[0].name == submission.name and found[0].job:
            record.confirm(submission, found[0].job)
            submit.write_pickles(found[0], storage)
            n_found += 1
    refuse_damaged_record(record, plan, storage, n_found)
    refuse_outdated(plan, storage, submitted)
    # A retry may have been killed between submitting an array and telling those that need it.
    submit.let_wait_for(set(submitted.queued.values()), plan, submitted.queued)
    return submitted


def look_up_queue(record: JobRecord) -> SubmittedJobs:
    """What is queued already.

    Raises:
        UserError: something was submitted, and squeue does not say what became of it.
    """
    submitted = look_up(record)
    if submitted.answer.source == "nothing" and record.load():
        raise UserError(
            "squeue does not answer, so what is queued already is not known; try again when it does"
        )
    return submitted


def refuse_damaged_record(
    record: JobRecord, plan: Plan, storage: Storage, n_found: int = 0
) -> None:
    """Refuse to submit over lines of the record that are damaged: nobody knows what they said.

    Args:
        record: the experiment's.
        plan: whose jobs they are.
        storage: where it is.
        n_found: jobs without an id on record that SLURM has listed by their names; so many lines
            have been explained.

    Raises:
        UserError: more lines are damaged, or SLURM lists a job that is not on record.
    """
    lines = record.damaged_lines()
    if not lines:
        return
    strangers = jobs_off_the_record(record, plan)
    if not strangers and len(lines) <= n_found:
        record.give_up_damaged_lines()
        return
    prefix = f"{plan.experiment.name}."
    listed = (
        f"SLURM lists {', '.join(strangers)}, not on record: end it with scancel, or wait for it"
        if strangers
        else f"SLURM lists no job named {prefix}* that is not on record, and may not list all"
    )
    raise UserError(
        f"{record.path}, line {lines[0]}: damaged or gone, so what it said of a job is lost and "
        f"the job may be queued; nothing is submitted. {listed}. When you know that there is none "
        f"(squeue -u $USER -o '%i %j'), give the line up: gansfer cancel {storage.root}"
    )


def jobs_off_the_record(record: JobRecord, plan: Plan) -> list[str]:
    """Jobs that wait or run, are named like this experiment's, and are not on record."""
    submissions = record.load()
    known = {submission.name for submission in submissions}
    found: dict[str, None] = {}
    for clusters in sorted({"", *(submission.clusters for submission in submissions)}):
        for job in scheduler.live_jobs_named(f"{plan.experiment.name}.", clusters):
            if job.name not in known:
                found[f"job {job.id.split('_')[0]} ({job.name})"] = None
    return list(found)


def refuse_outdated(plan: Plan, storage: Storage, submitted: SubmittedJobs) -> None:
    """Refuse to change the experiment under jobs that were submitted with other settings.

    They would read the new experiment file, and compute what they were not submitted for.

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
        f"{outdated[0]}{more} queued or running with other settings than the current ones; "
        f"first end what was submitted with them: gansfer cancel {storage.root}{only}"
    )


def not_done(plan: Plan, storage: Storage, only: Sequence[str] = ()) -> set[str]:
    """Ids of the tasks whose products are missing or stale.

    Args:
        plan: the tasks.
        storage: where their products are.
        only: beginnings of names: these tasks, and what they need; none: all.

    Raises:
        UserError: one of the beginnings fits no task.
    """
    ledger = Ledger(plan, storage, sources=True)
    chosen = with_needs(plan, tasks_chosen(plan, only), ledger.done)
    return {task_id for task_id in chosen if not ledger.done(plan.by_id[task_id])}


def confirm_and_submit(
    plan: Plan,
    storage: Storage,
    submitted: SubmittedJobs,
    wanted: set[str],
    scale: Scale,
    *,
    yes: bool,
    report: bool = True,
) -> None:
    """Show what would be submitted, ask, and submit it; with the report, unless that is left."""
    check_sources(plan.experiment)
    if plan.experiment.cluster.container.image is None:  # the tasks run with this python
        check_packages(plan.experiment)
    wanted, job_of = _without_unlisted(plan, storage, submitted, wanted, report=report)
    if not wanted:
        typer.echo(f"nothing to submit: {_settled(plan, storage, job_of)}")
        return
    arrays = arrays_to_submit(plan, wanted, submit.array_size(plan.experiment), scale)
    check_partitions(plan.experiment, dict.fromkeys(array.stage for array in arrays))
    _show(plan, storage, arrays, job_of, wide_console())
    if not yes:
        typer.confirm(
            f"submit {len(wanted)} tasks in {len(arrays)} jobs, into {storage.root}?", abort=True
        )
    save_experiment(plan.experiment, storage.experiment_file)
    n_submitted = 0
    try:
        for submission in submit.submit_arrays(arrays, plan, storage, job_of):
            n_submitted += len(submission.tasks)
            kind = submission.name.rsplit(".", 1)[0]
            typer.echo(f"job {submission.job}: {len(submission.tasks)} of {kind}")
    except KeyboardInterrupt:
        typer.echo(
            f"stopped: submitted {n_submitted} of {len(wanted)} tasks; submit again for the rest"
        )
        raise typer.Exit(130) from None
    typer.echo(f"watch it with: gansfer status {storage.root}")


def _show(
    plan: Plan,
    storage: Storage,
    arrays: Sequence[Array],
    job_of: Mapping[str, str],
    console: Console,
) -> None:
    """What would be submitted and its GPU-hours, by what was measured of a GPU, if anything was."""
    measurement = measured_device(plan.experiment, storage)
    console.print(submission_table(plan, arrays, set(job_of), measurement))
    if measurement is not None:
        said = basis_in_words(basis(plan.experiment, measurement), plan.experiment.gan.precision)
        console.print(said, highlight=False, soft_wrap=True)


def _without_unlisted(
    plan: Plan, storage: Storage, submitted: SubmittedJobs, wanted: set[str], *, report: bool
) -> tuple[set[str], dict[str, str]]:
    """What is to be submitted, and in which array each task is that is queued or may be.

    What may still be queued where SLURM does not show it is not submitted again, and its user is
    told.
    """
    done = plan.by_id.keys() - not_done(plan, storage)
    unlisted = {
        task_id: reason
        for task_id, reason in submitted.lost_sight_of(done).items()
        if task_id in plan.by_id
    }
    for reason in dict.fromkeys(unlisted.values()):
        n = sum(one == reason for one in unlisted.values())
        tasks = "1 task is" if n == 1 else f"{n} tasks are"
        typer.echo(
            f"note: {reason}: its {tasks} not submitted again; if you know that it is gone: "
            f"gansfer cancel {storage.root}",
            err=True,
        )
    wanted = wanted - unlisted.keys()
    if report:
        wanted = _with_report(plan, wanted, {*submitted.waiting, *unlisted})
    jobs = {task_id: submitted.last[task_id][0].job for task_id in unlisted}
    return wanted, submitted.queued | {task_id: job for task_id, job in jobs.items() if job}


def _with_report(plan: Plan, wanted: set[str], waiting: Collection[str]) -> set[str]:
    """Whatever is made anew goes into the report: one that still waits, or one after it."""
    report = {task.id for task in plan.of_stage("aggregate") if task.id not in waiting}
    return wanted | report if wanted else wanted


def _settled(plan: Plan, storage: Storage, job_of: Mapping[str, str]) -> str:
    n_queued = len(job_of.keys() & plan.by_id.keys())
    n_done = len(plan.tasks) - len(not_done(plan, storage))
    return (
        f"{n_done} of {len(plan.tasks)} tasks are done, {n_queued} queued or running, in "
        f"{storage.root}"
    )


def print_scripts(
    plan: Plan,
    storage: Storage,
    submitted: SubmittedJobs,
    wanted: set[str],
    scale: Scale,
    *,
    report: bool = True,
) -> None:
    """The script of each array that would be submitted; job numbers follow the queue's."""
    wanted, job_of = _without_unlisted(plan, storage, submitted, wanted, report=report)
    if not wanted:
        typer.echo(f"nothing to submit: {_settled(plan, storage, job_of)}")
        return
    arrays = arrays_to_submit(plan, wanted, submit.array_size(plan.experiment), scale)
    check_partitions(plan.experiment, dict.fromkeys(array.stage for array in arrays))
    _show(plan, storage, arrays, job_of, wide_console(stderr=True))
    first = 1 + max(map(int, job_of.values()), default=0)
    for number, array in enumerate(arrays, start=first):
        after = jobs_before(array.tasks, plan, job_of)
        job_of |= dict.fromkeys((task.id for task in array.tasks), str(number))
        name = f"{plan.experiment.name}.{array.name}"
        typer.echo(f"# job {number}: {', '.join(task.id for task in array.tasks)}")
        typer.echo(submit.script_for(array, name, after, plan.experiment, storage))

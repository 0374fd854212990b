"""Send tasks to SLURM: one array for each stage and label count. The only file with submitit.

Loads without torch: it runs on a login node. In the job, `run_element` is what submitit calls.
"""

from __future__ import annotations

import logging
import os
import re
import shlex
import signal
import sys
import time
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from types import FrameType

import submitit
from submitit.slurm.slurm import _make_sbatch_string

from gansfer.errors import UserError
from jobs.experiment.model import Experiment
from jobs.experiment.plan import Plan
from jobs.slurm import scheduler
from jobs.slurm.arrays import Array, jobs_needed
from jobs.slurm.job_record import JobRecord, Submission
from jobs.slurm.sbatch import python_command, sbatch_parameters
from jobs.store.storage import Storage
from jobs.worker.run import BUSY, STOPPED, run_task

_BUSY_AGAIN_S = 60
# Limits on how many jobs one may have, such as AssocMaxSubmitJobLimit, QOSGrpSubmitJobsLimit.
_TOO_MANY_JOBS = re.compile(r"SubmitJob\w*Limit|temporarily unable to accept job")

_log = logging.getLogger("gansfer")


def array_size(experiment: Experiment) -> int:
    """Elements that one array may have: the experiment's limit, or the cluster's if less."""
    there = scheduler.max_array_size()
    return min(experiment.cluster.max_array_size, there or experiment.cluster.max_array_size)


def submit_arrays(
    arrays: Sequence[Array],
    plan: Plan,
    storage: Storage,
    queued: dict[str, str],
) -> Iterator[Submission]:
    """Submit the arrays one by one, yielding each as SLURM has accepted it and it is on record.

    Ctrl-C takes effect between two arrays. What is queued already and needs a task that is
    submitted now (a retry) is made to wait for it at once: another array may be refused.

    Args:
        arrays: in an order in which they can run.
        plan: the experiment's tasks.
        storage: where the record of jobs is.
        queued: for each task in the queue, the array that it is in; updated.

    Raises:
        UserError: sbatch refused; what was submitted before stays submitted, and on record.
    """
    record = JobRecord(storage.submissions)
    python = python_command(plan.experiment, storage)
    for array in arrays:
        ids = [task.id for task in array.tasks]
        after = jobs_needed(array.tasks, queued)
        with _unbroken():
            submission = record.announce(plan.experiment.name, array)
            job = _sbatch(array, submission.name, after, plan.experiment, storage, python)
            submission = record.confirm(submission, job)
            queued.update(dict.fromkeys(ids, job))
            let_wait_for({job}, plan, queued)
        yield submission


def let_wait_for(submitted: Collection[str], plan: Plan, queued: dict[str, str]) -> None:
    """Let each array in the queue wait for those of `submitted` that it needs and is older than.

    Its new dependency names all that it needs and that has not ended, not only what is new.
    """
    for waiting in sorted(set(queued.values()), key=int):
        tasks = [plan.by_id[task_id] for task_id, job in queued.items() if job == waiting]
        needed = jobs_needed(tasks, queued)
        if any(int(job) > int(waiting) for job in needed if job in submitted):
            scheduler.wait_also_for(waiting, needed)


def finish_interrupted(submission: Submission, storage: Storage) -> None:
    """Write what submitit had not yet written when it was killed: the pickles of a submitted array.

    A job that has started waits for its own for a minute.
    """
    for index, task_id in enumerate(submission.tasks):
        paths = submitit.core.utils.JobPaths(_job_folder(storage), job_id=submission.element(index))
        if not paths.submitted_pickle.exists():
            paths.folder.mkdir(parents=True, exist_ok=True)
            call = submitit.core.utils.DelayedSubmission(
                run_element, str(storage.experiment_file), task_id
            )
            call.set_timeout(timeout_min=1, max_num_timeout=0)
            call.dump(paths.submitted_pickle)
    _remove_leftovers(storage)


def script_for(
    array: Array, name: str, after: Sequence[str], experiment: Experiment, storage: Storage
) -> str:
    """The sbatch script of an array, as submitit writes it."""
    parameters = sbatch_parameters(array, name, after, experiment)
    if len(array.tasks) > 1:
        parameters["map_count"] = len(array.tasks)
    folder = _job_folder(storage)
    python = python_command(experiment, storage, write=False)
    command = f"{python} -u -m submitit.core._submit {shlex.quote(folder)}"
    return str(_make_sbatch_string(command=command, folder=folder, **parameters))


def run_element(experiment_file: str, task_id: str) -> None:
    """What a job does: run one task, and leave with the worker's exit code.

    Never returns to submitit, so that no pickled result is written: products are the results.
    """

    def leave(number: int, frame: FrameType | None) -> None:
        raise SystemExit(STOPPED)

    def give_up(number: int, frame: FrameType | None) -> None:
        _log.error("%s: another process had it for the whole time limit", task_id)
        raise SystemExit(BUSY)

    # First of all: submitit's handlers would end the job as failed. The worker sets its own while
    # there is something to save.
    signal.signal(signal.SIGUSR2, leave)
    signal.signal(signal.SIGTERM, leave)
    # The worker sets our own messages' level; other libraries' would fill the log.
    logging.basicConfig(
        level=logging.WARNING, stream=sys.stdout, format="%(asctime)s %(levelname)s %(message)s"
    )
    while (code := run_task(experiment_file, task_id)) == BUSY:
        # After a node's failure its last process may still be at work: wait for what it makes, or
        # until nothing was heard of it for long. The end of the time limit is the end of that:
        # nothing was saved, so a requeue would wait as long again.
        signal.signal(signal.SIGUSR2, give_up)
        time.sleep(_BUSY_AGAIN_S)
    raise SystemExit(code)


def _sbatch(
    array: Array,
    name: str,
    after: Sequence[str],
    experiment: Experiment,
    storage: Storage,
    python: str,
) -> str:
    """Send one array; returns SLURM's id of it."""
    try:
        executor = submitit.SlurmExecutor(folder=_job_folder(storage), python=python)
        executor.update_parameters(**sbatch_parameters(array, name, after, experiment))
        files = [str(storage.experiment_file)] * len(array.tasks)
        with _without_outer_job():
            jobs = executor.map_array(run_element, files, [task.id for task in array.tasks])
    except (RuntimeError, submitit.core.utils.FailedJobError) as error:
        _remove_leftovers(storage)
        raise UserError(f"{array.stage}: sbatch refused: {_refusal(str(error))}") from None
    return str(jobs[0].job_id).split("_")[0]


def _refusal(said: str) -> str:
    """Why sbatch refused, and what to do about it."""
    lines = said.strip().splitlines() or ["it gave no reason"]
    too_many = [line for line in lines if _TOO_MANY_JOBS.search(line)]
    then = (
        "submit again when some of your jobs have ended" if too_many else "mend it and submit again"
    )
    return f"{[*lines, *too_many][-1]}; {then}: what was submitted stays submitted"


def _remove_leftovers(storage: Storage) -> None:
    """What submitit wrote for jobs that have no id: it moves the files of those that have one."""
    for pattern in ("*.pkl", ".submission_file_*.sh"):
        for leftover in storage.submissions.glob(pattern):
            leftover.unlink()


def _job_folder(storage: Storage) -> str:
    return str(storage.submissions / "%A")


@contextmanager
def _unbroken() -> Iterator[None]:
    """Put off Ctrl-C: neither this process nor sbatch gets it until the job's id is on record."""
    held = {signal.SIGINT, signal.SIGTERM, signal.SIGHUP}
    before = signal.pthread_sigmask(signal.SIG_BLOCK, held)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


@contextmanager
def _without_outer_job() -> Iterator[None]:
    """Hide the job we may ourselves run in: sbatch would take its limits for the new jobs'."""
    keep = {"SLURM_CONF", "SLURM_CLUSTERS", "SLURM_TIME_FORMAT"}
    outer = {
        name: value
        for name, value in os.environ.items()
        if name.startswith(("SLURM_", "SLURMD_", "SRUN_", "SUBMITIT_")) and name not in keep
    }
    for name in outer:
        del os.environ[name]
    try:
        yield
    finally:
        os.environ.update(outer)

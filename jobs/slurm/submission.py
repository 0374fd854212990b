"""Submit tasks to SLURM, an array at a time. The only file with submitit.

Loads without torch: it runs on a login node. In the job, `run_element` is what submitit calls.
"""

from __future__ import annotations

import logging
import os
import re
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from types import FrameType
from typing import Any

import submitit
from submitit.slurm.slurm import _make_sbatch_string

from gansfer.atomic import write_text
from gansfer.errors import UserError
from jobs.experiment.model import Experiment
from jobs.experiment.plan import Plan
from jobs.slurm import scheduler
from jobs.slurm.arrays import Array, jobs_before
from jobs.slurm.job_record import JobRecord, Submission, clusters_of
from jobs.slurm.sbatch import python_command, sbatch_parameters
from jobs.store.storage import Storage
from jobs.worker.run import BUSY, STOPPED, run_task

_BUSY_AGAIN_S = 60
_LOOK_UP_AFTER_S = (0, 1, 2, 4)  # a job is listed a moment after it was taken
# Limits on how many jobs one may have, such as AssocMaxSubmitJobLimit, QOSGrpSubmitJobsLimit.
_TOO_MANY_JOBS = re.compile(r"SubmitJob\w*Limit|temporarily unable to accept job")

_log = logging.getLogger("gansfer")


def array_size(experiment: Experiment) -> int:
    """Elements that one array may have: the experiment's limit, or the cluster's if less.

    MaxArraySize=0 switches arrays off: then each task is a plain job, which an array of one is.
    """
    there, limit = scheduler.max_array_size(), experiment.cluster.max_array_size
    return limit if there is None else max(1, min(limit, there))


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
        after = jobs_before(array.tasks, plan, queued)
        with _unbroken():
            submission = record.announce(plan.experiment.name, array)
            script = script_for(array, submission.name, after, plan.experiment, storage, python)
            submission = _submitted(record, submission, script, storage)
            assert submission.job is not None
            queued.update(dict.fromkeys(ids, submission.job))
            let_wait_for({submission.job}, plan, queued)
        yield submission


def let_wait_for(submitted: Collection[str], plan: Plan, queued: dict[str, str]) -> None:
    """Let each array in the queue wait for those of `submitted` that it needs and is older than.

    Its new dependency names all that it needs and that has not ended, not only what is new.
    """
    for waiting in sorted(set(queued.values()), key=int):
        tasks = [plan.by_id[task_id] for task_id, job in queued.items() if job == waiting]
        needed = jobs_before(tasks, plan, queued, waiting)
        if any(int(job) > int(waiting) for job in needed if job in submitted):
            options = plan.experiment.stage_resources(tasks[0].stage).sbatch
            scheduler.wait_also_for(waiting, needed, clusters_of(options))


def write_pickles(submission: Submission, storage: Storage) -> None:
    """Write what each element of a submitted array is to call, where it will look for it.

    Under its id, which is known only now: a job that has started waits for its own for a minute.
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
    array: Array,
    name: str,
    after: Sequence[str],
    experiment: Experiment,
    storage: Storage,
    python: str | None = None,
) -> str:
    """The sbatch script of an array, as submitit writes it.

    Args:
        array: its tasks, and what they ask for.
        name: the job's.
        after: ids of the arrays that must have ended before.
        experiment: the site's settings.
        storage: where jobs find their files.
        python: what runs python in the job; None: as it would be, with nothing written for it.
    """
    parameters = sbatch_parameters(array, name, after, experiment)
    if len(array.tasks) > 1:
        parameters["map_count"] = len(array.tasks)
    folder = _job_folder(storage)
    python = python or python_command(experiment, storage, write=False)
    command = f"{python} -u -m submitit.core._submit {shlex.quote(folder)}"
    return str(_make_sbatch_string(command=command, folder=folder, **parameters))


def submit_script(storage: Storage, name: str, command: str, parameters: Mapping[str, Any]) -> str:
    """Submit a command that is no task of a plan; give the job's id.

    Args:
        storage: where jobs find their files.
        name: of the script's file.
        command: what the job runs.
        parameters: as of `sbatch_parameters`.

    Raises:
        UserError: sbatch is not there, or refused.
    """
    # The folder of the logs must be there before the job, whose number nobody knows yet.
    folder = str(storage.submissions)
    script = str(_make_sbatch_string(command=command, folder=folder, **parameters))
    path = storage.submissions / f"{name}.sh"
    write_text(path, script)
    with _without_outer_job():
        try:
            ran = subprocess.run(["sbatch", str(path)], capture_output=True, text=True, check=False)
        except FileNotFoundError:
            raise UserError("sbatch: not found; is this a login node of the cluster?") from None
    found = _job_of(ran.stdout.strip()) if ran.returncode == 0 else None
    if found is None:
        raise UserError(f"{name}: sbatch refused: {_refusal(ran.stderr or ran.stdout)}")
    return found[0]


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


def _submitted(
    record: JobRecord, submission: Submission, script: str, storage: Storage
) -> Submission:
    """Give sbatch an array's script, and write down which job it became.

    Raises:
        UserError: sbatch refused; or it did not, and there is no telling which job it made.
    """
    path = storage.submissions / f".submission_file_{submission.name}.sh"
    write_text(path, script)
    with _without_outer_job():
        # Not checked: what sbatch does is what counts, not how it ends. It may lose patience with
        # a busy controller that takes the job all the same.
        ran = subprocess.run(["sbatch", str(path)], capture_output=True, text=True, check=False)
    said = ran.stdout.strip()
    found = _job_of(said) if ran.returncode == 0 else None
    found = found or _looked_up(submission, patient=ran.returncode == 0)
    if found is None:
        _remove_leftovers(storage)
        if ran.returncode != 0:
            raise UserError(f"{submission.stage}: sbatch refused: {_refusal(ran.stderr or said)}")
        record.keep_answer(submission, said)
        raise UserError(
            f"{submission.stage}: sbatch took a job and said {said[:80]!r}, in which there is no "
            f"job id, and SLURM lists no job named {submission.name}; it is not submitted again. "
            "Submit again in a minute, or once it is gone for certain: "
            f"gansfer cancel {storage.root} {submission.stage}"
        )
    submission = record.confirm(submission, *found)
    write_pickles(submission, storage)
    return submission


def _job_of(said: str) -> tuple[str, str] | None:
    """The job's id, and its cluster or nothing, in what sbatch printed; None: not to be found.

    A site's own sbatch may print more than that, or as `--parsable` does: 123, or 123;cluster.
    """
    found = re.search(r"\bjob (\d+)(?: on cluster (\S+))?", said)
    found = found or re.search(r"^\s*(\d+)(?:;(\S+))?\s*$", said, re.MULTILINE)
    return (found[1], found[2] or "") if found else None


def _looked_up(submission: Submission, *, patient: bool) -> tuple[str, str] | None:
    """The job of this submission's name, which is nobody else's; None where there is none yet."""
    asked = scheduler.Asked(submission.clusters, names=frozenset({submission.name}))
    for wait_s in _LOOK_UP_AFTER_S if patient else (0,):
        time.sleep(wait_s)
        for job in scheduler.ask([asked]).named(submission.name):
            return job.id.split("_")[0], ""
    return None


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

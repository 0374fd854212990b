"""Send tasks to SLURM: one array for each stage and label count. The only file with submitit.

Loads without torch: it runs on a login node. In the job, `run_element` is what submitit calls.
"""

from __future__ import annotations

import logging
import math
import os
import shlex
import signal
import sys
import time
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import resources
from types import FrameType
from typing import Any

import submitit
from submitit.slurm.slurm import _make_sbatch_string

from gansfer.atomic import write_text
from gansfer.errors import UserError
from jobs import scheduler
from jobs.container import container_command
from jobs.plan import Plan, Task
from jobs.spec import Experiment, StageName, StageResources
from jobs.storage import Storage
from jobs.submissions import Sent, Submissions
from jobs.worker import BUSY, STOPPED, run_task

_BUSY_AGAIN_S = 60
# Options that ask for GPUs in a site's own way: with one of them, --gpus-per-node is left out.
_GPU_OPTIONS = {"gres", "gpus", "gpus-per-node", "gpus-per-task"}


@dataclass(frozen=True)
class Scale:
    """By how much the next attempt of these tasks may take more than the last."""

    tasks: frozenset[str] = frozenset()
    time: float = 1.0
    memory: float = 1.0


@dataclass(frozen=True)
class Array:
    """Tasks of one stage and label count that are to be sent together."""

    stage: StageName
    labels: int | None
    tasks: tuple[Task, ...]
    ask: StageResources

    @property
    def gpu_hours(self) -> float:
        """At most: every task uses its whole time limit."""
        return len(self.tasks) * self.ask.time_h * self.ask.gpus


def arrays_to_send(
    plan: Plan, wanted: Collection[str], array_size: int, scale: Scale | None = None
) -> list[Array]:
    """The wanted tasks as arrays, in the plan's order.

    Args:
        plan: the experiment's tasks.
        wanted: ids of those to send.
        array_size: the most elements an array may have; longer ones are cut into chunks.
        scale: tasks that get more time and memory than the experiment says.
    """
    scale = scale or Scale()
    arrays = []
    for stage, labels, tasks in plan.arrays():
        asked = plan.experiment.stage_resources(stage)
        more = asked.model_copy(
            update={
                "time_h": asked.time_h * scale.time,
                "memory_gb": asked.memory_gb * scale.memory,
            }
        )
        chosen = [task for task in tasks if task.id in wanted]
        for ask, scaled in ((asked, False), (more, True)):
            alike = [task for task in chosen if (task.id in scale.tasks) == scaled]
            for start in range(0, len(alike), array_size):
                chunk = tuple(alike[start : start + array_size])
                arrays.append(Array(stage, labels, chunk, ask))
    return arrays


def array_size(experiment: Experiment) -> int:
    """Elements that one array may have: the experiment's limit, or the cluster's if less."""
    there = scheduler.max_array_size()
    return min(experiment.cluster.max_array_size, there or experiment.cluster.max_array_size)


def send(
    arrays: Sequence[Array],
    plan: Plan,
    storage: Storage,
    queued: dict[str, str],
) -> Iterator[Sent]:
    """Send the arrays one by one, yielding each as SLURM has accepted it and it is on record.

    Ctrl-C takes effect between two arrays. What is queued already and needs a task that is
    sent now (a retry) is made to wait for that one too.

    Args:
        arrays: in an order in which they can run.
        plan: the experiment's tasks.
        storage: where the ledger is.
        queued: for each task in the queue, the array that it is in; updated.

    Raises:
        UserError: sbatch refused; what was sent before stays sent, and on record.
    """
    submissions = Submissions(storage.submissions)
    python = _python_command(plan.experiment, storage)
    queued_before = dict(queued)
    for array in arrays:
        ids = [task.id for task in array.tasks]
        after = jobs_needed(array.tasks, queued)
        with _unbroken():
            sent = submissions.announce(
                plan.experiment.name, array.stage, array.labels, array.tasks
            )
            job = _sbatch(array, sent.name, after, plan.experiment, storage, python)
            sent = submissions.confirm(sent, job)
            queued.update(dict.fromkeys(ids, job))
        yield sent
    for waiting in sorted(set(queued_before.values())):
        tasks = tuple(plan.by_id[i] for i, job in queued_before.items() if job == waiting)
        before, now = jobs_needed(tasks, queued_before), jobs_needed(tasks, queued)
        if before != now:
            scheduler.wait_also_for(waiting, now)


def finish_cut_off(sent: Sent, storage: Storage) -> None:
    """Write what submitit had not yet written when it was killed: the pickles of a sent array.

    A job that has started waits for its own for a minute.
    """
    for index, task_id in enumerate(sent.tasks):
        paths = submitit.core.utils.JobPaths(_job_folder(storage), job_id=sent.element(index))
        if not paths.submitted_pickle.exists():
            paths.folder.mkdir(parents=True, exist_ok=True)
            call = submitit.core.utils.DelayedSubmission(
                run_element, str(storage.experiment_file), task_id
            )
            call.set_timeout(timeout_min=1, max_num_timeout=0)
            call.dump(paths.submitted_pickle)
    for leftover in storage.submissions.glob("*.pkl"):
        leftover.unlink()


def script_for(
    array: Array, name: str, after: Sequence[str], experiment: Experiment, storage: Storage
) -> str:
    """The sbatch script of an array, as submitit writes it."""
    parameters = _parameters(array, name, after, experiment)
    if len(array.tasks) > 1:
        parameters["map_count"] = len(array.tasks)
    folder = _job_folder(storage)
    python = _python_command(experiment, storage, write=False)
    command = f"{python} -u -m submitit.core._submit {shlex.quote(folder)}"
    return str(_make_sbatch_string(command=command, folder=folder, **parameters))


def run_element(experiment_file: str, task_id: str) -> None:
    """What a job does: run one task, and leave with the worker's exit code.

    Never returns to submitit, so that no pickled result is written: products are the results.
    """

    def leave(number: int, frame: FrameType | None) -> None:
        raise SystemExit(STOPPED)

    # First of all: submitit's handlers would end the job as failed. The worker sets its own while
    # there is something to save.
    signal.signal(signal.SIGUSR2, leave)
    signal.signal(signal.SIGTERM, leave)
    logging.basicConfig(
        level=logging.INFO, stream=sys.stdout, format="%(asctime)s %(levelname)s %(message)s"
    )
    while (code := run_task(experiment_file, task_id)) == BUSY:
        # After a node's failure its last process may still be at work: wait for what it makes.
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
        executor.update_parameters(**_parameters(array, name, after, experiment))
        files = [str(storage.experiment_file)] * len(array.tasks)
        with _without_outer_job():
            jobs = executor.map_array(run_element, files, [task.id for task in array.tasks])
    except (RuntimeError, submitit.core.utils.FailedJobError) as error:
        last = str(error).strip().splitlines()[-1]
        raise UserError(
            f"{array.stage}: sbatch refused: {last}; mend it and submit again: what was sent "
            "stays sent"
        ) from None
    return str(jobs[0].job_id).split("_")[0]


def _parameters(
    array: Array, name: str, after: Sequence[str], experiment: Experiment
) -> dict[str, Any]:
    """What submitit is to ask of sbatch."""
    cluster, ask = experiment.cluster, array.ask
    options: dict[str, Any] = {
        "requeue": True,
        "mem": f"{math.ceil(ask.memory_gb * 1024)}M",
        # B: the batch script alone gets it, which tells python; see in_job.sh.
        "signal": f"B:USR2@{cluster.signal_before_end_s}",
        **_mail(array, cluster.mail),
        **cluster.sbatch,
        **ask.sbatch,
    }
    if "no-requeue" in options:
        del options["requeue"]
    parameters = {
        "job_name": name,
        "time": max(1, math.ceil(ask.time_h * 60)),
        "cpus_per_task": ask.cpus,
        "partition": ask.partition or cluster.partition,
        "account": ask.account or cluster.account,
        "qos": ask.qos or cluster.qos,
        "constraint": ask.constraint or cluster.constraint,
        "gpus_per_node": ask.gpus if ask.gpus and not _GPU_OPTIONS & set(options) else None,
        "dependency": "afterany:" + ":".join(after) if after else None,
        "array_parallelism": cluster.array_parallelism,
        "setup": list(cluster.setup) or None,
        "additional_parameters": {k: v for k, v in options.items() if v is not False},
        "stderr_to_stdout": True,
        "use_srun": False,
    }
    given = {key: value for key, value in parameters.items() if value is not None}
    return {**given, "wckey": None}  # submitit's own is refused at sites that check it


def _mail(array: Array, address: str | None) -> dict[str, str]:
    if address is None:
        return {}
    when = "END,FAIL" if array.stage == "aggregate" else "FAIL"
    return {"mail-user": address, "mail-type": when}


def jobs_needed(tasks: Sequence[Task], queued: dict[str, str]) -> list[str]:
    """Arrays in the queue that hold a task which one of `tasks` needs."""
    own = {queued.get(task.id) for task in tasks}
    needed = {queued[need] for task in tasks for need in task.needs if need in queued}
    return sorted(needed - own, key=int)


def _job_folder(storage: Storage) -> str:
    return str(storage.submissions / "%A")


def _python_command(experiment: Experiment, storage: Storage, *, write: bool = True) -> str:
    """Give submitit its `python`: in_job.sh, which runs python or the container."""
    wrapper = storage.submissions / "in_job.sh"
    if write:
        # A copy beside the jobs: every node sees it, and an upgrade does not change it under them.
        write_text(wrapper, (resources.files("jobs") / "in_job.sh").read_text(encoding="utf-8"))
    command = ["bash", str(wrapper), str(experiment.cluster.max_requeues)]
    inside = container_command(experiment, storage) or [sys.executable]
    # exec: bash would die of the signal, and its own exit code would hide python's.
    return "exec " + shlex.join([*command, *inside])


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

"""What a job asks of sbatch, and what it runs: resources, signals, mail, the wrapper, the image."""

from __future__ import annotations

import math
import shlex
import sys
from collections.abc import Sequence
from importlib import resources
from typing import Any

from gansfer.atomic import write_text
from jobs.experiment.model import Experiment
from jobs.slurm.arrays import Array, tasks_at_once
from jobs.slurm.container import container_command
from jobs.store.storage import Storage

# Options that ask for GPUs in a site's own way: with one of them, --gpus-per-node is left out.
_GPU_OPTIONS = {"gres", "gpus", "gpus-per-node", "gpus-per-task"}
# The same for memory: sbatch refuses --mem beside one of them.
_MEMORY_OPTIONS = {"mem-per-cpu", "mem-per-gpu"}
_MOST_IN_COMMENT = 3  # names of tasks


def sbatch_parameters(
    array: Array, name: str, after: Sequence[str], experiment: Experiment
) -> dict[str, Any]:
    """What submitit is to ask of sbatch."""
    cluster, ask = experiment.cluster, array.ask
    own = ask.sbatch  # the site's among them
    memory = {"mem": f"{math.ceil(ask.memory_gb * 1024)}M"}
    options: dict[str, Any] = {
        "requeue": True,
        **({} if _MEMORY_OPTIONS & set(own) else memory),
        # B: the batch script alone gets it, which tells python; see in_job.sh.
        "signal": f"B:USR2@{cluster.signal_before_end_s}",
        "comment": _comment(array),
        **_mail(array, cluster.mail),
        **own,
    }
    if "no-requeue" in options:
        del options["requeue"]
    parameters = {
        "job_name": name,
        "time": ask.time_minutes,
        "cpus_per_task": ask.cpus,
        "partition": ask.partition or cluster.partition,
        "account": ask.account or cluster.account,
        "qos": ask.qos or cluster.qos,
        "constraint": ask.constraint or cluster.constraint,
        "gpus_per_node": ask.gpus if ask.gpus and not _GPU_OPTIONS & set(options) else None,
        "dependency": "afterany:" + ":".join(after) if after else None,
        "array_parallelism": tasks_at_once(experiment, ask),
        "setup": list(cluster.setup) or None,
        "additional_parameters": {k: v for k, v in options.items() if v is not False},
        "stderr_to_stdout": True,
        "use_srun": False,
    }
    given = {key: value for key, value in parameters.items() if value is not None}
    return {**given, "wckey": None}  # submitit's own is refused at sites that check it


def _comment(array: Array) -> str:
    """The tasks, for whoever looks at the queue: `squeue -o "%i %k"`. Without a space to quote."""
    names = ["/".join(task.cell.parts) or task.stage for task in array.tasks]
    rest = len(names) - _MOST_IN_COMMENT
    return ",".join(names[:_MOST_IN_COMMENT]) + (f",+{rest}" if rest > 0 else "")


def _mail(array: Array, address: str | None) -> dict[str, str]:
    if address is None:
        return {}
    when = "END,FAIL" if array.stage == "aggregate" else "FAIL"
    return {"mail-user": address, "mail-type": when}


def python_command(experiment: Experiment, storage: Storage, *, write: bool = True) -> str:
    """Give submitit its `python`: in_job.sh, which runs python or the container."""
    wrapper = storage.submissions / "in_job.sh"
    if write:
        # A copy beside the jobs: every node sees it, and an upgrade does not change it under them.
        write_text(
            wrapper, (resources.files("jobs.slurm") / "in_job.sh").read_text(encoding="utf-8")
        )
    command = ["bash", str(wrapper), str(experiment.cluster.max_requeues)]
    inside = container_command(experiment, storage) or [sys.executable]
    # exec: bash would die of the signal, and its own exit code would hide python's.
    return "exec " + shlex.join([*command, *inside])

"""What SLURM says of jobs: squeue for those that are queued or run, sacct for those that ended.

Where there is no accounting, squeue also knows what ended in the last minutes; where there is no
SLURM at all, nobody is asked and the products have to do.
"""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from gansfer.errors import UserError

Source = Literal["sacct", "squeue", "nothing"]

_TIMEOUT_S = 60
_PENDING = {"PENDING", "REQUEUED", "REQUEUE_FED", "REQUEUE_HOLD", "SPECIAL_EXIT", "RESV_DEL_HOLD"}
_RUNNING = {
    "RUNNING",
    "CONFIGURING",
    "COMPLETING",
    "SUSPENDED",
    "STOPPED",
    "SIGNALING",
    "RESIZING",
    "STAGE_OUT",
}


@dataclass(frozen=True)
class Job:
    """One element of an array, or a plain job.

    Attributes:
        id: `123_4` or `123`.
        name: its name, by which we know it for ours.
        state: SLURM's word, such as `RUNNING` or `OUT_OF_MEMORY`.
        reason: why it is pending, or who cancelled it.
        exit_code: of the ended job; None where nobody knows.
        killed_by: number of the signal that ended it, or 0.
    """

    id: str
    name: str
    state: str
    reason: str = ""
    exit_code: int | None = None
    killed_by: int = 0

    @property
    def pending(self) -> bool:
        """It waits for its turn."""
        return self.state in _PENDING

    @property
    def running(self) -> bool:
        """It is on a node."""
        return self.state in _RUNNING

    @property
    def live(self) -> bool:
        """It waits or runs."""
        return self.pending or self.running


@dataclass(frozen=True)
class Answer:
    """Jobs by id, and who told of them."""

    source: Source
    jobs: dict[str, Job]


def ask(arrays: Collection[str]) -> Answer:
    """What is known of these arrays' elements, and of every other job of this user in the queue.

    What is live is for squeue alone to say: it is asked first, of jobs that were accepted before,
    so one that it does not know is gone, whatever sacct says (its records may never be closed).
    sacct comes seconds late, and after a requeue it may still tell of the attempt before: its word
    counts where it says that a job has ended and squeue does not know better, for it knows the exit
    code.
    """
    queued = _squeue()
    if queued is None:
        return Answer("nothing", {})
    recorded = _sacct(arrays)
    if recorded is None:
        return Answer("squeue", queued)
    counts = {
        job_id: job
        for job_id, job in recorded.items()
        if not job.live and not (job_id in queued and queued[job_id].live)
    }
    return Answer("sacct", {**queued, **counts})


def cancel(job_ids: Sequence[str]) -> None:
    """End these jobs.

    Raises:
        UserError: scancel refused.
    """
    for start in range(0, len(job_ids), 500):
        _commanded(["scancel", *job_ids[start : start + 500]])


def wait_also_for(array: str, afterany: Sequence[str]) -> None:
    """Replace a pending array's dependency: it starts when all of `afterany` have ended."""
    dependency = "afterany:" + ":".join(afterany)
    # It may have started meanwhile: then its worker looks at the inputs, and ends as blocked.
    _output(["scontrol", "update", f"JobId={array}", f"Dependency={dependency}"])


def max_array_size() -> int | None:
    """Elements that one array may have here (indices stay below it), or None if unknown."""
    config = _output(["scontrol", "show", "config"]) or ""
    found = re.search(r"^MaxArraySize\s*=\s*(\d+)", config, re.MULTILINE)
    return int(found[1]) if found else None


def _squeue() -> dict[str, Job] | None:
    """Jobs of this user, elements apart; None where squeue does not answer."""
    form = "%i|%T|%r|%j"
    command = ["squeue", "-h", "-r", "-t", "all", "-u", str(os.getuid()), "-o", form]
    text = _output(command)
    if text is None:
        return None
    jobs = {}
    for line in text.splitlines():
        job_id, state, reason, name = line.split("|", 3)
        jobs[job_id] = Job(job_id, name, state, "" if reason == "None" else reason)
    return jobs


def _sacct(arrays: Collection[str]) -> dict[str, Job] | None:
    """The last record of each element; None where there is no accounting."""
    if not arrays:
        return {} if _output(["sacct", "-n", "-X", "-S", "now"]) is not None else None
    command = ["sacct", "-n", "-X", "-P", "-o", "JobID,State,ExitCode,JobName"]
    text = _output([*command, "-j", ",".join(sorted(arrays))])
    if text is None:
        return None
    jobs = {}
    for line in text.splitlines():
        job_ids, state, code, name = line.split("|", 3)
        word, _, reason = state.partition(" ")
        exit_code, _, killed_by = code.partition(":")
        for job_id in _elements(job_ids):
            jobs[job_id] = Job(
                job_id, name, word.rstrip("+"), reason, int(exit_code), int(killed_by or 0)
            )
    return jobs


def _elements(job_ids: str) -> Iterator[str]:
    """`12_[0-4:2,7%4]` is how sacct shows 12_0, 12_2, 12_4 and 12_7, which never started."""
    found = re.fullmatch(r"(\d+)_\[([\d,:-]+)(?:%\d+)?\]", job_ids)
    if found is None:
        yield job_ids
        return
    for part in found[2].split(","):
        ends, _, step = part.partition(":")
        first, _, last = ends.partition("-")
        for index in range(int(first), int(last or first) + 1, int(step or 1)):
            yield f"{found[1]}_{index}"


def _output(command: list[str]) -> str | None:
    """What the command prints, or None if it is not there, fails or does not end."""
    try:
        ran = subprocess.run(
            command,
            capture_output=True,
            text=True,
            timeout=_TIMEOUT_S,
            check=False,
            env={**os.environ, "SLURM_BITSTR_LEN": "0"},  # no list of elements is cut short
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return ran.stdout if ran.returncode == 0 else None


def _commanded(command: list[str]) -> None:
    try:
        ran = subprocess.run(
            command, capture_output=True, text=True, timeout=_TIMEOUT_S, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise UserError(f"{command[0]}: {error}; is this a login node of the cluster?") from None
    if ran.returncode != 0:
        raise UserError(f"{command[0]}: {ran.stderr.strip() or f'exit code {ran.returncode}'}")

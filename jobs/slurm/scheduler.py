"""What SLURM says of jobs: squeue for those that are queued or run, sacct for those that ended.

Jobs are asked for by id and by name, with every state, on the clusters that they went to: a plain
squeue leaves out hidden partitions, other clusters of a federation and whoever shares our storage.
Where there is no accounting, squeue also knows what ended in the last minutes; where there is no
SLURM at all, nobody is asked and the products have to do.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from jobs.slurm.slurm_commands import carried_out, me, on_clusters, output, run

Source = Literal["sacct", "squeue", "nothing"]

_SQUEUE_FORM = "%i|%T|%r|%j|%u"
_IDS_AT_ONCE = 500  # a command line has room for more
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
_UNKNOWN_ID = re.compile(r"invalid job id", re.IGNORECASE)


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
        user: login name of whose job it is; empty where SLURM did not say.
    """

    id: str
    name: str
    state: str
    reason: str = ""
    exit_code: int | None = None
    killed_by: int = 0
    user: str = ""

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
class Asked:
    """Which jobs to ask for on one cluster, or several.

    Attributes:
        clusters: as `--clusters` takes them; empty: the one that we are on.
        arrays: ids of arrays and plain jobs.
        names: names of jobs whose id was never written down.
    """

    clusters: str = ""
    arrays: frozenset[str] = frozenset()
    names: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Answer:
    """Jobs by their name and id, and who told of them.

    A submission's name is its own; ids are given once a cluster, and again after years.
    """

    source: Source
    jobs: Mapping[tuple[str, str], Job]

    def named(self, name: str) -> list[Job]:
        """Every job of this name."""
        return [job for (of, _), job in self.jobs.items() if of == name]


def ask(asked: Iterable[Asked]) -> Answer:
    """What is known of these arrays' elements, and of the jobs of these names.

    What is live is for squeue alone to say: it is asked first, of jobs that were accepted before,
    so one that it does not know is not live, whatever sacct says (its records may never be closed).
    sacct comes seconds late, and after a requeue it may still tell of the attempt before: its word
    counts where it says that a job has ended and squeue does not know better, for it knows the exit
    code.
    """
    jobs: dict[tuple[str, str], Job] = {}
    sources: set[Source] = set()
    for one in asked:
        queued = _squeue(one)
        if queued is None:
            return Answer("nothing", {})
        recorded = _sacct(one)
        sources.add("squeue" if recorded is None else "sacct")
        ended = {
            key: job
            for key, job in (recorded or {}).items()
            if not job.live and not (key in queued and queued[key].live)
        }
        jobs |= queued | ended
    return Answer("squeue" if "squeue" in sources else "sacct", jobs)


def live_jobs_named(prefix: str, clusters: str = "") -> list[Job]:
    """Our jobs that wait or run and whose names begin like this; what squeue hides is left out."""
    command = ["squeue", *on_clusters(clusters), "-h", "-a", "-t", "all", "-u", me()]
    printed = output([*command, "-o", _SQUEUE_FORM]) or ""
    return [job for job in _listed(printed) if job.live and job.name.startswith(prefix)]


def is_gone(array: str, clusters: str = "", owner: str = "") -> bool:
    """Whether SLURM says for certain that no element of this array waits or runs.

    An answer that does not list a job is no proof that it has ended: the answer may have been cut
    short, or of another cluster. That no job has this id is, unless SLURM hides others' jobs.

    Args:
        array: its id.
        clusters: where it was submitted to; empty: the one that we are on.
        owner: login name of whose it is; empty: ours.
    """
    command = ["scontrol", *on_clusters(clusters), "-a", "-o", "show", "job", array]
    ran = run(command)
    if ran is None:
        return False
    if ran.returncode != 0:
        hidden = owner not in ("", me()) and _hides_jobs()
        return bool(_UNKNOWN_ID.search(ran.stderr + ran.stdout)) and not hidden
    states = re.findall(r"\bJobState=(\w+)", ran.stdout)
    return bool(states) and not any(Job("", "", state).live for state in states)


def cancel(job_ids: Sequence[str], clusters: str = "") -> None:
    """End these jobs.

    Raises:
        UserError: scancel refused.
    """
    for start in range(0, len(job_ids), _IDS_AT_ONCE):
        some = job_ids[start : start + _IDS_AT_ONCE]
        carried_out(["scancel", *on_clusters(clusters), *some])


def wait_also_for(array: str, afterany: Sequence[str], clusters: str = "") -> None:
    """Replace a pending array's dependency: it starts when all of `afterany` have ended."""
    dependency = "afterany:" + ":".join(afterany)
    # It may have started meanwhile: then its worker looks at the inputs, and ends as blocked.
    where = on_clusters(clusters)
    output(["scontrol", *where, "update", f"JobId={array}", f"Dependency={dependency}"])


def max_array_size() -> int | None:
    """Elements that one array may have here (indices stay below it), or None if unknown.

    0 means that this SLURM has no job arrays.
    """
    found = re.search(r"^MaxArraySize\s*=\s*(\d+)", _configuration(), re.MULTILINE)
    return int(found[1]) if found else None


def _hides_jobs() -> bool:
    """Whether this SLURM shows nobody the jobs of others."""
    found = re.search(r"^PrivateData\s*=\s*(.*)$", _configuration(), re.MULTILINE)
    return found is not None and ("jobs" in found[1] or "all" in found[1])


def _configuration() -> str:
    return output(["scontrol", "show", "config"]) or ""


def _squeue(asked: Asked) -> dict[tuple[str, str], Job] | None:
    """Elements apart, of every state and partition; None where squeue does not answer."""
    jobs: dict[tuple[str, str], Job] = {}
    fixed = ["squeue", *on_clusters(asked.clusters), "-h", "-r", "-a", "-t", "all"]
    for option, wanted in (("-j", asked.arrays), ("-n", asked.names)):
        for some in _chunks(wanted, numbers=option == "-j"):
            ran = run([*fixed, "-o", _SQUEUE_FORM, option, some])
            if ran is None:
                return None
            if ran.returncode != 0:
                if _UNKNOWN_ID.search(ran.stderr):  # as squeue says of a single id
                    continue
                return None
            jobs |= {(job.name, job.id): job for job in _listed(ran.stdout)}
    return jobs


def _listed(printed: str) -> Iterator[Job]:
    """The jobs in what squeue prints in the form `_SQUEUE_FORM`."""
    for line in printed.splitlines():
        if "|" in line:  # and not the name of a cluster
            job_id, state, reason, name, user = [*line.split("|"), ""][:5]
            yield Job(job_id, name, state, "" if reason == "None" else reason, user=user)


def _sacct(asked: Asked) -> dict[tuple[str, str], Job] | None:
    """The last record of each element; None where there is no accounting."""
    if not asked.arrays:
        return {} if output(["sacct", "-n", "-X", "-S", "now"]) is not None else None
    jobs: dict[tuple[str, str], Job] = {}
    fixed = ["sacct", *on_clusters(asked.clusters), "-n", "-X", "-P", "-a"]
    for some in _chunks(asked.arrays, numbers=True):
        text = output([*fixed, "-o", "JobID,State,ExitCode,JobName,User", "-j", some])
        if text is None:
            return None
        for line in text.splitlines():
            job_ids, state, code, name, user = [*line.split("|"), ""][:5]
            word, _, reason = state.partition(" ")
            exit_code, _, killed_by = code.partition(":")
            ended = (int(exit_code), int(killed_by or 0))
            for job_id in _elements(job_ids):
                jobs[name, job_id] = Job(job_id, name, word.rstrip("+"), reason, *ended, user)
    return jobs


def _chunks(wanted: Collection[str], *, numbers: bool) -> Iterator[str]:
    in_order = sorted(wanted, key=int) if numbers else sorted(wanted)
    for start in range(0, len(in_order), _IDS_AT_ONCE):
        yield ",".join(in_order[start : start + _IDS_AT_ONCE])


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

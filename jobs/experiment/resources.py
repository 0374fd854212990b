"""The stages, and what a task of each asks of the scheduler."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Annotated, Any, Literal, get_args

from pydantic import BeforeValidator, Field

from gansfer.settings import (
    Count,
    CountOrZero,
    Positive,
    Settings,
)

StageName = Literal[
    "prepare",
    "train_gan",
    "synthesise",
    "train_segmenter",
    "propagate",
    "segment_cohort",
    "aggregate",
]


STAGES: tuple[StageName, ...] = get_args(StageName)

# SLURM's forms of a time limit: minutes, m:s, h:m:s, d-h, d-h:m, d-h:m:s.
_TIME = re.compile(
    r"(?:(?P<days>\d{1,4})-(?P<h>\d{1,4})(?::(?P<m>\d{1,4}))?(?::(?P<s>\d{1,4}))?"
    r"|(?P<hours>\d{1,4}):(?P<minutes>\d{1,4}):(?P<seconds>\d{1,4})"
    r"|(?P<only_m>\d{1,7})(?::(?P<only_s>\d{1,4}))?)"
)
_MEMORY = re.compile(r"(\d{1,12})([KMGT]?)B?", re.IGNORECASE)
_PER_GB = {"K": 2**20, "": 2**10, "M": 2**10, "G": 1, "T": 2**-10}  # SLURM's plain number is MB


def slurm_hours(text: str) -> float:
    """A time limit in one of sbatch's forms, such as 30, 24:00:00 or 1-12, in hours.

    Raises:
        ValueError: in none of them.
    """
    found = _TIME.fullmatch(text.strip())
    if found is None:
        raise ValueError(f"{text!r} is no time limit of sbatch, such as 24:00:00 or 1-12:00:00")
    n = {name: int(part or 0) for name, part in found.groupdict().items()}
    hours = 24 * n["days"] + n["h"] + n["hours"]
    minutes = n["m"] + n["minutes"] + n["only_m"]
    return hours + minutes / 60 + (n["s"] + n["seconds"] + n["only_s"]) / 3600


def slurm_gb(text: str) -> float:
    """Memory in one of sbatch's forms, such as 64G or 4096 (MB), in GB.

    Raises:
        ValueError: in none of them.
    """
    found = _MEMORY.fullmatch(text.strip())
    if found is None:
        raise ValueError(f"{text!r} is no memory of sbatch, such as 64G or 65536M")
    return int(found[1]) / _PER_GB[found[2].upper()]


def _hours(given: Any) -> Any:
    """Hours as a number, or as h:m:s or d-h:m:s; 1:30 is minutes to sbatch and hours to people."""
    if not isinstance(given, str) or not re.search("[:-]", given.strip()[1:]):
        return given
    if "-" not in given and given.count(":") == 1:
        raise ValueError(f"{given!r} may be hours or minutes: write {given}:00, or hours as 1.5")
    return slurm_hours(given)


class StageResources(Settings):
    """What one task of a stage asks of the scheduler."""

    gpus: CountOrZero = Field(0, description="GPUs of a task")
    cpus: Count = Field(2, description="CPU cores of a task")
    memory_gb: Positive = Field(8.0, description="memory of a task")
    time_h: Annotated[Positive, BeforeValidator(_hours)] = Field(
        4.0, description="time limit of a task in hours; 24:00:00 and 1-12:00:00 are read too"
    )
    partition: str | None = Field(None, description="instead of the cluster's")
    account: str | None = Field(None, description="instead of the cluster's")
    qos: str | None = Field(None, description="instead of the cluster's")
    constraint: str | None = Field(None, description="instead of the cluster's")
    sbatch: dict[str, str | int | bool] = Field(
        default={},
        description="any further sbatch option, such as {mail-type: END}; time and mem replace "
        "time_h and memory_gb",
    )

    @property
    def time_minutes(self) -> int:
        """The time limit as SLURM takes it: in whole minutes."""
        return max(1, math.ceil(self.time_h * 60))

    def with_options(self, site: Mapping[str, str | int | bool]) -> StageResources:
        """The same with a site's options beneath its own, and the time and memory among them.

        So the limit that is shown, estimated and scaled by a retry is the one that is asked for.

        Raises:
            ValueError: an option is in no form of sbatch's.
        """
        options = {**site, **self.sbatch}
        changes: dict[str, Any] = {"sbatch": options}
        if "time" in options:
            changes["time_h"] = slurm_hours(str(options.pop("time")))
        if "mem" in options and slurm_gb(str(options["mem"])) > 0:  # 0: all that the node has
            changes["memory_gb"] = slurm_gb(str(options.pop("mem")))
        return self.model_copy(update=changes)


DEFAULT_RESOURCES: dict[StageName, StageResources] = {
    "prepare": StageResources(cpus=8, memory_gb=16, time_h=2),
    "train_gan": StageResources(gpus=1, cpus=4, memory_gb=32, time_h=8),
    "synthesise": StageResources(gpus=1, cpus=4, memory_gb=32, time_h=1),
    "train_segmenter": StageResources(gpus=1, cpus=4, memory_gb=32, time_h=4),
    "propagate": StageResources(cpus=1, memory_gb=4, time_h=4),
    "segment_cohort": StageResources(gpus=1, cpus=4, memory_gb=16, time_h=1),
    "aggregate": StageResources(cpus=4, memory_gb=8, time_h=1),
}

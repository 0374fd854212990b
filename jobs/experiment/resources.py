"""The stages, and what a task of each asks of the scheduler."""

from __future__ import annotations

import math
from typing import Literal, get_args

from pydantic import Field

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


class StageResources(Settings):
    """What one task of a stage asks of the scheduler."""

    gpus: CountOrZero = 0
    cpus: Count = 2
    memory_gb: Positive = 8.0
    time_h: Positive = 4.0
    partition: str | None = None
    account: str | None = None
    qos: str | None = None
    constraint: str | None = None
    sbatch: dict[str, str | int | bool] = Field(
        default={}, description="any further sbatch option, such as {mail-type: END}"
    )

    @property
    def time_minutes(self) -> int:
        """The time limit as SLURM takes it: in whole minutes."""
        return max(1, math.ceil(self.time_h * 60))


DEFAULT_RESOURCES: dict[StageName, StageResources] = {
    "prepare": StageResources(cpus=8, memory_gb=16, time_h=2),
    "train_gan": StageResources(gpus=1, cpus=4, memory_gb=32, time_h=8),
    "synthesise": StageResources(gpus=1, cpus=4, memory_gb=32, time_h=1),
    "train_segmenter": StageResources(gpus=1, cpus=4, memory_gb=32, time_h=4),
    "propagate": StageResources(cpus=1, memory_gb=4, time_h=4),
    "segment_cohort": StageResources(gpus=1, cpus=4, memory_gb=16, time_h=1),
    "aggregate": StageResources(cpus=4, memory_gb=8, time_h=1),
}

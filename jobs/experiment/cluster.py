"""The cluster and run sections: how a site's SLURM wants to be asked, and how tasks run."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from gansfer.settings import (
    Count,
    CountOrZero,
    Positive,
    Settings,
)


class ContainerSettings(Settings):
    """The Apptainer image that a cluster's tasks run in."""

    image: str | None = Field(None, description="path of the .sif; None: the python that submits")
    command: str = Field("apptainer", description="or singularity, or a path, on the nodes")
    binds: tuple[str, ...] = Field(
        (), description="host:inside[:ro]; storage and the cohort's folders are bound already"
    )
    nv: bool = Field(True, description="--nv: the host's NVIDIA driver")
    options: tuple[str, ...] = Field((), description="any further option of apptainer exec")


class ClusterSettings(Settings):
    """A site: how its SLURM wants to be asked. Merged under the experiment from a file."""

    partition: str | None = Field(None, description="of stages that name none; so the next four")
    account: str | None = Field(None, description="who pays, where the site asks")
    qos: str | None = Field(None, description="quality of service, as the site names it")
    constraint: str | None = Field(None, description="features of the nodes, such as a100")
    sbatch: dict[str, str | int | bool] = Field(default={}, description="for every stage")
    mail: str | None = Field(None, description="address told of failures and of the report")
    array_parallelism: Count = Field(64, description="tasks of one array that run at once")
    max_gpus: Count | None = Field(
        None,
        description="GPUs that the experiment uses at once, over all its arrays, which then run "
        "stage by stage; null: no cap of our own",
    )
    max_array_size: Count = Field(
        1000,
        description="longer arrays are cut into chunks; the cluster's own limit counts too",
    )
    max_requeues: CountOrZero = Field(20, description="then a preempted task counts as failed")
    signal_before_end_s: Count = Field(180, description="SIGUSR2 this long before the time limit")
    stage_to_scratch: bool = Field(False, description="copy shards to node-local scratch first")
    setup: tuple[str, ...] = Field((), description="shell lines before each task")
    container: ContainerSettings = Field(
        ContainerSettings(), description="the image that tasks run in"
    )


class RunSettings(Settings):
    """How tasks run, which on a CPU changes what they compute in nothing but last digits."""

    device: Literal["auto", "cpu", "cuda"] = Field(
        "auto", description="auto: CUDA where there is one"
    )
    checkpoint_every_s: Positive = Field(
        120.0, description="seconds of work that a kill costs at most"
    )
    heartbeat_every_s: Positive = Field(
        30.0, description="seconds between two reports of a task's progress"
    )
    workers: Count | None = Field(None, description="local processes; None: one a core")
    threads: Count = Field(
        1, description="torch threads a local process; their number shows in last digits of sums"
    )
    tensorboard: bool = Field(
        False, description="trainings also write TensorBoard events, to <run folder>/tensorboard"
    )

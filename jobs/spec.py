"""The experiment: one YAML file, one model, checked as a whole before anything runs.

Loads without torch. Reading is safe YAML; `${NAME}` and `${NAME:-default}` in strings are taken
from the environment.
"""

from __future__ import annotations

import math
from typing import Annotated, Any, Literal, get_args

from pydantic import Field, field_validator, model_validator

from gansfer.settings import (
    AnalysisSettings,
    Count,
    CountOrZero,
    GanSettings,
    Positive,
    SegmenterSettings,
    Settings,
    SynthesisSettings,
)
from gansfer.structures import is_sided
from jobs.cohort_spec import CohortSpec, PhantomImages, PropagationReferences
from jobs.grid_spec import GridSettings

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
    account: str | None = None
    qos: str | None = None
    constraint: str | None = None
    sbatch: dict[str, str | int | bool] = Field(default={}, description="for every stage")
    mail: str | None = Field(None, description="address told of failures and of the report")
    array_parallelism: Count = Field(64, description="tasks of one array that run at once")
    max_array_size: Count = Field(
        1000, description="longer arrays are sent in chunks; the cluster's own limit counts too"
    )
    max_requeues: CountOrZero = Field(20, description="then a preempted task counts as failed")
    signal_before_end_s: Count = Field(180, description="SIGUSR2 this long before the time limit")
    stage_to_scratch: bool = Field(False, description="copy shards to node-local scratch first")
    setup: tuple[str, ...] = Field((), description="shell lines before each task")
    container: ContainerSettings = ContainerSettings()


class RunSettings(Settings):
    """How tasks run, which never changes what they compute on a CPU."""

    device: Literal["auto", "cpu", "cuda"] = "auto"
    checkpoint_every_s: Positive = 120.0
    heartbeat_every_s: Positive = 30.0
    workers: Count | None = Field(None, description="local processes; None: one a core")
    threads: Count = Field(1, description="torch threads a local process")


class Experiment(Settings):
    """Everything that one experiment is: the cohort, the grid, the science, the cluster."""

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")]
    storage: str = Field("runs", description="folder that holds <name>/ with every product")
    seed: CountOrZero = Field(0, description="of everything that is drawn")
    cohort: CohortSpec
    grid: GridSettings = GridSettings()
    gan: GanSettings = GanSettings()
    synthesis: SynthesisSettings = SynthesisSettings()
    segmenter: SegmenterSettings = SegmenterSettings()
    analysis: AnalysisSettings = AnalysisSettings()
    run: RunSettings = RunSettings()
    resources: dict[StageName, StageResources] = Field(
        default={}, description="by stage; what is not named keeps the stage's default"
    )
    cluster: ClusterSettings = ClusterSettings()

    @field_validator("resources", mode="before")
    @classmethod
    def _over_defaults(cls, resources: Any) -> Any:
        """What a stage does not name keeps the stage's default, not the model's."""
        if not isinstance(resources, dict):
            return resources
        return {
            stage: DEFAULT_RESOURCES[stage].model_dump() | given
            if stage in DEFAULT_RESOURCES and isinstance(given, dict)
            else given
            for stage, given in resources.items()
        }

    @property
    def slice_px(self) -> int:
        """Side of a slice in pixels."""
        return self.cohort.roi.shape_zhw[1]

    @property
    def n_channels(self) -> int:
        """Channels of an encoded slice: the MR and one for each structure."""
        return 1 + len(self.cohort.structures)

    @property
    def references_propagated(self) -> bool:
        """The references are made by a stage, not read."""
        return isinstance(self.cohort.references, PropagationReferences)

    @property
    def rival(self) -> tuple[int, tuple[int, ...]] | None:
        """Fold and label counts at which propagation is set beside the segmenter, or None."""
        return self.grid.chosen_rival(self.references_propagated)

    def stage_resources(self, stage: StageName) -> StageResources:
        """What a task of `stage` asks of the scheduler."""
        return self.resources.get(stage, DEFAULT_RESOURCES[stage])

    @model_validator(mode="after")
    def _parts_fit(self) -> Experiment:
        self._check_ladder()
        self._check_counts()
        self._check_time_limits()
        self._check_sides()
        return self

    def _check_ladder(self) -> None:
        try:
            ladder = self.gan.ladder_px(self.slice_px)
            self.gan.widths(len(ladder))
            for px in ladder:
                self.gan.at_px(self.gan.minibatch, px, "minibatch")
                self.gan.at_px(self.gan.phase_1.stable_images, px, "phase_1.stable_images")
            for px in ladder[1:]:
                self.gan.at_px(self.gan.phase_1.fade_images, px, "phase_1.fade_images")
        except ValueError as error:
            raise ValueError(f"gan: {error} (roi slices are {self.slice_px} px)") from None
        if self.gan.phase_2.frozen_top_blocks >= len(ladder):
            raise ValueError(
                f"gan.phase_2.frozen_top_blocks {self.gan.phase_2.frozen_top_blocks} freezes all "
                f"of G's {len(ladder)} blocks: leave at least one to train"
            )
        last_images = self.gan.phase_2.frozen_top_blocks * self.gan.phase_3.unfreeze_every_images
        if 0 < self.gan.phase_3.images <= last_images:
            raise ValueError(
                f"gan.phase_3.images {self.gan.phase_3.images} ends before the last frozen block "
                f"learns, at {last_images} (unfreeze_every_images times frozen_top_blocks): show "
                "more images, or unfreeze sooner"
            )

    def _check_sides(self) -> None:
        """A mirrored slice keeps its label map, which must then be right on either side."""
        sided = [name for name in self.cohort.structures if is_sided(name)]
        chance = self.segmenter.reflection_probability
        if sided and chance > 0:
            raise ValueError(
                f"segmenter.reflection_probability {chance:g} mirrors slices, which would make "
                f"{sided[0]} the other side's: set it to 0, or merge left and right into one "
                "structure"
            )

    def _check_counts(self) -> None:
        if not isinstance(self.cohort.images, PhantomImages):
            return  # how many subjects there are is known once the files are read
        n = self.cohort.images.labelled
        if n < self.grid.folds:
            raise ValueError(f"{n} labelled subjects cannot make {self.grid.folds} folds")
        smallest_training = n - -(-n // self.grid.folds)
        if max(self.grid.label_counts) > smallest_training:
            raise ValueError(
                f"label_counts asks for {max(self.grid.label_counts)} labelled subjects, but "
                f"{self.grid.folds} folds of {n} leave {smallest_training} to train on"
            )

    def _check_time_limits(self) -> None:
        early_s = self.cluster.signal_before_end_s
        for stage in STAGES:
            limit_s = 60 * self.stage_resources(stage).time_minutes
            if early_s >= limit_s:
                raise ValueError(
                    f"resources.{stage}.time_h is {limit_s} s in whole minutes, expected more than "
                    f"cluster.signal_before_end_s, {early_s} s: a task would be told to stop as it "
                    "starts, again and again; give it more time, or lower signal_before_end_s"
                )

"""The experiment: one YAML file, one model, checked as a whole before anything runs.

Loads without torch. Reading is safe YAML; `${NAME}` and `${NAME:-default}` in strings are taken
from the environment.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Annotated, Any

from pydantic import Field, field_validator, model_validator

from gansfer.gan_settings import GanSettings
from gansfer.settings import (
    AnalysisSettings,
    AugmentationSettings,
    CountOrZero,
    SegmenterSettings,
    Settings,
    SynthesisSettings,
)
from gansfer.structures import is_sided
from jobs.experiment.cluster import ClusterSettings, RunSettings
from jobs.experiment.cohort_section import CohortSpec, PhantomImages, PropagationReferences
from jobs.experiment.grid import GridSettings, in_lowest_terms
from jobs.experiment.resources import DEFAULT_RESOURCES, STAGES, StageName, StageResources

NAME_PATTERN = r"^[A-Za-z0-9][A-Za-z0-9._-]*$"  # of a folder and of jobs, without any quoting


class Experiment(Settings):
    """Everything that one experiment is: the cohort, the grid, the science, the cluster."""

    name: Annotated[str, Field(pattern=NAME_PATTERN)] = Field(
        description="of the run folder and of its jobs: letters, digits, dots, dashes, underscores"
    )
    storage: str = Field(
        "runs", description="folder that holds <name>/ with every product; relative to this file"
    )
    seed: CountOrZero = Field(0, description="of everything that is drawn")
    cohort: CohortSpec = Field(
        description="where images, labels and references come from, and how they become shards"
    )
    grid: GridSettings = Field(
        GridSettings(),
        description="folds, label counts, arms and seeds: which networks are trained",
    )
    gan: GanSettings = Field(GanSettings(), description="the GAN and its three phases")
    synthesis: SynthesisSettings = Field(
        SynthesisSettings(), description="from generated slices to labelled ones"
    )
    augmentation: AugmentationSettings = Field(
        AugmentationSettings(),
        description="how the rival arm `classical` deforms labelled slices (grid.rival_arms)",
    )
    segmenter: SegmenterSettings = Field(
        SegmenterSettings(), description="the 2-D DeepMedic and its training"
    )
    analysis: AnalysisSettings = Field(
        AnalysisSettings(), description="the statistics of the report"
    )
    run: RunSettings = Field(RunSettings(), description="how tasks run; changes no result on a CPU")
    resources: dict[StageName, StageResources] = Field(
        default={}, description="by stage; what is not named keeps the stage's default"
    )
    cluster: ClusterSettings = Field(
        ClusterSettings(), description="the site's SLURM, or the file of a site profile"
    )

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
        asked = self.resources.get(stage, DEFAULT_RESOURCES[stage])
        return asked.with_options(self.cluster.sbatch)

    @field_validator("analysis")
    @classmethod
    def _best_ratio_spelled_as_its_arm(cls, analysis: AnalysisSettings) -> AnalysisSettings:
        if analysis.best_ratio == "per_label_count":
            return analysis
        try:
            ratio = in_lowest_terms(analysis.best_ratio)
        except ValueError as error:
            raise ValueError(f"best_ratio: {error}, or per_label_count") from None
        return analysis.model_copy(update={"best_ratio": ratio})

    @model_validator(mode="after")
    def _parts_fit(self) -> Experiment:
        self._check_shell_words()
        self._check_options()
        self._check_ladder()
        self._check_counts()
        self._check_time_limits()
        self._check_sides()
        return self

    def _check_shell_words(self) -> None:
        """Options become lines of the sbatch script, where a second line would be a command."""
        asked = {"storage": self.storage}
        asked |= {f"cluster.{key}": one for key, one in self.cluster if key != "setup"}
        options = {"cluster": self.cluster.sbatch}
        for stage, resources in self.resources.items():
            asked |= {f"resources.{stage}.{key}": one for key, one in resources}
            options[f"resources.{stage}"] = resources.sbatch
        for place, value in asked.items():
            for text in _texts(value):
                if re.search(r"[\x00-\x1f\x7f]", text):
                    raise ValueError(f"{place}: {text!r} has a line break or control character")
        for place, names in options.items():
            for name in names:
                if not re.fullmatch(r"[A-Za-z][A-Za-z-]*", name):
                    raise ValueError(f"{place}.sbatch: {name!r} is no option of sbatch")

    def _check_options(self) -> None:
        for stage in STAGES:
            try:
                self.stage_resources(stage)
            except ValueError as error:
                raise ValueError(f"sbatch of {stage}: {error}") from None
        self._check_gpus()
        ratio = self.analysis.best_ratio
        if ratio not in ("per_label_count", *self.grid.ratios):
            raise ValueError(
                f"analysis.best_ratio {ratio} is not among grid.ratios, "
                f"{', '.join(self.grid.ratios) or 'of which there are none'}"
            )

    def _check_gpus(self) -> None:
        cap = self.cluster.max_gpus
        for stage in STAGES:
            gpus = self.stage_resources(stage).gpus
            if cap is not None and gpus > cap:
                raise ValueError(
                    f"resources.{stage}.gpus {gpus} is more than cluster.max_gpus {cap}: raise the "
                    "cap, or ask for fewer"
                )

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


def _texts(value: Any) -> Iterator[str]:
    """Every text in a setting's value."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, Settings):
        yield from _texts(dict(value))
    elif isinstance(value, Mapping):
        yield from _texts([*value, *value.values()])
    elif isinstance(value, list | tuple):
        for one in value:
            yield from _texts(one)

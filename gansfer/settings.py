"""Every scientific knob, with the paper's value as default and its section beside it.

Frozen pydantic models, without torch, so that a login node can check them. Units are in the
names. "Paper silent" marks what the paper does not say, with where the default then comes from.
"""

from __future__ import annotations

import re
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from gansfer.structures import PAPER_STRUCTURES

Fraction = Annotated[float, Field(ge=0.0, le=1.0)]
Positive = Annotated[float, Field(gt=0.0)]
Count = Annotated[int, Field(ge=1)]
CountOrZero = Annotated[int, Field(ge=0)]


class Settings(BaseModel):
    """Base of every settings model: unknown keys are errors, values never change."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class RoiSettings(Settings):
    """The region of interest in the common space (III.A): 80 x 80 x 60 voxels of 1 mm."""

    size_mm: tuple[Positive, Positive, Positive] = Field(
        (80.0, 80.0, 60.0), description="left-right, posterior-anterior, inferior-superior"
    )
    centre_mm: tuple[float, float, float] = Field(
        (-0.5, -10.5, 0.5),
        description="RAS millimetres; round the deep grey matter, on the grid of T88 voxels",
    )
    voxel_mm: Positive = Field(
        1.0, description="edge of a voxel, in a slice and, without slice_mm, across slices"
    )
    slice_mm: Positive | None = Field(
        None, description="from one slice to the next; None: voxel_mm, as in the paper"
    )

    @property
    def spacing_xyz_mm(self) -> tuple[float, float, float]:
        """Edges of a voxel."""
        return self.voxel_mm, self.voxel_mm, self.slice_mm or self.voxel_mm

    @property
    def spacing_zhw_mm(self) -> tuple[float, float, float]:
        """From one slice, row and column to the next."""
        x_mm, y_mm, z_mm = self.spacing_xyz_mm
        return z_mm, y_mm, x_mm

    @property
    def shape_zhw(self) -> tuple[int, int, int]:
        """Slices, rows and columns of the region in voxels."""
        sides_mm = zip(self.size_mm, self.spacing_xyz_mm, strict=True)
        w, h, z = (round(side_mm / step_mm) for side_mm, step_mm in sides_mm)
        return z, h, w

    @model_validator(mode="after")
    def _square_and_whole(self) -> RoiSettings:
        for side_mm, step_mm in zip(self.size_mm, self.spacing_xyz_mm, strict=True):
            if abs(side_mm / step_mm - round(side_mm / step_mm)) > 1e-6:
                raise ValueError(
                    f"size_mm {side_mm:g} is not a whole number of voxels of {step_mm:g} mm"
                )
        if self.size_mm[0] != self.size_mm[1]:
            raise ValueError(
                f"size_mm is {self.size_mm[0]:g} by {self.size_mm[1]:g} in plane; "
                "the GAN's slices are square: make the first two equal"
            )
        return self


class EncodingSettings(Settings):
    """How intensities become GAN channels (III.A; ranges: paper silent)."""

    mr_percentiles: tuple[float, float] = Field(
        (0.1, 99.5), description="MR values mapped to -1 and +1; beyond is clipped and counted"
    )
    label_percentile: float = Field(
        99.5, gt=0, le=100, description="label contrast mapped to +1; 0 is mapped to -1"
    )
    level_percentile: float | None = Field(
        99.0,
        gt=50,
        le=100,
        description="white-matter level raised so far that this share of every structure's voxels "
        "has least_contrast; null: the estimate itself, contrast clipped at 0. Paper silent.",
    )
    least_contrast: float = Field(
        0.5,
        ge=0,
        lt=1,
        description="of the above, as a fraction of a structure's mean contrast. A quarter does "
        "for the labelled subjects; how bright pallidum is differs from person to person.",
    )


class SynthesisSettings(Settings):
    """From generated slices to a labelled data set (III.B)."""

    slices_per_phase: Count = Field(10_000, description="Paper silent ('effectively infinite').")
    slice_numbers_from: Literal["known", "labelled"] = Field(
        "known",
        description="a generated slice has the number of the nearest real one: of all that the GAN "
        "learns from, or of its labelled ones. Paper: 'the real training images'.",
    )
    mask_margin_mm: float = Field(
        10.0, ge=0, description="labels lie at most this far from the training labels"
    )
    binarise_fraction: Fraction | Literal["calibrated"] = Field(
        "calibrated",
        description="threshold as a fraction of the structure's mean contrast; calibrated: the "
        "largest, up to half, that gives the training labels back. Paper silent.",
    )
    closing_radius_mm: float = Field(1.0, ge=0, description="Paper silent; a 3x3 cross at 1 mm.")
    opening_width_mm: float = Field(
        2.0, ge=0, description="thinner parts may be spurs. Paper silent; 2 x 2 pixels at 1 mm."
    )
    spur_length_mm: float = Field(
        2.0, ge=0, description="thin parts that reach farther from the rest go. Paper silent."
    )
    least_area_mm2: float = Field(
        4.0, ge=0, description="smaller components are specks. Paper silent; 4 pixels at 1 mm."
    )
    intensity_sd: Positive = Field(2.0, description="kept: mean +/- this many SD of the MR inside")
    keep_percentile: float = Field(75.0, gt=0, le=100, description="of the nearest-image distance")


Precision = Literal["auto", "float32", "bfloat16"]


class SegmenterSettings(Settings):
    """The 2-D DeepMedic (III.C). The preset names its architecture; training defaults are its own.

    None means: the preset's value.
    """

    preset: Literal["deepmedic", "deepmedic-original"] = Field(
        "deepmedic", description="the network's layers and the size of its training segments"
    )
    epochs: Count = Field(35, description="each draws segments subepochs_per_epoch times")
    subepochs_per_epoch: Count = Field(
        20, description="times that segments are drawn anew in an epoch"
    )
    segments_per_subepoch: Count = Field(1000, description="segments that are drawn at a time")
    batch_segments: Count = Field(10, description="segments of one update")
    learning_rate: Positive = Field(1e-3, description="RMSProp's step size at first")
    halve_at_epochs: tuple[CountOrZero, ...] | None = Field(
        None,
        description="epochs (from 0) at whose end the rate is halved; None: the preset's, scaled",
    )
    foreground_fraction: Fraction = Field(0.5, description="segments centred on a structure")
    reflection_probability: Fraction = Field(0.5, description="left/right mirror (III.C)")
    l1: float = Field(
        1e-6, ge=0, description="weight of the sum of the weights' absolute values in the loss"
    )
    l2: float = Field(1e-4, ge=0, description="weight of the sum of their squares")
    rms_decay: Fraction = Field(
        0.9, description="RMSProp's decay of the squared gradients' average"
    )
    rms_epsilon: Positive = Field(1e-4, description="RMSProp's term against division by zero")
    momentum: Fraction = Field(0.6, description="Nesterov, normalised as in the official code")
    inference_output_px: Count = Field(29, description="side of an inference tile's output")
    precision: Precision = Field(
        "auto", description="of the products in training, as gan.precision; inference is in float32"
    )

    @model_validator(mode="after")
    def _whole_batches(self) -> SegmenterSettings:
        if self.segments_per_subepoch % self.batch_segments:
            raise ValueError(
                f"segments_per_subepoch {self.segments_per_subepoch} is not a multiple of "
                f"batch_segments {self.batch_segments}; make it one"
            )
        return self

    @property
    def iterations(self) -> int:
        """Updates of the whole training (paper's default: 70,000)."""
        segments = self.epochs * self.subepochs_per_epoch * self.segments_per_subepoch
        return segments // self.batch_segments


class AugmentationSettings(Settings):
    """Random deformations and intensities of slices that have labels; not in the paper.

    As segmenters of brains are commonly trained with; small enough that a brain stays one.
    """

    probability: Fraction = Field(0.5, description="that a slice is deformed, each time anew")
    rotation_sd_deg: float = Field(4.0, ge=0, description="about the slice's centre, in plane")
    scale_sd: float = Field(0.05, ge=0, description="of the logarithm, of either axis")
    shift_sd_mm: float = Field(2.0, ge=0, description="of the whole slice, along either axis")
    elastic_sd_mm: float = Field(
        2.5, ge=0, description="displacement of the lattice's points, of either axis"
    )
    lattice_mm: Positive = Field(
        20.0, description="between points of the lattice, about; smooth between them"
    )
    gamma_sd: float = Field(0.1, ge=0, description="of the exponent's logarithm")


class AnalysisSettings(Settings):
    """The statistics of section IV."""

    significance: Fraction = Field(0.05, description="a difference is marked below this p value")
    stratification_folds: Count = Field(
        5, description="folds in which CDR is told from the volumes (Table II)"
    )
    stratification_repeats: Count = Field(100, description="III.G")
    best_ratio: Literal["per_label_count"] | str = Field(
        "per_label_count",
        description="'optimal' ratio of the paper's way: the best on the test subjects; or one "
        "ratio such as 2:1 throughout",
    )
    ratio_from_labels: dict[Count, str] = Field(
        default={1: "2:1", 6: "10:1", 12: "100:1"},
        description="ratio from each label count on, of the results whose ratio no test subject "
        "has chosen, where there is one fold alone; with several, the other folds choose. Paper "
        "silent; about what it finds best.",
    )
    kernel_bandwidth_years: Positive = Field(
        6.0,
        description="SD of the Gaussian kernel of Fig. 11, 12; paper silent: about where they bend",
    )

    @field_validator("ratio_from_labels")
    @classmethod
    def _covers_all_label_counts(cls, ratios: dict[int, str]) -> dict[int, str]:
        if 1 not in ratios:
            raise ValueError("ratio_from_labels has no ratio for 1, where it must begin")
        return {labels: _checked_ratio(ratios[labels]) for labels in sorted(ratios)}


def _checked_ratio(text: str) -> str:
    match = re.fullmatch(r"([0-9]+(?:\.[0-9]+)?):([0-9]+(?:\.[0-9]+)?)", text)
    if match is None or not float(match[1]) > 0 or not float(match[2]) > 0:
        raise ValueError(f"ratio {text!r} is not of the form real:synthetic, such as '10:1'")
    return text


Structures = Annotated[
    tuple[str, ...], Field(min_length=1, description="order is the order of channels and labels")
]


class CohortSettings(Settings):
    """What every cohort shares, whatever it is read from (III.A)."""

    structures: Structures = PAPER_STRUCTURES
    roi: RoiSettings = Field(
        RoiSettings(), description="the region of interest in the common space"
    )
    encoding: EncodingSettings = Field(
        EncodingSettings(), description="how intensities and labels become the GAN's channels"
    )
    exclude_test_from_unlabelled: bool = Field(
        False, description="keep the fold's test subjects out of the unlabelled pool; paper: no"
    )

    @field_validator("structures")
    @classmethod
    def _no_repeats(cls, structures: tuple[str, ...]) -> tuple[str, ...]:
        if len(set(structures)) != len(structures):
            raise ValueError(f"a structure is named twice in {', '.join(structures)}")
        return structures

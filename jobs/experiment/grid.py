"""The grid section of an experiment file: which cells the experiment has.

Loads without torch and numpy.
"""

from __future__ import annotations

import re
from fractions import Fraction
from typing import Annotated, Literal, NamedTuple

from pydantic import AfterValidator, Field, field_validator, model_validator

from gansfer.settings import Count, CountOrZero, Settings

# The label counts at which the paper sets MALPEM beside DeepMedic (III.G).
PAPER_RIVAL_COUNTS = (1, 6, 24)


_NUMBER = r"[0-9]{1,9}(?:\.[0-9]{1,9})?"


def real_per_synthetic(ratio: str) -> float:
    """`"10:1"` as 10.0: real segments drawn for each synthetic one (III.E).

    Raises:
        ValueError: the text is not two positive numbers with a colon between.
    """
    return float(_fraction(ratio))


def in_lowest_terms(ratio: str) -> str:
    """`"4:2"` as `"2:1"` and `"2.5:1"` as `"5:2"`: one spelling, so that one ratio is one arm.

    Raises:
        ValueError: as of `real_per_synthetic`.
    """
    fraction = _fraction(ratio)
    return f"{fraction.numerator}:{fraction.denominator}"


def _fraction(ratio: str) -> Fraction:
    match = re.fullmatch(f"({_NUMBER}):({_NUMBER})", ratio.strip())
    if match is None or not Fraction(match[1]) or not Fraction(match[2]):
        raise ValueError(f"ratio {ratio!r} is not of the form real:synthetic, such as 10:1")
    return Fraction(match[1]) / Fraction(match[2])


Ratio = Annotated[str, AfterValidator(in_lowest_terms)]


class Ablation(Settings):
    """The cell of Table I, in which every phase's slices are tried with and without real data."""

    fold: CountOrZero | None = Field(
        None, description="the fold that Table I is computed on; None: the first that runs"
    )
    label_count: Count = Field(1, description="its number of labelled subjects")
    ratio: Ratio = Field("2:1", description="real to synthetic in the rows with a plus")


class TableI(NamedTuple):
    """The ablation's cell as it runs; as `Ablation`."""

    fold: int
    label_count: int
    ratio: str


class Rival(Settings):
    """Label propagation from a cell's own labelled subjects, beside its segmenters (III.G)."""

    fold: CountOrZero | None = Field(
        None, description="the one fold; None: the ablation's, else the first that runs"
    )
    label_counts: Annotated[tuple[Count, ...], Field(min_length=1)] | None = Field(
        None, description="None: those of the paper (1, 6, 24) that the grid has"
    )


RivalArm = Literal["classical", "self_training"]


class GridSettings(Settings):
    """Which cells the experiment has (III.D to III.F)."""

    folds: Annotated[int, Field(ge=2)] = Field(
        5, description="parts that the labelled subjects are divided into; each is tested on once"
    )
    use_folds: tuple[CountOrZero, ...] | None = Field(
        None, description="run only these folds; None: all"
    )
    label_counts: Annotated[tuple[Count, ...], Field(min_length=1)] = Field(
        (1, 3, 6, 12, 24), description="numbers N of labelled subjects to train with"
    )
    group_size: Count = Field(6, description="labelled subjects a GAN is trained on at most")
    ratios: tuple[Ratio, ...] = Field(
        ("100:1", "10:1", "2:1", "1:1"), description="arms real:synthetic, in training segments"
    )
    ablation: Ablation | None = Field(
        Ablation(), description="where Table I is computed; null: nowhere"
    )
    analysis_fold: Literal["auto"] | CountOrZero = Field(
        "auto", description="whose models segment the full cohort; auto: the rule of III.G"
    )
    seeds: Annotated[tuple[CountOrZero, ...], Field(min_length=1)] = Field(
        (0,), description="independent repeats of everything that is trained"
    )
    rival: Literal["auto"] | Rival | None = Field(
        "auto",
        description="label propagation as a rival of the segmenter; auto: where "
        "cohort.references are propagated",
    )
    rival_arms: tuple[RivalArm, ...] = Field(
        (),
        description="cheap ways to more training data, beside the generated slices: classical "
        "deforms the real slices (section augmentation), self_training takes the baseline's labels "
        "of the unlabelled pool; with generated slices, classical deforms these, too, and "
        "self_training takes the labels of that ratio's segmenter. Paper: neither",
    )
    self_training_ratio: Ratio = Field(
        "2:1", description="real to self-labelled segments in the arm self_training"
    )
    rival_ratio: Ratio | None = Field(
        "2:1",
        description="real to generated (and self-labelled) segments where a rival arm is combined "
        "with generated slices; null: it is not",
    )

    @property
    def run_folds(self) -> tuple[int, ...]:
        """The folds that are run."""
        return tuple(range(self.folds)) if self.use_folds is None else self.use_folds

    @property
    def run_ratios(self) -> tuple[Ratio, ...]:
        """The ratios that are run: those asked for, and that of the teacher of a rival arm."""
        if "self_training" not in self.rival_arms or self.rival_ratio is None:
            return self.ratios
        return tuple(dict.fromkeys((*self.ratios, self.rival_ratio)))

    @property
    def table_i(self) -> TableI | None:
        """Where Table I is computed; None: nowhere."""
        asked = self.ablation
        if asked is None:
            return None
        fold = self.run_folds[0] if asked.fold is None else asked.fold
        return TableI(fold, asked.label_count, asked.ratio)

    def with_seed(self, name: str) -> str:
        """A cell's name as a user gives it, with its seed: the first where there is none."""
        bare = name.strip("/")
        return bare if bare.startswith("seed-") else f"seed-{self.seeds[0]}/{bare}"

    def chosen_rival(self, references_propagated: bool) -> tuple[int, tuple[int, ...]] | None:
        """Fold and label counts of the rival; None: there is none."""
        rival = self.rival
        if rival == "auto":
            rival = Rival() if references_propagated else None
        if rival is None:
            return None
        fold = rival.fold
        if fold is None:
            fold = self.run_folds[0] if self.table_i is None else self.table_i.fold
        counts = rival.label_counts or tuple(
            count for count in self.label_counts if count in PAPER_RIVAL_COUNTS
        )
        return fold, counts

    @field_validator("ratios", "rival_arms")
    @classmethod
    def _each_once(cls, ratios: tuple[str, ...]) -> tuple[str, ...]:
        """`2:1` and `4:2` are one arm, that of the first."""
        return tuple(dict.fromkeys(ratios))

    @model_validator(mode="after")
    def _folds_exist(self) -> GridSettings:
        wanted = {"use_folds": self.run_folds}
        if self.ablation is not None and self.ablation.fold is not None:
            wanted["ablation.fold"] = (self.ablation.fold,)
        if self.analysis_fold != "auto":
            wanted["analysis_fold"] = (self.analysis_fold,)
        if isinstance(self.rival, Rival) and self.rival.fold is not None:
            wanted["rival.fold"] = (self.rival.fold,)
        for name, folds in wanted.items():
            for fold in folds:
                if fold not in self.run_folds or fold >= self.folds:
                    raise ValueError(
                        f"{name} asks for fold {fold}, but the folds that run are "
                        f"{', '.join(map(str, self.run_folds))} "
                        f"of {self.folds} (counted from 0)"
                    )
        if self.ablation is not None and self.ablation.label_count not in self.label_counts:
            raise ValueError(
                f"ablation.label_count {self.ablation.label_count} is not in label_counts "
                f"{list(self.label_counts)}"
            )
        return self

    @model_validator(mode="after")
    def _rival_counts_exist(self) -> GridSettings:
        asked = self.rival.label_counts if isinstance(self.rival, Rival) else None
        for count in asked or ():
            if count not in self.label_counts:
                raise ValueError(
                    f"rival.label_counts asks for {count}, which is not in label_counts "
                    f"{list(self.label_counts)}"
                )
        return self

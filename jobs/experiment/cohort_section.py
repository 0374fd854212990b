"""The cohort section of an experiment file: where images, labels and references come from.

Loads without torch and numpy. What a field may hold is checked here; what the files hold is checked
by `gansfer validate` (jobs/inputs/input_check.py).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, model_validator

from gansfer.settings import CohortSettings, Count, CountOrZero, Fraction, Settings
from gansfer.structures import check_numbers


def _checked(protocol: str | dict[str, list[int]]) -> str | dict[str, list[int]]:
    if not isinstance(protocol, str):
        check_numbers(protocol)
    return protocol


Protocol = Annotated[str | dict[str, list[int]], AfterValidator(_checked)]
PROTOCOL_HELP = (
    "neuromorphometrics, malpem, freesurfer, gansfer, or a mapping structure: [numbers], in which "
    "white_matter may be named too"
)
# Of a subject's labelled voxels, how many may lie outside the region of interest.
MAX_OUTSIDE_ROI = 0.01


class PhantomImages(Settings):
    """The built-in cohort: a parametric anatomy with true labels of all subjects."""

    kind: Literal["phantom"] = Field(description="phantom: the built-in cohort")
    labelled: Count = Field(30, description="subjects with labels")
    unlabelled: CountOrZero = Field(120, description="subjects without, for the pool")


class OasisImages(Settings):
    """OASIS-1 as downloaded: discs with T88_111 volumes, and the cross-sectional table."""

    kind: Literal["oasis"] = Field(description="oasis: OASIS-1 as downloaded")
    discs: str = Field(description="folder that holds disc1, disc2, ...")
    table: str = Field(description="oasis_cross-sectional.csv")


class BidsImages(Settings):
    """A BIDS dataset: participants.tsv and sub-*/[ses-*/]anat/*_T1w.nii.gz."""

    kind: Literal["bids"] = Field(description="bids: a BIDS dataset")
    folder: str = Field(description="folder of participants.tsv")
    pattern: str = Field("*_T1w.nii*", description="the image's name in anat; one must match")
    masks: str | None = Field(
        None, description="derivative with brain masks; None: the images are brain-extracted"
    )
    mask_pattern: str = Field(
        "*_mask.nii*", description="a mask's name in anat; at most one may match"
    )
    in_common_space: bool = Field(False, description="true: images are not registered")
    template: str | None = Field(
        None, description="brain-extracted image in the common space that images are registered to"
    )
    n4: bool = Field(False, description="correct the bias field by N4")

    @model_validator(mode="after")
    def _space_known(self) -> BidsImages:
        _check_space(self.in_common_space, self.template)
        return self


class FolderImages(Settings):
    """A plain folder of images with a table: id, image, and what gansfer/readers/folder.py says."""

    kind: Literal["folder"] = Field(description="folder: a folder of images with a table")
    folder: str = Field(description="what the table's paths are relative to")
    table: str = Field(description="CSV or TSV, one row a session")
    in_common_space: bool = Field(False, description="true: images are not registered")
    template: str | None = Field(
        None, description="brain-extracted image in the common space that images are registered to"
    )
    n4: bool = Field(False, description="correct the bias field by N4")

    @model_validator(mode="after")
    def _space_known(self) -> FolderImages:
        _check_space(self.in_common_space, self.template)
        return self


class EmbeddedLabels(Settings):
    """The images bring their own labels (phantom)."""

    kind: Literal["embedded"] = Field(
        "embedded", description="embedded: the images bring them (phantom)"
    )


class ChallengeLabels(Settings):
    """The MICCAI 2012/13 multi-atlas labelling challenge, repeats dropped."""

    kind: Literal["challenge"] = Field(
        description="challenge: the MICCAI 2012/13 multi-atlas challenge"
    )
    folder: str = Field(description="the challenge's folder, with demographics.csv")
    protocol: Protocol = Field("neuromorphometrics", description=PROTOCOL_HELP)


class BidsLabels(Settings):
    """Manual labels in a BIDS derivative: *_dseg.nii.gz, with their own dseg.tsv or a protocol."""

    kind: Literal["bids"] = Field(description="bids: a BIDS derivative")
    folder: str = Field(description="the derivative's folder, with sub-*/[ses-*/]anat")
    pattern: str = Field(
        "*_dseg.nii*", description="a segmentation's name in anat; at most one may match"
    )
    protocol: Protocol | None = Field(None, description=f"None: the dseg.tsv; {PROTOCOL_HELP}")
    resample: bool = Field(False, description="bring labels on another grid to the image's")
    max_outside_roi: Fraction = Field(
        MAX_OUTSIDE_ROI, description="of a subject's labelled voxels; more is an error"
    )


class TableLabels(Settings):
    """Manual labels in the column `label` of a folder's table."""

    kind: Literal["table"] = Field(description="table: the column label of the images' table")
    protocol: Protocol = Field(description=PROTOCOL_HELP)
    resample: bool = Field(False, description="bring labels on another grid to the image's")
    max_outside_roi: Fraction = Field(
        MAX_OUTSIDE_ROI, description="of a subject's labelled voxels; more is an error"
    )


class NoReferences(Settings):
    """No reference segmentations of the whole cohort: no analysis by age and CDR."""

    kind: Literal["none"] = Field(
        "none", description="none: nothing to measure the whole cohort against"
    )


class EmbeddedReferences(Settings):
    """The images bring true labels of every subject (phantom), for measuring only."""

    kind: Literal["embedded"] = Field(description="embedded: the images bring them (phantom)")


class FolderReferences(Settings):
    """One segmentation a subject in a folder, for measuring only.

    `malpem` is `<id>_MALPEM.nii.gz` in MALPEM's numbering; `dseg` any other pattern and protocol.
    """

    kind: Literal["malpem", "dseg"] = Field(
        description="malpem: <id>_MALPEM.nii.gz; dseg: files of any other pattern and protocol"
    )
    folder: str = Field(description="the folder that holds the segmentations")
    pattern: str = Field("{id}*_MALPEM.nii.gz", description="file name, with {id} for the subject")
    protocol: Protocol = Field("malpem", description=PROTOCOL_HELP)
    resample: bool = Field(False, description="bring segmentations on another grid to the image's")


class BidsReferences(Settings):
    """A segmentation a session in a BIDS derivative, for measuring only."""

    kind: Literal["bids"] = Field(description="bids: a BIDS derivative")
    folder: str = Field(description="the derivative's folder, with sub-*/[ses-*/]anat")
    pattern: str = Field(
        "*_dseg.nii*", description="a segmentation's name in anat; at most one may match"
    )
    protocol: Protocol | None = Field(None, description=f"None: the dseg.tsv; {PROTOCOL_HELP}")
    resample: bool = Field(False, description="bring segmentations on another grid to the image's")


class TableReferences(Settings):
    """A segmentation a session in the column `reference` of a folder's table."""

    kind: Literal["table"] = Field(description="table: the column reference of the images' table")
    protocol: Protocol = Field(description=PROTOCOL_HELP)
    resample: bool = Field(False, description="bring segmentations on another grid to the image's")


class PropagationReferences(Settings):
    """Multi-atlas label propagation from the labelled subjects, a stage of its own (propagate).

    The stand-in for MALPEM where nothing is given: SyN, then joint label fusion.
    """

    kind: Literal["propagation"] = Field(
        description="propagation: made by a stage from the labelled subjects"
    )
    # Paper: MALPEM had all 30. From 6 to 12, real brains gained .004 in DSC: more hardly pay.
    atlases: Count = Field(
        12,
        description="labelled subjects that one reference is made of: nearest in age first, never "
        "the same person",
    )
    tasks: Count = Field(
        100, description="array tasks that share the pool; as many as images: one an image"
    )


References = (
    NoReferences
    | EmbeddedReferences
    | PropagationReferences
    | FolderReferences
    | BidsReferences
    | TableReferences
)
# Which labels and references go with which images.
FITTING: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "phantom": (("embedded",), ("none", "propagation", "embedded")),
    "oasis": (("challenge",), ("none", "propagation", "malpem", "dseg")),
    "bids": (("bids", "challenge"), ("none", "propagation", "malpem", "dseg", "bids")),
    "folder": (("table", "challenge"), ("none", "propagation", "malpem", "dseg", "table")),
}


class CohortSpec(CohortSettings):
    """Where the cohort comes from, and how it becomes shards."""

    images: Annotated[
        PhantomImages | OasisImages | BidsImages | FolderImages, Field(discriminator="kind")
    ] = Field(description="the images, by kind")
    labels: Annotated[
        EmbeddedLabels | ChallengeLabels | BidsLabels | TableLabels, Field(discriminator="kind")
    ] = Field(EmbeddedLabels(), description="the labels to learn from, by kind")
    references: Annotated[References, Field(discriminator="kind")] = Field(
        NoReferences(), description="segmentations of the whole cohort to measure against, by kind"
    )

    @model_validator(mode="after")
    def _sources_fit(self) -> CohortSpec:
        images = self.images.kind
        labels, references = FITTING[images]
        if self.labels.kind not in labels:
            why = "phantom images embed their labels, others need files"
            raise ValueError(
                f"labels of kind {self.labels.kind!r} do not go with images of kind {images!r}: "
                + (why if "embedded" in (*labels, self.labels.kind) else f"give {_either(labels)}")
            )
        if self.references.kind not in references:
            raise ValueError(
                f"references of kind {self.references.kind!r} do not go with images of kind "
                f"{images!r}; give {_either(references)}"
            )
        return self

    @property
    def max_outside_roi(self) -> float:
        """Of a subject's labelled voxels, how many may lie outside the region of interest."""
        labels = self.labels
        if isinstance(labels, BidsLabels | TableLabels):
            return labels.max_outside_roi
        return MAX_OUTSIDE_ROI

    def places(self) -> Iterator[tuple[str, str, bool]]:
        """Every path of the section: its key, the path, and whether it is a folder."""
        for section in ("images", "labels", "references"):
            given = getattr(self, section)
            for name, is_folder in PATH_FIELDS.items():
                path = getattr(given, name, None)
                if path is not None:
                    yield f"{section}.{name}", path, is_folder


# Fields that hold paths, in any kind: name -> it is a folder.
PATH_FIELDS = {"discs": True, "folder": True, "table": False, "masks": True, "template": False}


def _check_space(in_common_space: bool, template: str | None) -> None:
    if not in_common_space and template is None:
        raise ValueError(
            "images in their own space need a template: name a brain-extracted image in the common "
            "space, or set in_common_space: true where they are in it already"
        )


def _either(kinds: tuple[str, ...]) -> str:
    return " or ".join((", ".join(kinds[:-1]), kinds[-1])) if len(kinds) > 1 else kinds[0]

"""What the report says of an experiment's data, in words."""

from __future__ import annotations

from pathlib import Path

from gansfer.gan_settings import GanSettings
from jobs.experiment.cohort_section import (
    EmbeddedReferences,
    NoReferences,
    OasisImages,
    PhantomImages,
    PropagationReferences,
    References,
)
from jobs.experiment.model import Experiment


def dataset_words(experiment: Experiment) -> str:
    """Which images were used, as part of a sentence."""
    images = experiment.cohort.images
    roi = experiment.cohort.roi
    size = f"{roi.voxel_mm:g} mm"
    if roi.slice_mm is not None and roi.slice_mm != roi.voxel_mm:
        size += f" in slices {roi.slice_mm:g} mm apart"
    if isinstance(images, PhantomImages):
        return (
            f"the built-in phantom cohort at {size}, {images.labelled} labelled and "
            f"{images.unlabelled} unlabelled subjects"
        )
    if isinstance(images, OasisImages):
        return f"OASIS-1 layout in {Path(images.discs).name} at {size}"
    return f"{images.kind} layout in {Path(images.folder).name} at {size}"


def pool_rule(experiment: Experiment) -> str:
    """Whether test subjects' images are in the unlabelled pool: a sentence."""
    if experiment.cohort.exclude_test_from_unlabelled:
        return "The unlabelled pool leaves out the images of the fold's test subjects."
    return (
        "As in the paper, the unlabelled pool holds the images (without labels) of the fold's "
        "test subjects too."
    )


def beyond_paper(gan: GanSettings) -> str:
    """What GANs are trained with that the paper's are not: sentences, empty where there is nothing.

    Numbers alone, such as widths and images shown, are not counted as such.
    """
    phases = {"2": gan.phase_2.coupling_weight, "3": gan.phase_3.coupling_weight}
    judged = [phase for phase, weight in phases.items() if weight > 0]
    said = []
    if judged:
        in_phases = f"phase {judged[0]}" if len(judged) == 1 else "phases 2 and 3"
        said.append(
            f"a critic more in {in_phases}, which sees small windows of image and labels together"
        )
    if gan.labelled_copies > 0:
        who = "it and D_S know" if judged else "D_S knows"
        said.append(f"{who} deformed copies of each labelled slice ({gan.labelled_copies})")
    if gan.penalty_every > 1:
        said.append(f"a gradient penalty in one of {gan.penalty_every} updates of a critic")
    if not said:
        return ""
    return f"Not in the paper: {'; '.join(said)}."


def reference_rule(references: References) -> str:
    """What the full cohort is measured against: a sentence, empty where there is nothing."""
    if isinstance(references, NoReferences):
        return ""
    if isinstance(references, EmbeddedReferences):
        return "The references are the built-in cohort's true labels."
    if isinstance(references, PropagationReferences):
        n = references.atlases
        most = "one labelled subject" if n == 1 else f"at most {n} labelled subjects"
        return (
            "The references are not manual labels but the result of multi-atlas label propagation "
            f"(SyN, joint label fusion) from {most}, nearest in age first and never the same "
            "person, in the place of the paper's MALPEM."
        )
    if references.kind == "malpem":
        return "The references are MALPEM's segmentations, no manual labels, as in the paper."
    folder = getattr(references, "folder", None)
    where = "the cohort's table" if folder is None else Path(folder).name
    return f"The references are the segmentations in {where}."

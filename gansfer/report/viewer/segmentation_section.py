"""What the page shows of the segmentations themselves: baseline, augmented and reference."""

from __future__ import annotations

import itertools
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from gansfer.drawing.style import structure_colour, structure_title
from gansfer.errors import UserError
from gansfer.report.page.cells import signed
from gansfer.report.page.page import Bullets, Gallery, Legend, Part, Section, SliceViewer
from gansfer.report.tables.arm_names import arm_title
from gansfer.report.viewer.shown_subjects import ShownSubject
from gansfer.report.viewer.slice_strips import in_cubes, plane_strips, slice_numbers

_LOG = logging.getLogger(__name__)
_HOW_TO_READ = (
    "Rows, from above: axial, coronal and sagittal slices through the structures of the reference. "
    "The slider moves them upwards, to the back, and from the middle to the subject's left. The "
    "subject's right is on the left, in sagittal slices the front."
)
Labels = npt.NDArray[np.uint8]


@dataclass(frozen=True)
class SegmentedSubject:
    """A subject's MR and three label maps, all [Z, H, W].

    Attributes:
        image_zhw: z-scores.
        baseline_zhw: labels, 0 and 1..S.
        augmented_zhw: labels.
        reference_zhw: labels.
        spacing_zhw_mm: voxel size.
    """

    image_zhw: npt.NDArray[np.float32]
    baseline_zhw: Labels
    augmented_zhw: Labels
    reference_zhw: Labels
    spacing_zhw_mm: tuple[float, float, float]


ReadSubject = Callable[[ShownSubject], SegmentedSubject]


def segmentation_section(
    shown: Sequence[ShownSubject], read: ReadSubject, structures: Sequence[str], ratio_rule: str
) -> Section | None:
    """A viewer for each subject, by label count; None where there is nothing to show.

    A subject whose files cannot be read is named, with the reason.

    Args:
        shown: the subjects.
        read: gives a subject's volumes; raises UserError where it cannot.
        structures: names of labels 1, 2, ...
        ratio_rule: how the augmented arm's ratio was chosen, as part of a sentence.
    """
    if not shown:
        return None
    galleries: list[Part] = []
    lacking = []
    for labels, subjects in itertools.groupby(shown, key=lambda one: one.labels):
        viewers = []
        for one in subjects:
            try:
                volumes = read(one)
            except UserError as error:
                lacking.append(f"N = {labels}, {_name(one)}: {error}")
                _LOG.warning("no picture of the segmentations of %s: %s", one.subject, error)
            else:
                viewers.append(_viewer(one, volumes))
        if viewers:
            galleries.append(Gallery(f"N = {labels}", viewers, wide=True))
    parts: list[Part] = []
    if galleries:
        named = enumerate(map(structure_title, structures))
        parts = [Legend([(name, structure_colour(k)) for k, name in named]), *galleries]
    if lacking:
        parts.append(Bullets(f"Not shown ({len(lacking)})", lacking, open=True))
    which = (
        "The worst, the median and the best test subject of each N, by the overall Dice of the "
        f"augmented segmenter, which takes {ratio_rule}. Outlines on the subject's MR."
    )
    return Section("Segmentations", [which, _HOW_TO_READ], parts)


def _name(one: ShownSubject) -> str:
    return f"{one.rank} of {one.n_subjects}" if one.n_subjects > 1 else "the only test subject"


def _viewer(one: ShownSubject, volumes: SegmentedSubject) -> SliceViewer:
    image_zhw = in_cubes(volumes.image_zhw, volumes.spacing_zhw_mm)
    given = volumes.baseline_zhw, volumes.augmented_zhw, volumes.reference_zhw
    maps = [in_cubes(one, volumes.spacing_zhw_mm) for one in given]
    numbers = slice_numbers(maps[-1])
    ratio = arm_title(one.augmented)
    dice = f"overall Dice {one.baseline_dsc:.3f} by the baseline, {one.augmented_dsc:.3f} augmented"
    gain = signed(one.augmented_dsc - one.baseline_dsc)
    return SliceViewer(
        title=f"N = {one.labels}, {_name(one)}: {one.subject}.",
        caption=f"{dice[0].upper()}{dice[1:]} ({ratio}): {gain} in this one subject. Fold "
        f"{one.fold}, seed {one.seed}.",
        alt=f"N = {one.labels}, {_name(one)}, subject {one.subject}: the structures as outlined by "
        f"the baseline, by the augmented segmenter ({ratio}) and in the reference, on axial, "
        f"coronal and sagittal slices of the MR; {dice}",
        columns=[
            ("Baseline", f"{one.baseline_dsc:.3f}"),
            (f"Augmented {ratio}", f"{one.augmented_dsc:.3f}"),
            ("Reference", ""),
        ],
        strips=plane_strips(image_zhw, maps, numbers),
        n_slices=len(numbers["axial"]),
    )

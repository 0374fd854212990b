"""Postprocessing as one cell does it: its masks, its thresholds, its slice numbers (III.B).

Legend: K generated slices, N training subjects, S structures, Z H W as everywhere.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from gansfer.cohort.encode import ChannelCode
from gansfer.cohort.training_data import LabelledVolumes
from gansfer.progress import Watch
from gansfer.settings import SynthesisSettings
from gansfer.synthesis.calibration import fitted_rule
from gansfer.synthesis.neighbours import nearest_slice_number
from gansfer.synthesis.postprocess import PostprocessRule, postprocess, structure_masks

Floats = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Labelled:
    """Label maps [K, H, W] of generated slices, and the slice number [K] that each was given."""

    label_khw: npt.NDArray[np.uint8]
    slice_index_k: npt.NDArray[np.int64]


@dataclass(frozen=True)
class Labelling:
    """How one cell's generated slices are labelled.

    Attributes:
        numbered_nzhw: [N, Z, H, W] z-scored images that number the generated slices.
        mask_szhw: [S, Z, H, W] where each structure may be.
        rule: thresholds and radii.
    """

    numbered_nzhw: Floats
    mask_szhw: npt.NDArray[np.bool_]
    rule: PostprocessRule

    def slice_index(self, image_khw: Floats) -> npt.NDArray[np.int64]:
        """Slice number of each image: that of the nearest real slice whose number is known."""
        return nearest_slice_number(image_khw, self.numbered_nzhw)

    def label(
        self, image_khw: Floats, contrast_kshw: Floats, watch: Watch | None = None
    ) -> Labelled:
        """Label maps of generated slices, z-scored images and contrasts in."""
        slice_index_k = self.slice_index(image_khw)
        label_khw = postprocess(
            image_khw, contrast_kshw, slice_index_k, self.mask_szhw, self.rule, watch=watch
        )
        return Labelled(label_khw, slice_index_k)


def labelling_of(
    training_image_nzhw: Floats,
    training_label_nzhw: npt.NDArray[np.uint8],
    known_image_khw: Floats,
    group: LabelledVolumes,
    code: ChannelCode,
    spacing_zhw_mm: tuple[float, float, float],
    settings: SynthesisSettings,
) -> Labelling:
    """Masks from all available labels of the cell; thresholds from its group's contrast (III.B).

    Args:
        training_image_nzhw: [N, Z, H, W] z-scored images of all labelled subjects of the cell.
        training_label_nzhw: [N, Z, H, W] their label maps.
        known_image_khw: [K, H, W] every slice that the cell knows, of whole volumes, bottom to top;
            with or without labels.
        group: those labelled subjects that the GAN was trained on.
        code: the code that it was trained with: contrasts are measured as the GAN saw them,
            clipped as they were.
        spacing_zhw_mm: voxel size.
        settings: margin, radii and fractions.
    """
    _, contrast_kshw = code.decode(group.encoded(code)[0])
    mask_szhw = structure_masks(
        training_label_nzhw, len(code.structures), settings.mask_margin_mm, spacing_zhw_mm
    )
    rule = fitted_rule(
        group.image_nzhw,
        group.label_nzhw,
        contrast_kshw,
        mask_szhw,
        spacing_zhw_mm[1:],
        settings,
    )
    numbered_nzhw = training_image_nzhw
    if settings.slice_numbers_from == "known":
        numbered_nzhw = known_image_khw.reshape(-1, *training_image_nzhw.shape[1:])
    return Labelling(numbered_nzhw, mask_szhw, rule)

"""Postprocessing as one cell does it: its masks, its thresholds, its slice numbers (III.B).

Legend: K generated slices, N training subjects, S structures, Z H W as everywhere.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from gansfer.progress import Watch
from gansfer.synthesis.calibration import fitted_rule
from gansfer.synthesis.neighbours import nearest_slice_number
from gansfer.synthesis.postprocess import PostprocessRule, postprocess, structure_masks
from jobs.stages.context import Context

Floats = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Labelled:
    """Label maps [K, H, W] of generated slices, and the slice number [K] that each was given."""

    label_khw: npt.NDArray[np.uint8]
    slice_index_k: npt.NDArray[np.int64]


@dataclass(frozen=True)
class Labelling:
    """The rule of one cell, from the labels that are available to it."""

    numbered_nzhw: Floats
    mask_szhw: npt.NDArray[np.bool_]
    rule: PostprocessRule

    @classmethod
    def of_cell(cls, context: Context) -> Labelling:
        """Masks from all available labels of the cell; thresholds from its group's contrast."""
        data, settings = context.data, context.experiment.synthesis
        spacing_zhw_mm = context.cohort.spacing_zhw_mm
        _, contrast_kshw = data.code.decode(data.encoded_group()[0])
        mask_szhw = structure_masks(
            data.training_labels_nzhw,
            len(context.cohort.structures),
            settings.mask_margin_mm,
            spacing_zhw_mm,
        )
        rule = fitted_rule(
            context.cohort.images(data.group_ids),
            context.cohort.labels(data.group_ids),
            contrast_kshw,
            mask_szhw,
            spacing_zhw_mm[1:],
            settings,
        )
        numbered_nzhw = data.training_images_nzhw
        if settings.slice_numbers_from == "known":
            numbered_nzhw = data.known_images_khw.reshape(-1, *numbered_nzhw.shape[1:])
        return cls(numbered_nzhw, mask_szhw, rule)

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

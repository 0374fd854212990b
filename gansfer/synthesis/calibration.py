"""The label thresholds that give the training labels back: the round trip as a calibration.

Axes legend: K = N * Z real labelled slices, S structures, H rows, W columns.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import numpy.typing as npt

from gansfer.settings import SynthesisSettings
from gansfer.synthesis.postprocess import PostprocessRule, mean_contrast, postprocess
from gansfer.volumes import as_slices

Floats = npt.NDArray[np.floating]
Labels = npt.NDArray[np.uint8]

# A generator's edges are blurred, and half of a structure's contrast is where a blurred edge lies:
# no fraction above that is tried.
FRACTIONS = tuple(np.round(np.arange(0.05, 0.501, 0.05), 2))
TOLERANCE = 0.005


def fitted_rule(
    image_nzhw: Floats,
    label_nzhw: Labels,
    contrast_kshw: Floats,
    mask_szhw: npt.NDArray[np.bool_],
    spacing_hw_mm: tuple[float, float],
    settings: SynthesisSettings,
) -> PostprocessRule:
    """The numbers of the postprocessing, with what must be learnt from labelled slices.

    Args:
        image_nzhw: [N, Z, H, W] z-scored images of the labelled subjects of a GAN.
        label_nzhw: [N, Z, H, W] their label maps.
        contrast_kshw: [N * Z, S, H, W] their label channels as the GAN sees them, decoded.
        mask_szhw: [S, Z, H, W] from `structure_masks`.
        spacing_hw_mm: row and column spacing.
        settings: margins, radii and fractions.
    """
    n_subjects, n_slices = label_nzhw.shape[:2]
    label_khw = as_slices(label_nzhw)
    calibrated = settings.binarise_fraction == "calibrated"
    rule = PostprocessRule(
        mean_contrast_s=mean_contrast(contrast_kshw, label_khw),
        spacing_hw_mm=spacing_hw_mm,
        binarise_fraction=0.5 if calibrated else float(settings.binarise_fraction),
        closing_radius_mm=settings.closing_radius_mm,
        opening_width_mm=settings.opening_width_mm,
        spur_length_mm=settings.spur_length_mm,
        least_area_mm2=settings.least_area_mm2,
        intensity_sd=settings.intensity_sd,
    )
    if not calibrated:
        return rule
    fraction_s = calibrated_fractions(
        as_slices(image_nzhw),
        contrast_kshw,
        label_khw,
        np.tile(np.arange(n_slices), n_subjects),
        mask_szhw,
        rule,
    )
    return replace(rule, binarise_fraction=fraction_s)


def calibrated_fractions(
    image_khw: Floats,
    contrast_kshw: Floats,
    label_khw: Labels,
    slice_index_k: npt.NDArray[np.integer],
    mask_szhw: npt.NDArray[np.bool_],
    rule: PostprocessRule,
) -> npt.NDArray[np.float64]:
    """[S] the largest fraction of each structure's mean contrast that keeps its labels.

    Real labelled slices are postprocessed with each of `FRACTIONS`, as if a generator had drawn
    them; of those whose DSC to the labels that went in is within .005 of the structure's best, the
    largest is taken: it is the farthest from what a generator leaves in the background. Paper
    silent.

    Args:
        image_khw: [K, H, W] z-scored training images.
        contrast_kshw: [K, S, H, W] their encoded labels, decoded again.
        label_khw: [K, H, W] the labels.
        slice_index_k: [K] their true slice numbers.
        mask_szhw: [S, Z, H, W] from `structure_masks`.
        rule: the other numbers of the postprocessing.
    """
    n_structures = contrast_kshw.shape[1]
    some_k = label_khw.any(axis=(1, 2))  # without labels there is nothing to keep
    image_khw, contrast_kshw = image_khw[some_k], contrast_kshw[some_k]
    label_khw, slice_index_k = label_khw[some_k], slice_index_k[some_k]
    dsc_fs = np.array(
        [
            structure_dsc(
                postprocess(
                    image_khw,
                    contrast_kshw,
                    slice_index_k,
                    mask_szhw,
                    replace(rule, binarise_fraction=fraction),
                ),
                label_khw,
                n_structures,
            )
            for fraction in FRACTIONS
        ]
    )
    good_fs = dsc_fs >= dsc_fs.max(axis=0) - TOLERANCE
    return np.where(good_fs, np.array(FRACTIONS)[:, None], 0.0).max(axis=0)


def structure_dsc(one_khw: Labels, other_khw: Labels, n_structures: int) -> npt.NDArray[np.float64]:
    """[S] Dice coefficient of each structure over all slices together; 1 where both are empty."""
    values = np.arange(1, n_structures + 1)
    both_s = np.array([np.count_nonzero((one_khw == v) & (other_khw == v)) for v in values])
    sizes_s = np.array(
        [np.count_nonzero(one_khw == v) + np.count_nonzero(other_khw == v) for v in values]
    )
    return np.where(sizes_s > 0, 2.0 * both_s / np.maximum(sizes_s, 1), 1.0)

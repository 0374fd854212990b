"""From generated contrast channels to one clean label map per slice (III.B, Fig. 3).

mask -> binarise -> close and fill holes -> intensity gate -> fill holes -> drop spurs and specks.

A pixel belongs to one structure at most after every step. Closing and filling only claim pixels
that are still background; where two structures claim one pixel, the stronger contrast takes it.
No pixel outside its structure's mask is ever labelled.

Axes legend: K generated slices, S structures, N training subjects, Z slices, H rows, W columns.
Contrast is s_k * (MR - WM) as decoded from the generator, in z-scored units.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from gansfer.errors import UserError
from gansfer.progress import Silent, StopRequested, Watch
from gansfer.synthesis.morphology import close_gaps, disk, drop_specks, drop_spurs, fill_holes

Bools = npt.NDArray[np.bool_]
Floats = npt.NDArray[np.floating]
Labels = npt.NDArray[np.uint8]

_SLICES_AT_ONCE = 256


@dataclass(frozen=True)
class PostprocessRule:
    """The numbers of the postprocessing of one cell.

    Attributes:
        mean_contrast_s: [S] mean labelled contrast of each structure, see `mean_contrast`.
        spacing_hw_mm: row and column spacing of the slices.
        binarise_fraction: threshold as a fraction of `mean_contrast_s`, one for all or [S]; see
            `calibrated_fractions`. Paper silent.
        closing_radius_mm: radius of the closing disk. Paper silent; 1 mm.
        opening_width_mm: thinner parts may be spurs. Paper silent; 2 mm.
        spur_length_mm: thin parts that reach farther go. Paper silent; 2 mm.
        least_area_mm2: smaller components go. Paper silent; 4 mm2.
        intensity_sd: pixels kept by the gate: mean +/- this many SD (III.B: 2).
    """

    mean_contrast_s: npt.NDArray[np.float64]
    spacing_hw_mm: tuple[float, float]
    binarise_fraction: float | npt.NDArray[np.float64] = 0.5
    closing_radius_mm: float = 1.0
    opening_width_mm: float = 2.0
    spur_length_mm: float = 2.0
    least_area_mm2: float = 4.0
    intensity_sd: float = 2.0


@dataclass(frozen=True)
class PostprocessSteps:
    """What each step leaves, for Fig. 3.

    Attributes:
        masked_kshw: contrast inside the mask, 0 outside (panel B).
        binarised_khw: label map after the threshold (C).
        filled_khw: after closing and hole filling (D).
        gated_khw: after the intensity gate (E).
        refilled_khw: after the second hole filling.
        label_khw: without spurs and specks, the result (F).
    """

    masked_kshw: Floats
    binarised_khw: Labels
    filled_khw: Labels
    gated_khw: Labels
    refilled_khw: Labels
    label_khw: Labels


def structure_masks(
    label_nzhw: Labels,
    n_structures: int,
    margin_mm: float,
    spacing_zhw_mm: tuple[float, float, float],
) -> Bools:
    """[S, Z, H, W] points within `margin_mm` of any training label of each structure (III.B).

    Args:
        label_nzhw: [N, Z, H, W] label maps of all labelled subjects of the cell.
        n_structures: S.
        margin_mm: distance between voxel centres, in space, not in voxels; 10 in the paper.
        spacing_zhw_mm: slice, row and column spacing.
    """
    mask_szhw = np.zeros((n_structures, *label_nzhw.shape[1:]), bool)
    for s in range(n_structures):
        union_zhw = (label_nzhw == s + 1).any(axis=0)
        if union_zhw.any():
            distance_mm_zhw = ndimage.distance_transform_edt(~union_zhw, sampling=spacing_zhw_mm)
            mask_szhw[s] = distance_mm_zhw <= margin_mm * (1.0 + 1e-9)
    return mask_szhw


def mean_contrast(contrast_nshw: Floats, label_nhw: Labels) -> npt.NDArray[np.float64]:
    """[S] mean of each structure's contrast over its labelled pixels; NaN where it has none.

    Args:
        contrast_nshw: [N, S, H, W] contrast channels of real labelled slices.
        label_nhw: [N, H, W] their label maps.
    """
    inside_s = [contrast_nshw[:, s][label_nhw == s + 1] for s in range(contrast_nshw.shape[1])]
    return np.array(
        [inside.mean(dtype=np.float64) if inside.size else np.nan for inside in inside_s]
    )


def postprocess(
    image_khw: Floats,
    contrast_kshw: Floats,
    slice_index_k: npt.NDArray[np.integer],
    mask_szhw: Bools,
    rule: PostprocessRule,
    *,
    watch: Watch | None = None,
) -> Labels:
    """[K, H, W] label maps (0 background, s + 1) of generated slices (III.B).

    Args:
        image_khw: [K, H, W] generated MR, z-scored.
        contrast_kshw: [K, S, H, W] generated contrast channels, decoded.
        slice_index_k: [K] z of each slice in the masks.
        mask_szhw: [S, Z, H, W] from `structure_masks`.
        rule: thresholds and radii.
        watch: told of each finished block of slices.

    Raises:
        UserError: a structure that has labels has no positive mean contrast.
        StopRequested: the watch asked to stop; nothing is kept.
    """
    watch = watch or Silent()
    label_khw = np.zeros(image_khw.shape, np.uint8)
    for start in range(0, len(image_khw), _SLICES_AT_ONCE):
        if watch.stopping():
            raise StopRequested
        here = slice(start, start + _SLICES_AT_ONCE)
        steps = postprocess_steps(
            image_khw[here], contrast_kshw[here], slice_index_k[here], mask_szhw, rule
        )
        label_khw[here] = steps.label_khw
        done = min(here.stop, len(image_khw))
        watch.report(done, len(image_khw), "slices", "postprocessing")
    return label_khw


def postprocess_steps(
    image_khw: Floats,
    contrast_kshw: Floats,
    slice_index_k: npt.NDArray[np.integer],
    mask_szhw: Bools,
    rule: PostprocessRule,
) -> PostprocessSteps:
    """As `postprocess`, all slices at once, with what each step leaves (Fig. 3)."""
    _check_mean_contrast(rule.mean_contrast_s, mask_szhw)
    mask_kshw = mask_szhw[:, slice_index_k].swapaxes(0, 1)
    # In units of its mean, a structure near white matter (pallidum) competes on equal terms.
    with np.errstate(invalid="ignore", divide="ignore"):
        relative_kshw = contrast_kshw / rule.mean_contrast_s[:, None, None].astype(np.float32)
    strength_kshw = np.where(mask_kshw, relative_kshw, -np.inf)
    binarised_khw = _binarise(strength_kshw, rule.binarise_fraction)

    closing = disk(rule.closing_radius_mm, rule.spacing_hw_mm)
    closed_khw = _grow(binarised_khw, strength_kshw, lambda own_khw: close_gaps(own_khw, closing))
    filled_khw = _grow(closed_khw, strength_kshw, fill_holes)
    gated_khw = _gate(filled_khw, image_khw, contrast_kshw.shape[1], rule.intensity_sd)
    refilled_khw = _grow(gated_khw, strength_kshw, fill_holes)
    label_khw = _without_spurs_and_specks(refilled_khw, contrast_kshw.shape[1], rule)
    return PostprocessSteps(
        masked_kshw=np.where(mask_kshw, contrast_kshw, 0),
        binarised_khw=binarised_khw,
        filled_khw=filled_khw,
        gated_khw=gated_khw,
        refilled_khw=refilled_khw,
        label_khw=label_khw,
    )


def _check_mean_contrast(mean_contrast_s: npt.NDArray[np.float64], mask_szhw: Bools) -> None:
    labelled_s = mask_szhw.any(axis=(1, 2, 3))
    bad_s = np.flatnonzero(labelled_s & ~(mean_contrast_s > 0))
    if bad_s.size:
        raise UserError(
            f"structure number {bad_s[0] + 1} of {len(mean_contrast_s)}: mean labelled contrast is "
            f"{mean_contrast_s[bad_s[0]]:g}, expected more than 0; "
            "check its labels and the white-matter estimate"
        )


def _binarise(strength_kshw: Floats, fraction: float | npt.NDArray[np.float64]) -> Labels:
    """The strongest of the structures that exceed their thresholds in a pixel, else background."""
    fraction_s11 = np.broadcast_to(fraction, strength_kshw.shape[1])[:, None, None]
    claimed_kshw = np.where(strength_kshw <= fraction_s11, -np.inf, strength_kshw)  # NaN stays
    winner_khw = claimed_kshw.argmax(axis=1)
    peak_khw = np.take_along_axis(claimed_kshw, winner_khw[:, None], axis=1)[:, 0]
    return np.where(peak_khw > -np.inf, winner_khw + 1, 0).astype(np.uint8)


def _grow(label_khw: Labels, strength_kshw: Floats, enlarge: Callable[[Bools], Bools]) -> Labels:
    """Let each structure claim background by `enlarge`; the strongest claim wins, masks hold."""
    grown_khw = label_khw.copy()
    free_khw = label_khw == 0
    best_khw = np.full(label_khw.shape, -np.inf, strength_kshw.dtype)
    for s in range(strength_kshw.shape[1]):
        strength_khw = strength_kshw[:, s]
        claimed_khw = enlarge(label_khw == s + 1) & free_khw & (strength_khw > best_khw)
        grown_khw[claimed_khw] = s + 1
        best_khw[claimed_khw] = strength_khw[claimed_khw]
    return grown_khw


def _gate(label_khw: Labels, image_khw: Floats, n_structures: int, n_sd: float) -> Labels:
    """Drop pixels beyond mean +/- n_sd SD of the MR within their structure, slice by slice."""
    n_groups = n_structures + 1
    group_m = (np.arange(len(label_khw))[:, None, None] * n_groups + label_khw).ravel()
    value_m = image_khw.astype(np.float64).ravel()
    count_g = np.maximum(np.bincount(group_m, minlength=len(label_khw) * n_groups), 1)
    mean_g = np.bincount(group_m, value_m, len(count_g)) / count_g
    from_mean_m = value_m - mean_g[group_m]
    sd_g = np.sqrt(np.bincount(group_m, from_mean_m**2, len(count_g)) / count_g)
    inside_m = np.abs(from_mean_m) <= n_sd * sd_g[group_m]
    return np.where(inside_m.reshape(label_khw.shape), label_khw, 0).astype(np.uint8)


def _without_spurs_and_specks(
    label_khw: Labels, n_structures: int, rule: PostprocessRule
) -> Labels:
    """What the paper's opening is for, by size and shape; see `drop_spurs`, `drop_specks`."""
    cleaned_khw = np.zeros_like(label_khw)
    spacing_hw_mm = rule.spacing_hw_mm
    for s in range(n_structures):
        own_khw = drop_spurs(
            label_khw == s + 1, rule.opening_width_mm, rule.spur_length_mm, spacing_hw_mm
        )
        cleaned_khw[drop_specks(own_khw, rule.least_area_mm2, spacing_hw_mm)] = s + 1
    return cleaned_khw

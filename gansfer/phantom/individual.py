"""What makes one phantom subject differ from the next: a few random numbers, age and CDR.

Nothing here depends on a grid: the same subject has the same anatomy at every voxel size.

Axes legend: K lattice points a side.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.ndimage import uniform_filter

from gansfer.phantom.shapes import LOFTS, Floats
from gansfer.phantom.ventricle import ventricle_volume_mm3

HEAD_MM = 128.0  # lattices span a cube of twice this side, beyond any head
WARP_SPACING_MM = (28.0, 14.0)
WARP_SD_MM = (3.0, 2.8)
FOLD_SPACING_MM = 8.0
WOBBLE_SPACING_MM = 11.0
TEXTURE_SPACING_MM = 6.0
# Loss of volume, as a logarithm: from 20 to 80 years of age, and for each point of CDR. Rounded
# from what the literature says of it: dementia takes most from hippocampus and amygdala.
ATROPHY: Mapping[str, tuple[float, float]] = {
    "accumbens": (0.35, 0.05),
    "amygdala": (0.18, 0.20),
    "caudate": (0.25, 0.00),
    "hippocampus": (0.20, 0.20),
    "pallidum": (0.15, 0.00),
    "putamen": (0.30, 0.05),
    "thalamus": (0.20, 0.05),
}
# Between subjects of one age, as a logarithm; the warps add about a tenth. Rounded from the spread
# of the manual labels of 30 adults.
VOLUME_SD: Mapping[str, float] = {
    "accumbens": 0.25,
    "amygdala": 0.12,
    "caudate": 0.15,
    "putamen": 0.10,
    "pallidum": 0.12,
}
# Contrast to white matter differs between scans, and more between scanners and protocols.
GREY_SD = 0.03  # of all grey matter together
TISSUE_SD = 0.025  # of one tissue beside it


@dataclass(frozen=True)
class Individual:
    """One subject's anatomy and scan, before any grid.

    Attributes:
        ageing: 0 at 20 years, 1 at 80.
        affine: [3, 4] residual misalignment, common space -> average anatomy, mm.
        warps: random displacements, each (spacing in mm, [K, K, K, 3] mm).
        folds: (spacing in mm, [K, K, K]) the field whose zero surfaces are sulci.
        wobble: (spacing in mm, [K, K, K, 3] mm) waviness of the great fissures.
        texture: (spacing in mm, [K, K, K]) fine unevenness of the tissue.
        bias: (spacing in mm, [K, K, K]) logarithm of the receiver's unevenness.
        sulcus_mm: half the width of a sulcus.
        ventricle: 0 for the average young lateral ventricle, 1 for an old one with dementia.
        third_ventricle_mm: half the width of the third ventricle.
        temporal_horn_mm: how much thicker the temporal horn is than a slit, all round.
        scale: by structure, right and left: how much larger than average it is, along a side.
        shift_mm: by structure, right and left: [2, 3] displacement.
        contrast: by tissue: what is added to its intensity (white matter = 1).
        noise_sd: of a voxel of 1 mm, in units of white matter.
        white_matter: the scanner's units for white matter.
    """

    ageing: float
    affine: npt.NDArray[np.float32]
    warps: tuple[tuple[float, Floats], ...]
    folds: tuple[float, Floats]
    wobble: tuple[float, Floats]
    texture: tuple[float, Floats]
    bias: tuple[float, Floats]
    sulcus_mm: float
    ventricle: float
    third_ventricle_mm: float
    temporal_horn_mm: float
    scale: Mapping[str, tuple[float, float]]
    shift_mm: Mapping[str, Floats]
    contrast: Mapping[str, float]
    noise_sd: float
    white_matter: float


_EXPANSIONS = np.linspace(-0.6, 1.8, 25)
_VOLUMES_MM3 = np.array([ventricle_volume_mm3(float(e)) for e in _EXPANSIONS])


def _lattice(rng: np.random.Generator, spacing_mm: float, sd: float, *tail: int) -> Floats:
    """Random numbers on a cubic lattice over the head."""
    side = int(np.ceil(2 * HEAD_MM / spacing_mm)) + 4
    return rng.normal(0.0, sd, (side, side, side, *tail)).astype(np.float32)


def _small_affine(rng: np.random.Generator) -> npt.NDArray[np.float32]:
    """A registration's residual: about 1 degree, 2 % and 0.7 mm (SD)."""
    x, y, z = np.radians(rng.normal(0.0, 1.0, 3))
    rotation = np.eye(3) + np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])
    linear = rotation @ np.diag(1.0 + rng.normal(0.0, 0.02, 3))
    return np.column_stack([linear, rng.normal(0.0, 0.7, 3)]).astype(np.float32)


def _ventricle_volume_mm3(age_years: float, cdr: float, deviate: float) -> float:
    """Lateral ventricles of a subject: about 13 ml at 20 years, 37 ml at 80, half more with CDR 1.

    They grow by 1 % a year, faster past 40; subjects differ by a third (SD).
    """
    over_20, over_40 = max(age_years - 20.0, 0.0), max(age_years - 40.0, 0.0)
    dementia = 0.40 * min(cdr, 1.0) + 0.2 * max(cdr - 1.0, 0.0)
    log_ratio = 0.010 * over_20 + 0.00028 * over_40**2 + dementia + 0.33 * deviate
    return 13_000.0 * float(np.exp(log_ratio))


def draw_individual(rng: np.random.Generator, age_years: float, cdr: float) -> Individual:
    """Draw one subject's anatomy.

    Args:
        rng: the subject's own generator. The same one with another age or CDR gives the same
            subject, older or more demented.
        age_years: age.
        cdr: Clinical Dementia Rating.
    """
    ageing = (age_years - 20.0) / 60.0
    affine = _small_affine(rng)
    warps = tuple(
        (spacing_mm, _lattice(rng, spacing_mm, sd_mm, 3))
        for spacing_mm, sd_mm in zip(WARP_SPACING_MM, WARP_SD_MM, strict=True)
    )
    folds = _lattice(rng, FOLD_SPACING_MM, 1.0)
    folds -= uniform_filter(folds, 3, mode="nearest")
    wobble = _lattice(rng, WOBBLE_SPACING_MM, 5.0, 3)
    texture = _lattice(rng, TEXTURE_SPACING_MM, 0.09)
    bias = _lattice(rng, 60.0, 0.08)
    volume_mm3 = _ventricle_volume_mm3(age_years, cdr, float(rng.normal()))
    scale: dict[str, tuple[float, float]] = {}
    shift_mm: dict[str, Floats] = {}
    for name in LOFTS:
        by_age, by_cdr = ATROPHY.get(name, (0.0, 0.0))
        both, right, left = rng.normal(0.0, 1.0, 3)
        log_volume = VOLUME_SD.get(name, 0.08) * both - by_age * max(ageing, 0.0) - by_cdr * cdr
        sides = np.exp((log_volume + 0.03 * np.array([right, left])) / 3.0)
        scale[name] = (float(sides[0]), float(sides[1]))
        shift_mm[name] = rng.normal(0.0, 0.4, (2, 3)).astype(np.float32)
    grown = max(ageing, 0.0)
    grey = float(rng.normal(0.0, GREY_SD))
    contrast = {name: grey + float(rng.normal(0.0, TISSUE_SD)) for name in [*LOFTS, "cortex"]}
    contrast["csf"] = float(rng.normal(0.0, TISSUE_SD))
    return Individual(
        ageing=ageing,
        affine=affine,
        warps=warps,
        folds=(FOLD_SPACING_MM, folds),
        wobble=(WOBBLE_SPACING_MM, wobble),
        texture=(TEXTURE_SPACING_MM, texture),
        bias=(60.0, bias),
        sulcus_mm=float(0.28 + 0.40 * grown**2 + 0.15 * cdr + 0.04 * rng.normal()),
        ventricle=float(np.interp(volume_mm3, _VOLUMES_MM3, _EXPANSIONS)),
        third_ventricle_mm=float(
            np.clip(1.2 + 2.2 * grown**1.5 + 1.0 * cdr + 0.35 * rng.normal(), 0.7, 6.0)
        ),
        temporal_horn_mm=float(-0.6 + 0.6 * grown**2 + 0.6 * cdr + 0.15 * rng.normal()),
        scale=scale,
        shift_mm=shift_mm,
        contrast=contrast,
        noise_sd=float(0.028 * rng.uniform(0.7, 1.4)),
        white_matter=float(1000.0 * np.exp(0.12 * rng.normal())),
    )

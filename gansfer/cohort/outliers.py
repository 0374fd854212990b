"""Which subjects of a prepared cohort a person should look at first.

Three measures a subject, each against the cohort's own median and spread (median absolute
deviation): alignment (correlation with the cohort's mean image), intensity range, label volumes.

Legend: N subjects, Z H W as everywhere, S structures.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]

# 1.4826 times the median absolute deviation is a standard deviation where nothing is unusual.
_SD_OF_MAD = 1.4826
FAR_SD = 4.0
# Smaller spreads are taken for this one: equal values mean nothing is unusual, not everything.
LEAST_ALIGNMENT_SD = 0.01
LEAST_RANGE_SD = 0.1
LEAST_LOG_VOLUME_SD = 0.08


def alignment_scores(image_nzhw: npt.NDArray[np.floating]) -> Floats:
    """Correlation [N] of each image with the mean of the others, 1 at best; NaN: it is flat."""
    flat_nv = np.asarray(image_nzhw, np.float32).reshape(len(image_nzhw), -1)
    if len(flat_nv) < 2:
        return np.ones(len(flat_nv))
    total_v = flat_nv.sum(axis=0, dtype=np.float64)
    with np.errstate(invalid="ignore"):
        return np.array(
            [np.corrcoef(one_v, (total_v - one_v) / (len(flat_nv) - 1))[0, 1] for one_v in flat_nv]
        )


def far_from_median(value_n: npt.NDArray[np.floating], least_sd: float) -> Floats:
    """How many standard deviations [N] each value is from the median (signed; NaN stays)."""
    far_n: Floats = np.asarray(value_n, np.float64)
    known_n = far_n[np.isfinite(far_n)]
    if len(known_n) == 0:
        return far_n
    middle, sd = middle_and_sd(known_n, least_sd)
    return np.asarray((far_n - middle) / sd, np.float64)


def middle_and_sd(value_n: Floats, least_sd: float) -> tuple[float, float]:
    """Median and robust standard deviation of values, at least one, of which none is NaN."""
    middle = float(np.median(value_n))
    return middle, max(float(np.median(np.abs(value_n - middle))) * _SD_OF_MAD, least_sd)


def flags(
    alignment_n: Floats,
    low_n: Floats,
    high_n: Floats,
    volume_ns: Floats,
    structures: Sequence[str],
) -> list[list[str]]:
    """What is unusual of each subject, in words; empty lists where nothing is.

    Args:
        alignment_n: correlation with the mean of the others.
        low_n: low end of the intensities, z-score units.
        high_n: high end.
        volume_ns: volumes in ml [N, S]; NaN where there is no label map.
        structures: names of the columns of `volume_ns`.
    """
    flags_n: list[list[str]] = [[] for _ in alignment_n]
    for n, sd in enumerate(far_from_median(alignment_n, LEAST_ALIGNMENT_SD)):
        if np.isnan(sd):
            flags_n[n].append("flat")
        elif sd < -FAR_SD:
            flags_n[n].append(f"alignment {alignment_n[n]:.2f}")
    for n, (low_sd, high_sd) in enumerate(
        zip(
            far_from_median(low_n, LEAST_RANGE_SD),
            far_from_median(high_n, LEAST_RANGE_SD),
            strict=True,
        )
    ):
        if max(abs(low_sd), abs(high_sd)) > FAR_SD:
            flags_n[n].append(f"intensities {low_n[n]:.1f} to {high_n[n]:.1f}")
    for s, name in enumerate(structures):
        log_n = np.log(np.maximum(volume_ns[:, s], 1e-3))
        for n, sd in enumerate(far_from_median(log_n, LEAST_LOG_VOLUME_SD)):
            if abs(sd) > FAR_SD:
                flags_n[n].append(f"{name} {volume_ns[n, s]:.2f} ml")
    return flags_n

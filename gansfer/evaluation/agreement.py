"""Agreement of measured volumes with reference volumes (Bland & Altman 1986).

Axes legend: N subjects, S structures.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.floating]


@dataclass(frozen=True)
class BlandAltman:
    """Agreement of two measurements of the same subjects, in the measurements' unit.

    Attributes:
        mean_n: mean of the two measurements of each subject (abscissa).
        difference_n: measured - reference (ordinate).
        bias: mean difference; NaN without subjects.
        sd: standard deviation of the differences (n - 1); NaN below two subjects.
        low: bias - 1.96 sd, lower limit of agreement.
        high: bias + 1.96 sd, upper limit of agreement.
        n: subjects with both measurements.
        n_left_out: subjects that lack one of them.
    """

    mean_n: npt.NDArray[np.float64]
    difference_n: npt.NDArray[np.float64]
    bias: float
    sd: float
    low: float
    high: float
    n: int
    n_left_out: int


def bland_altman(measured_n: Floats, reference_n: Floats) -> BlandAltman:
    """Bias and 95 % limits of agreement.

    Args:
        measured_n: [N] one measurement of each subject; NaN where missing.
        reference_n: [N] the other.

    Raises:
        ValueError: the lengths differ.
    """
    if measured_n.shape != reference_n.shape:
        raise ValueError(f"{measured_n.shape} measured and {reference_n.shape} reference values")
    both_n = np.isfinite(measured_n) & np.isfinite(reference_n)
    measured = measured_n[both_n].astype(np.float64)
    reference = reference_n[both_n].astype(np.float64)
    difference = measured - reference
    bias = float(difference.mean()) if difference.size else float("nan")
    sd = float(difference.std(ddof=1)) if difference.size > 1 else float("nan")
    return BlandAltman(
        mean_n=(measured + reference) / 2.0,
        difference_n=difference,
        bias=bias,
        sd=sd,
        low=bias - 1.96 * sd,
        high=bias + 1.96 * sd,
        n=int(both_n.sum()),
        n_left_out=int((~both_n).sum()),
    )


def bland_altman_by_structure(
    measured_mm3_ns: Floats, reference_mm3_ns: Floats, structures: Sequence[str]
) -> dict[str, BlandAltman]:
    """Agreement of the volumes of each structure.

    Args:
        measured_mm3_ns: [N, S] volumes of the segmentations.
        reference_mm3_ns: [N, S] volumes of the references.
        structures: S names.
    """
    return {
        name: bland_altman(measured_mm3_ns[:, s], reference_mm3_ns[:, s])
        for s, name in enumerate(structures)
    }

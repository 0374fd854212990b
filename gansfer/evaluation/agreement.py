"""Agreement of measured volumes with reference volumes (Bland & Altman 1986).

Axes legend: N subjects.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.floating]


@dataclass(frozen=True)
class BlandAltman:
    """Agreement of two measurements of the same subjects, in the measurements' unit.

    Attributes:
        bias: mean difference; NaN without subjects.
        low: lower limit of agreement: bias - 1.96 SD of the differences (n - 1); NaN below two
            subjects.
        high: upper limit of agreement: bias + 1.96 SD.
        n: subjects with both measurements.
    """

    bias: float
    low: float
    high: float
    n: int


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
        bias=bias,
        low=bias - 1.96 * sd,
        high=bias + 1.96 * sd,
        n=int(both_n.sum()),
    )

"""How well a segmentation overlaps its reference: DSC by structure and overall, and volumes.

Everything measured on one subject is a list of `MetricRow`, the tidy table of `metrics.csv`. A
value of None means "not defined for this subject": left out of every mean, and counted.

Axes legend: Z slices, H rows, W columns. Label maps: 0 background, k + 1 for structures[k].
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

OVERALL = "overall"
MEAN = "mean"


@dataclass(frozen=True)
class MetricRow:
    """One number of one subject.

    Attributes:
        subject: id of the subject.
        structure: name of a structure, "overall" (all as one foreground) or "mean" (of the
            structures).
        metric: "dsc", "volume_mm3", "hd95_mm" and so on.
        value: the number, or None where it is not defined.
    """

    subject: str
    structure: str
    metric: str
    value: float | None


def dice_table(
    subject: str,
    label_zhw: npt.NDArray[np.integer],
    reference_zhw: npt.NDArray[np.integer],
    structures: Sequence[str],
) -> list[MetricRow]:
    """DSC by structure, overall and mean of one subject (III.C; "overall" is the paper's primary).

    A structure absent from the reference has no DSC (None), whether or not it was predicted; one
    present but not predicted has 0. "overall" counts a voxel of any structure as foreground, even
    of the wrong one. "mean" is over the structures that have a DSC (Table I, "Avg").

    Args:
        subject: id for the rows.
        label_zhw: the segmentation.
        reference_zhw: manual, true or surrogate labels on the same grid.
        structures: names, in the order of the label values.

    Raises:
        ValueError: the shapes differ, or a label value has no structure.
    """
    n_labels = len(structures) + 1
    check_label_maps(label_zhw, reference_zhw, len(structures))
    pair_m = label_zhw.astype(np.int64).ravel() * n_labels + reference_zhw.ravel()
    voxels_lr = np.bincount(pair_m, minlength=n_labels**2).reshape(n_labels, n_labels)
    dsc_s = [
        _dice(voxels_lr[v, v], voxels_lr[v].sum(), voxels_lr[:, v].sum())
        for v in range(1, n_labels)
    ]
    overall = _dice(voxels_lr[1:, 1:].sum(), voxels_lr[1:].sum(), voxels_lr[:, 1:].sum())
    defined = [dsc for dsc in dsc_s if dsc is not None]
    mean = float(np.mean(defined)) if defined else None
    named = zip((OVERALL, MEAN, *structures), (overall, mean, *dsc_s), strict=True)
    return [MetricRow(subject, name, "dsc", dsc) for name, dsc in named]


def volume_table(
    subject: str,
    label_zhw: npt.NDArray[np.integer],
    structures: Sequence[str],
    spacing_zhw_mm: tuple[float, float, float],
    *,
    metric: str = "volume_mm3",
) -> list[MetricRow]:
    """Volume of each structure of one subject (the features of III.G).

    Args:
        subject: id for the rows.
        label_zhw: a segmentation, or a reference.
        structures: names, in the order of the label values.
        spacing_zhw_mm: slice, row and column spacing.
        metric: name in the rows, such as "reference_volume_mm3".
    """
    check_label_maps(label_zhw, label_zhw, len(structures))
    voxel_mm3 = float(np.prod(spacing_zhw_mm))
    voxels_v = np.bincount(label_zhw.ravel(), minlength=len(structures) + 1)
    return [
        MetricRow(subject, name, metric, float(voxels) * voxel_mm3)
        for name, voxels in zip(structures, voxels_v[1:], strict=True)
    ]


def check_label_maps(
    label_zhw: npt.NDArray[np.integer], reference_zhw: npt.NDArray[np.integer], n_structures: int
) -> None:
    """Raise ValueError unless both are label maps of `n_structures` on one grid."""
    if label_zhw.shape != reference_zhw.shape:
        raise ValueError(f"label map {label_zhw.shape} and reference {reference_zhw.shape} differ")
    for what, map_zhw in (("label map", label_zhw), ("reference", reference_zhw)):
        if map_zhw.size and not 0 <= map_zhw.min() <= map_zhw.max() <= n_structures:
            raise ValueError(
                f"{what} has values {map_zhw.min()} to {map_zhw.max()}, "
                f"expected 0 to {n_structures}, one for each structure"
            )


def _dice(n_both: int, n_label: int, n_reference: int) -> float | None:
    if n_reference == 0:
        return None
    return 2.0 * float(n_both) / float(n_label + n_reference)

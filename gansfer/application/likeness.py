"""Whether a new image is like the cohort that a model was trained in.

The measures of `gansfer inspect`, against the same medians and spreads: the correlation of the
normalised image in the region of interest with the cohort's mean image, both ends of its
intensities, and the volumes that were segmented against those of the labelled subjects. What is
farther from the cohort's median than `FAR_SD` robust standard deviations is said in words. It is a
warning, no measure of how good the segmentation is.

Legend: N images of the cohort, Z H W as everywhere.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence

import numpy as np
import numpy.typing as npt

from gansfer.cohort.outliers import (
    FAR_SD,
    LEAST_ALIGNMENT_SD,
    LEAST_LOG_VOLUME_SD,
    LEAST_RANGE_SD,
    middle_and_sd,
)
from gansfer.settings import Settings

Images = npt.NDArray[np.float32]

RANGE_PERCENTILES = (0.5, 99.5)


class Usual(Settings):
    """What a measure is in the cohort: its median and its robust standard deviation."""

    middle: float
    sd: float

    def distance_sd(self, value: float) -> float:
        """How many standard deviations a value lies above the median (signed)."""
        return (value - self.middle) / self.sd


class Likeness(Settings):
    """What images of the training cohort are like.

    Attributes:
        n_images: of the cohort.
        alignment: correlation of an image with the mean of the others.
        low: low end of the intensities, z-score units.
        high: high end.
        log_ml: by structure, logarithm of the labelled subjects' volumes in ml, common space.
    """

    n_images: int
    alignment: Usual
    low: Usual
    high: Usual
    log_ml: dict[str, Usual]


def fit_likeness(
    images: Callable[[], Iterator[Images]],
    labelled_ml: Mapping[str, Sequence[float]],
) -> tuple[Likeness, Images]:
    """Measure a cohort, one image in memory at a time.

    Args:
        images: gives all of the cohort's images [Z, H, W]; called twice.
        labelled_ml: by structure, volumes of the labelled subjects in the common space.

    Returns:
        What they are like, and their mean image [Z, H, W].
    """
    total_zhw: npt.NDArray[np.float64] | None = None
    n_images = 0
    for image_zhw in images():
        total_zhw = image_zhw.astype(np.float64) if total_zhw is None else total_zhw + image_zhw
        n_images += 1
    assert total_zhw is not None, "a prepared cohort has a subject"
    measured = []
    for image_zhw in images():
        others_zhw = total_zhw - image_zhw if n_images > 1 else total_zhw
        measured.append((_correlation(image_zhw, others_zhw), *intensity_ends(image_zhw)))
    alignment_n, low_n, high_n = np.array(measured).T
    likeness = Likeness(
        n_images=n_images,
        alignment=_usual(alignment_n, LEAST_ALIGNMENT_SD),
        low=_usual(low_n, LEAST_RANGE_SD),
        high=_usual(high_n, LEAST_RANGE_SD),
        log_ml={
            name: _usual(_log_ml(volumes), LEAST_LOG_VOLUME_SD)
            for name, volumes in labelled_ml.items()
        },
    )
    return likeness, (total_zhw / n_images).astype(np.float32)


def intensity_ends(image_zhw: Images) -> tuple[float, float]:
    """The low and the high end of an image's intensities."""
    low, high = np.percentile(image_zhw, RANGE_PERCENTILES)
    return float(low), float(high)


def unlike(
    likeness: Likeness,
    mean_zhw: Images,
    image_zhw: Images,
    segmented_ml: Mapping[str, float],
) -> tuple[str, ...]:
    """What is unlike the cohort, in words; empty where nothing is.

    Args:
        likeness: of the cohort.
        mean_zhw: its mean image.
        image_zhw: the new image, normalised, in the region of interest.
        segmented_ml: volume of each structure in the common space.
    """
    alignment, (low, high) = _correlation(image_zhw, mean_zhw), intensity_ends(image_zhw)
    said = []
    # More alike than usual is no news.
    if not likeness.alignment.distance_sd(alignment) >= -FAR_SD:
        said.append(
            f"correlation {alignment:.2f} with the cohort's mean image, its own images have "
            f"{likeness.alignment.middle:.2f}"
        )
    distances = (likeness.low.distance_sd(low), likeness.high.distance_sd(high))
    if max(map(abs, distances)) > FAR_SD:
        said.append(
            f"intensities from {low:.1f} to {high:.1f} SD, the cohort's are from "
            f"{likeness.low.middle:.1f} to {likeness.high.middle:.1f}"
        )
    for name, known in likeness.log_ml.items():
        if not segmented_ml[name]:
            said.append(f"no voxel of {name}")
        elif abs(known.distance_sd(float(_log_ml([segmented_ml[name]])[0]))) > FAR_SD:
            said.append(
                f"{name} {segmented_ml[name]:.2f} ml in the common space, the labelled subjects "
                f"have {np.exp(known.middle):.2f}"
            )
    return tuple(said)


def volumes_ml(
    label_zhw: npt.NDArray[np.integer],
    structures: Sequence[str],
    spacing_zhw_mm: tuple[float, float, float],
) -> dict[str, float]:
    """Volume of each structure of a label map in the region of interest."""
    voxels = np.bincount(label_zhw.ravel(), minlength=len(structures) + 1)[1:]
    voxel_ml = float(np.prod(spacing_zhw_mm)) / 1000
    return {name: float(n) * voxel_ml for name, n in zip(structures, voxels, strict=True)}


def _log_ml(volumes: Sequence[float]) -> npt.NDArray[np.float64]:
    return np.log(np.maximum(np.asarray(volumes, np.float64), 1e-3))


def _usual(value_n: npt.NDArray[np.float64], least_sd: float) -> Usual:
    middle, sd = middle_and_sd(value_n[np.isfinite(value_n)], least_sd)
    return Usual(middle=middle, sd=sd)


def _correlation(one_zhw: npt.NDArray, other_zhw: npt.NDArray) -> float:
    """Pearson's, or NaN where an image is flat."""
    with np.errstate(invalid="ignore", divide="ignore"):
        return float(np.corrcoef(one_zhw.ravel(), other_zhw.ravel())[0, 1])

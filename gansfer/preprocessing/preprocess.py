"""From a raw subject to a z-scored image and label map in the region of interest (III.A).

Axes legend: x y z are voxel axes of a file or RAS millimetres; Z H W are slices (inferior to
superior), rows (anterior to posterior, row 0 anterior) and columns (patient's right to left,
column 0 right).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from sklearn.mixture import GaussianMixture

from gansfer.errors import UserError
from gansfer.preprocessing.brain import brain_of, check_brain_in_region
from gansfer.preprocessing.roi_check import LabelExtent, label_extent, roi_affine
from gansfer.resampling import resample_image, resample_labels
from gansfer.settings import RoiSettings
from gansfer.subjects import RawSubject, Subject

Affine = npt.NDArray[np.float64]
Floats = npt.NDArray[np.float32]
LabelMap = npt.NDArray[np.uint8]

GMM_VOXELS = 20_000


@dataclass(frozen=True)
class PreparedSubject:
    """One subject in the region of interest of the common space.

    Attributes:
        subject: session and demographics.
        image_zhw: float32, zero mean and unit variance over the brain voxels of the whole image;
            background is exactly (0 - mean) / SD.
        label_zhw: 0 and 1..S, or None.
        reference_zhw: for measuring only, or None.
        white_matter: white-matter intensity, z-score units.
        white_matter_source: "labels" or "mixture".
        intensity_mean: mean of the brain voxels, in the file's units.
        intensity_sd: their standard deviation, in the file's units.
        n_label_voxels_outside_roi: labelled voxels of the file that the region does not contain.
        registration_similarity: what the registration reported, or None where there was none.
        n_label_voxels: labelled voxels of the file.
        label_box_mm: what they span in the common space, RAS mm: lowest x, y, z, highest x, y, z;
            None where there is no label map.
        notes: what is odd with the subject's files, though they can be used; one line each.
    """

    subject: Subject
    image_zhw: Floats
    label_zhw: LabelMap | None
    reference_zhw: LabelMap | None
    white_matter: float
    white_matter_source: str
    intensity_mean: float
    intensity_sd: float
    n_label_voxels_outside_roi: int = 0
    registration_similarity: float | None = None
    n_label_voxels: int = 0
    label_box_mm: tuple[float, ...] | None = None
    notes: tuple[str, ...] = ()


def prepare_subject(
    raw: RawSubject,
    roi: RoiSettings,
    common_from_native: Affine | None = None,
    registration_similarity: float | None = None,
) -> PreparedSubject:
    """Normalise one subject and resample it into the region of interest.

    Args:
        raw: the subject as read.
        roi: region and voxel size.
        common_from_native: RAS millimetres of the file -> of the common space; None: the file is in
            the common space already.
        registration_similarity: kept with the subject.

    Raises:
        UserError: there is no brain or contrast, or the region holds none of the brain or labels.
    """
    subject_id = raw.subject.id
    if common_from_native is None and not raw.in_common_space:
        raise UserError(
            f"{subject_id}: image is in its own space; register it to the common space first"
        )
    intensity_xyz = np.asarray(raw.image.array_xyz, np.float32)
    brain_xyz = brain_of(raw)
    brain_v = intensity_xyz[brain_xyz]
    # float32 sums of a million voxels lose digits that the z-score would show.
    mean = float(brain_v.mean(dtype=np.float64))
    sd = float(brain_v.std(dtype=np.float64))
    white_matter, source = _white_matter(raw, mean, sd, brain_v)

    common_from_voxel = raw.image.affine_ras
    if common_from_native is not None:
        common_from_voxel = common_from_native @ raw.image.affine_ras
    # One affine from the region to the file's voxels: the image is interpolated once, not twice.
    voxel_from_roi = np.linalg.inv(common_from_voxel) @ roi_affine(roi)
    shape = roi.shape_zhw
    check_brain_in_region(subject_id, brain_xyz, voxel_from_roi, shape)
    # Resampled in the file's units, in which the background is 0, and standardised afterwards: so
    # that the spline meets a step from tissue to 0 and not to minus two standard deviations.
    intensity_zhw = resample_image(
        np.where(brain_xyz, intensity_xyz, np.float32(0)), brain_xyz, voxel_from_roi, shape
    )
    image_zhw = ((intensity_zhw.astype(np.float64) - mean) / sd).astype(np.float32)
    label_zhw = reference_zhw = None
    extent: LabelExtent | None = None
    if raw.label is not None:
        _check_grid(subject_id, "label map", raw.label.shape, intensity_xyz.shape)
        label_zhw = resample_labels(raw.label, voxel_from_roi, shape)
        extent = label_extent(subject_id, raw.label, common_from_voxel, roi)
        if not label_zhw.any():
            raise UserError(
                f"{subject_id}: no labelled voxel in the region of interest ({extent.n_outside} "
                "outside it); look at roi.centre_mm and the registration"
            )
    if raw.reference is not None:
        _check_grid(subject_id, "reference", raw.reference.shape, intensity_xyz.shape)
        reference_zhw = resample_labels(raw.reference, voxel_from_roi, shape)
    return PreparedSubject(
        subject=raw.subject,
        image_zhw=image_zhw,
        label_zhw=label_zhw,
        reference_zhw=reference_zhw,
        white_matter=white_matter,
        white_matter_source=source,
        intensity_mean=mean,
        intensity_sd=sd,
        n_label_voxels_outside_roi=0 if extent is None else extent.n_outside,
        registration_similarity=registration_similarity,
        n_label_voxels=0 if extent is None else extent.n_voxels,
        label_box_mm=None if extent is None else extent.box_mm,
        notes=raw.notes,
    )


def mixture_white_matter(brain_v: Floats) -> float:
    """Mean of the brightest of three Gaussians fitted to brain voxels (METHOD 2).

    Args:
        brain_v: brain voxels. The brightest 1 % (vessels) and darkest 1 % are left out; at most
            20,000 evenly ranked voxels are used, so the fit is quick and has no seed.
    """
    low, high = np.percentile(brain_v, (1, 99))
    # Sorted and thinned evenly, not drawn at random: any order of voxels gives the same mixture.
    ranked = np.sort(brain_v[(brain_v >= low) & (brain_v <= high)])
    ranked = ranked[:: max(1, len(ranked) // GMM_VOXELS)]
    # Start about where CSF, grey and white matter lie in a brain, so that the brightest of three
    # ends as white matter also where the classes overlap.
    start = np.percentile(ranked, (10, 45, 85))[:, None]
    mixture = GaussianMixture(3, means_init=start, weights_init=np.full(3, 1 / 3), random_state=0)
    return float(mixture.fit(ranked[:, None]).means_.max())


def _white_matter(raw: RawSubject, mean: float, sd: float, brain_v: Floats) -> tuple[float, str]:
    """White-matter intensity in z-score units, and whether labels or a mixture gave it."""
    mask = raw.white_matter_mask
    # Labelled white matter is preferred; its median, because the rim is mixed with other tissue.
    if mask is not None:
        _check_grid(raw.subject.id, "white-matter mask", mask.shape, raw.image.array_xyz.shape)
        inside = np.asarray(raw.image.array_xyz)[mask != 0]
        if inside.size:
            return (float(np.median(inside)) - mean) / sd, "labels"
    return mixture_white_matter((brain_v - mean) / sd), "mixture"


def _check_grid(
    subject_id: str, what: str, shape: tuple[int, ...], image_shape: tuple[int, ...]
) -> None:
    if shape != image_shape:
        raise UserError(
            f"{subject_id}: {what} of shape {shape} for an image of {image_shape}; "
            "give label maps on the image's grid"
        )

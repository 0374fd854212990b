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
from gansfer.resampling import resample_image, resample_labels
from gansfer.settings import RoiSettings
from gansfer.subjects import RawSubject, Subject

Affine = npt.NDArray[np.float64]
Floats = npt.NDArray[np.float32]
Shape = tuple[int, int, int]
LabelMap = npt.NDArray[np.uint8]

MIN_BRAIN_VOXELS = 1000
# Of a region as large as a whole head a brain fills a tenth; less than this is another place.
LEAST_BRAIN_SHARE = 0.01
GMM_VOXELS = 20_000


@dataclass(frozen=True)
class PreparedSubject:
    """One subject in the region of interest of the common space.

    Attributes:
        subject: who.
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


def roi_affine(roi: RoiSettings) -> Affine:
    """Affine [4, 4] from a (z, h, w) index of the region to RAS millimetres of the common space."""
    n_z, n_h, n_w = roi.shape_zhw
    step = roi.voxel_mm
    x_mm, y_mm, z_mm = roi.centre_mm
    affine = np.zeros((4, 4))
    affine[0, 2] = -step  # columns run from the patient's right (+x) to left
    affine[1, 1] = -step  # rows run from anterior (+y) to posterior
    affine[2, 0] = step  # slices run upwards
    affine[:3, 3] = (
        x_mm + step * (n_w - 1) / 2,
        y_mm + step * (n_h - 1) / 2,
        z_mm - step * (n_z - 1) / 2,
    )
    affine[3, 3] = 1.0
    return affine


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
    who = raw.subject.id
    if common_from_native is None and not raw.in_common_space:
        raise UserError(f"{who}: image is in its own space; register it to the common space first")
    intensity_xyz = np.asarray(raw.image.array_xyz, np.float32)
    brain_xyz = intensity_xyz != 0 if raw.brain_mask is None else np.asarray(raw.brain_mask, bool)
    if brain_xyz.shape != intensity_xyz.shape:
        raise UserError(
            f"{who}: brain mask of shape {brain_xyz.shape} for an image of {intensity_xyz.shape}; "
            "give masks on the image's grid"
        )
    if np.count_nonzero(brain_xyz) < MIN_BRAIN_VOXELS:
        raise UserError(
            f"{who}: {np.count_nonzero(brain_xyz)} brain voxels; is the image or its mask empty?"
        )
    brain_v = intensity_xyz[brain_xyz]
    mean = float(brain_v.mean(dtype=np.float64))
    sd = float(brain_v.std(dtype=np.float64))
    if not sd > 0:
        raise UserError(f"{who}: every brain voxel is {mean:g}; is this a mask, not an image?")
    white_matter, source = _white_matter(raw, mean, sd, brain_v)

    common_from_voxel = raw.image.affine_ras
    if common_from_native is not None:
        common_from_voxel = common_from_native @ raw.image.affine_ras
    voxel_from_roi = np.linalg.inv(common_from_voxel) @ roi_affine(roi)
    shape = roi.shape_zhw
    problem = region_problem(who, brain_xyz, voxel_from_roi, shape)
    if problem:
        raise UserError(problem)
    intensity_zhw = resample_image(
        np.where(brain_xyz, intensity_xyz, np.float32(0)), brain_xyz, voxel_from_roi, shape
    )
    image_zhw = ((intensity_zhw.astype(np.float64) - mean) / sd).astype(np.float32)
    label_zhw = reference_zhw = None
    n_outside = n_labelled = 0
    box_mm: tuple[float, ...] | None = None
    if raw.label is not None:
        _check_grid(who, "label map", raw.label.shape, intensity_xyz.shape)
        label_zhw = resample_labels(raw.label, voxel_from_roi, shape)
        n_labelled = int(np.count_nonzero(raw.label))
        n_outside = voxels_outside(raw.label, voxel_from_roi, shape)
        box_mm = label_box_mm(raw.label, common_from_voxel)
        if not label_zhw.any():
            raise UserError(
                f"{who}: no labelled voxel in the region of interest ({n_outside} outside it); "
                "look at roi.centre_mm and the registration"
            )
    if raw.reference is not None:
        _check_grid(who, "reference", raw.reference.shape, intensity_xyz.shape)
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
        n_label_voxels_outside_roi=n_outside,
        registration_similarity=registration_similarity,
        n_label_voxels=n_labelled,
        label_box_mm=box_mm,
    )


def region_problem(
    who: str, brain_xyz: npt.NDArray[np.bool_], voxel_from_roi: Affine, shape_zhw: Shape
) -> str:
    """What is wrong where the region of interest holds next to nothing of a brain, or nothing.

    Args:
        who: the subject.
        brain_xyz: its brain.
        voxel_from_roi: [4, 4], (z, h, w) index of the region -> voxel index of the image.
        shape_zhw: the region's.
    """
    share = resample_labels(brain_xyz.astype(np.uint8), voxel_from_roi, shape_zhw).mean()
    if share >= LEAST_BRAIN_SHARE:
        return ""
    return (
        f"{who}: brain fills {share:.1%} of the region of interest, expected at least "
        f"{LEAST_BRAIN_SHARE:.0%}; look at the origin in the image's header, at the registration "
        "and at roi.centre_mm"
    )


def label_box_mm(label_xyz: LabelMap, common_from_voxel: Affine) -> tuple[float, ...]:
    """What the labelled voxels span, their own size included.

    Args:
        label_xyz: 0 background; at least one voxel is labelled.
        common_from_voxel: [4, 4], voxel index -> RAS mm of the common space.

    Returns:
        lowest x, y, z and highest x, y, z in mm.
    """
    at = np.argwhere(label_xyz > 0)
    at_mm = at @ common_from_voxel[:3, :3].T + common_from_voxel[:3, 3]
    half_mm = np.abs(common_from_voxel[:3, :3]).sum(axis=1) / 2
    return tuple(float(mm) for mm in (*(at_mm.min(0) - half_mm), *(at_mm.max(0) + half_mm)))


def mixture_white_matter(brain_v: Floats) -> float:
    """Mean of the brightest of three Gaussians fitted to brain voxels (METHOD 2).

    Args:
        brain_v: brain voxels. The brightest 1 % (vessels) and darkest 1 % are left out; at most
            20,000 evenly ranked voxels are used, so the fit is quick and has no seed.
    """
    low, high = np.percentile(brain_v, (1, 99))
    ranked = np.sort(brain_v[(brain_v >= low) & (brain_v <= high)])
    ranked = ranked[:: max(1, len(ranked) // GMM_VOXELS)]
    start = np.percentile(ranked, (10, 45, 85))[:, None]
    mixture = GaussianMixture(3, means_init=start, weights_init=np.full(3, 1 / 3), random_state=0)
    return float(mixture.fit(ranked[:, None]).means_.max())


def _white_matter(raw: RawSubject, mean: float, sd: float, brain_v: Floats) -> tuple[float, str]:
    """White-matter intensity in z-score units, and whether labels or a mixture gave it."""
    mask = raw.white_matter_mask
    if mask is not None:
        _check_grid(raw.subject.id, "white-matter mask", mask.shape, raw.image.array_xyz.shape)
        inside = np.asarray(raw.image.array_xyz)[mask != 0]
        if inside.size:
            return (float(np.median(inside)) - mean) / sd, "labels"
    return mixture_white_matter((brain_v - mean) / sd), "mixture"


def _check_grid(who: str, what: str, shape: tuple[int, ...], image_shape: tuple[int, ...]) -> None:
    if shape != image_shape:
        raise UserError(
            f"{who}: {what} of shape {shape} for an image of {image_shape}; "
            "give label maps on the image's grid"
        )


def voxels_outside(label_xyz: LabelMap, voxel_from_out: Affine, shape_out: Shape) -> int:
    """Labelled voxels whose centre lies outside the region's box."""
    out_from_voxel = np.linalg.inv(voxel_from_out)
    at = np.argwhere(label_xyz > 0) @ out_from_voxel[:3, :3].T + out_from_voxel[:3, 3]
    inside = ((at >= -0.5) & (at <= np.array(shape_out) - 0.5)).all(axis=1)
    return int(np.count_nonzero(~inside))

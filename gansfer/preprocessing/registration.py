"""Twelve-parameter affine registration of a native image to the cohort's mean image (III.A).

Both images are first resampled (by SciPy) to upright grids of the working resolution, so
that axes, flips and shears of the files never reach SimpleITK, which then only searches. Paper
silent on the software; SimpleITK. Same result for any number of threads: it is given one.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import SimpleITK as sitk  # noqa: N813 (its own documentation names it so)
from nibabel.affines import apply_affine
from scipy import ndimage

from gansfer.errors import UserError
from gansfer.resampling import box_corners
from gansfer.subjects import Subject, Volume

Affine = npt.NDArray[np.float64]
Mask = npt.NDArray[np.bool_]

WORKING_MM = 2.0
MARGIN_MM = 12.0
# Averaging more changes the mean of brains little and takes longer.
TEMPLATE_IMAGES = 40
# Coarse to fine: shrink factor and smoothing of the working grid, iterations.
LEVELS: tuple[tuple[int, float, int], ...] = ((4, 4.0, 100), (2, 2.0, 60), (1, 1.0, 30))
SAMPLED_FRACTION: tuple[float, ...] = (1.0, 0.5, 0.12)
# From a known pose only the finest level is needed, and there is time for more samples.
REFINING_LEVELS = ((1, 1.0, 100),)
REFINING_FRACTION = (0.5,)
SEED = 20181126
MIN_SIMILARITY = 0.6


@dataclass(frozen=True)
class AffineResult:
    """Result of a registration.

    Attributes:
        common_from_native: [4, 4], RAS mm of the moving file -> of the template.
        similarity: correlation of the two brains, 1 at best.
    """

    common_from_native: Affine
    similarity: float


def template_members(subjects: Sequence[Subject], n_images: int = TEMPLATE_IMAGES) -> list[str]:
    """Ids of the pool's images that make the template: first sessions, evenly picked.

    Args:
        subjects: all of them, in the cohort's order.
        n_images: at most this many.
    """
    ids = [one.id for one in subjects if one.in_pool and not one.labelled and not one.repeat_of]
    n_picked = min(n_images, len(ids))
    return [ids[k * len(ids) // n_picked] for k in range(n_picked)]


def mean_template(volumes: Iterable[Volume]) -> Volume:
    """Mean of images in the common space, each divided by its own mean brain intensity.

    Args:
        volumes: brain-masked images on one grid, background 0.

    Raises:
        UserError: there are none, or their grids differ.
    """
    total: npt.NDArray[np.float64] | None = None
    affine_ras: Affine | None = None
    n_volumes = 0
    for volume in volumes:
        array_xyz = np.asarray(volume.array_xyz, np.float32)
        if total is None or affine_ras is None:
            total, affine_ras = np.zeros(array_xyz.shape), volume.affine_ras
        elif array_xyz.shape != total.shape or not np.allclose(affine_ras, volume.affine_ras):
            raise UserError(
                f"template: image {n_volumes + 1} of shape {array_xyz.shape} is on another grid "
                f"than the first of {total.shape}; is every image in the common space?"
            )
        total += array_xyz / array_xyz[array_xyz != 0].mean()
        n_volumes += 1
    if total is None or affine_ras is None:
        raise UserError("template: no image in the common space to average; give the pool's images")
    # Voxels in fewer than half of the brains are background: the mean's rim is a blur of skulls.
    mean_xyz = (total / n_volumes).astype(np.float32)
    mean_xyz[mean_xyz < 0.25] = 0
    return Volume(mean_xyz, affine_ras)


def register_affine(
    moving: Volume, moving_mask: Mask | None, template: Volume, start: Affine | None = None
) -> AffineResult:
    """Register an image to the template.

    Args:
        moving: brain image in any pose within about 30 degrees of upright.
        moving_mask: its brain; None: its non-zero voxels.
        template: mean image of the common space, or an image in it, background 0.
        start: [4, 4] RAS mm of the moving file -> of the template, to be refined from; None: begin
            with the centres of mass.

    Raises:
        UserError: no alignment was found (similarity below 0.6).
    """
    fixed = _upright(template, np.asarray(template.array_xyz) != 0)
    if moving_mask is None:
        moving_mask = np.asarray(moving.array_xyz) != 0
    floating = _upright(moving, moving_mask)
    transform, similarity = _search(fixed, floating, start)
    if similarity < MIN_SIMILARITY:
        raise UserError(
            f"registration: similarity {similarity:.2f} to the template, expected at least "
            f"{MIN_SIMILARITY:g}; is the image brain-extracted and upright?"
        )
    native_from_common = np.eye(4)
    matrix = np.array(transform.GetMatrix()).reshape(3, 3)
    centre = np.array(transform.GetCenter())
    native_from_common[:3, :3] = matrix
    native_from_common[:3, 3] = np.array(transform.GetTranslation()) + centre - matrix @ centre
    return AffineResult(np.linalg.inv(native_from_common).astype(np.float64), similarity)


def _upright(volume: Volume, brain_xyz: Mask) -> sitk.Image:
    """The brain on an axis-aligned RAS grid of the working resolution, in units of its own mean."""
    at = np.argwhere(brain_xyz)
    corners = at.min(0) + box_corners(np.ptp(at, axis=0) + 1)
    corners_mm = apply_affine(volume.affine_ras, corners)
    low_mm = corners_mm.min(0) - MARGIN_MM
    size = np.ceil((corners_mm.max(0) + MARGIN_MM - low_mm) / WORKING_MM).astype(int)
    ras_from_out: Affine = np.diag([WORKING_MM] * 3 + [1.0])
    ras_from_out[:3, 3] = low_mm
    intensity_xyz = np.where(brain_xyz, np.asarray(volume.array_xyz, np.float32), np.float32(0))
    # Averaged to the working resolution before it is sampled there, or fine voxels would alias.
    voxels = np.round(WORKING_MM / np.linalg.norm(volume.affine_ras[:3, :3], axis=0))
    smooth_xyz = ndimage.uniform_filter(intensity_xyz, np.maximum(voxels, 1).astype(int).tolist())
    voxel_from_out = np.linalg.inv(volume.affine_ras) @ ras_from_out
    out_xyz = ndimage.affine_transform(
        smooth_xyz, voxel_from_out[:3, :3], voxel_from_out[:3, 3], tuple(size), order=1
    )
    image = sitk.GetImageFromArray((out_xyz / out_xyz[out_xyz > 0].mean()).transpose(2, 1, 0))
    image.SetSpacing([WORKING_MM] * 3)
    image.SetOrigin(low_mm.tolist())
    return image


def _search(
    fixed: sitk.Image, floating: sitk.Image, start: Affine | None
) -> tuple[sitk.AffineTransform, float]:
    """Affine from points of `fixed` to points of `floating`, and their correlation."""
    # Brains of the same shape have their centres of mass about where they belong; the middle of
    # the field of view says nothing, as scanners cut at the neck or not.
    moments = sitk.CenteredTransformInitializerFilter.MOMENTS
    transform = sitk.AffineTransform(
        sitk.CenteredTransformInitializer(fixed, floating, sitk.AffineTransform(3), moments)
    )
    levels = LEVELS if start is None else REFINING_LEVELS
    sampled = SAMPLED_FRACTION if start is None else REFINING_FRACTION
    if start is not None:
        native_from_common = np.linalg.inv(start)
        centre = np.array(transform.GetCenter())
        moved = native_from_common[:3, :3] @ centre + native_from_common[:3, 3]
        transform.SetMatrix(native_from_common[:3, :3].ravel().tolist())
        transform.SetTranslation((moved - centre).tolist())
    method = sitk.ImageRegistrationMethod()
    # Both are T1-weighted: intensities agree up to a scale, and correlation is smoother than mutual
    # information.
    method.SetMetricAsCorrelation()
    method.SetMetricSamplingStrategy(method.RANDOM)
    method.SetMetricSamplingPercentagePerLevel(list(sampled), SEED)
    method.SetInterpolator(sitk.sitkLinear)
    method.SetOptimizerAsRegularStepGradientDescent(
        learningRate=4.0, minStep=0.02, numberOfIterations=100, relaxationFactor=0.6
    )
    # A radian moves the cortex by 80 mm, a millimetre by one: without scales, nothing would turn.
    method.SetOptimizerScalesFromPhysicalShift()
    method.SetShrinkFactorsPerLevel([shrink for shrink, _, _ in levels])
    method.SetSmoothingSigmasPerLevel([sigma_mm for _, sigma_mm, _ in levels])
    method.SmoothingSigmasAreSpecifiedInPhysicalUnitsOn()
    method.SetInitialTransform(transform, inPlace=True)
    with one_thread():
        method.Execute(fixed, floating)
    return transform, -float(method.GetMetricValue())


@contextmanager
def one_thread() -> Iterator[None]:
    """Give SimpleITK one thread, so that sums have one order; its own setting is put back."""
    before = sitk.ProcessObject.GetGlobalDefaultNumberOfThreads()
    sitk.ProcessObject.SetGlobalDefaultNumberOfThreads(1)
    try:
        yield
    finally:
        sitk.ProcessObject.SetGlobalDefaultNumberOfThreads(before)

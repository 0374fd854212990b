"""N4 bias field correction (Tustison et al. 2010), for scanners' images that need it.

Paper silent (OASIS-1's T88 volumes are gain-field corrected already); SimpleITK's defaults on a
grid of about 4 mm.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import SimpleITK as sitk  # noqa: N813 (its own documentation names it so)

from gansfer.preprocessing.registration import one_thread
from gansfer.subjects import Volume

WORKING_MM = 4.0
ITERATIONS = (50, 50, 50, 50)


def correct_bias(image: Volume, brain_xyz: npt.NDArray[np.bool_]) -> Volume:
    """Divide the smooth multiplicative field out of an image; its brain's mean stays.

    Args:
        image: intensities, any axes.
        brain_xyz: the brain; voxels outside are corrected by the same field.
    """
    intensity_xyz = np.asarray(image.array_xyz, np.float32)
    voxel_mm = np.linalg.norm(image.affine_ras[:3, :3], axis=0)
    whole = _to_itk(intensity_xyz, voxel_mm)
    mask = _to_itk(brain_xyz.astype(np.uint8), voxel_mm)
    shrink = [int(max(1, round(WORKING_MM / mm))) for mm in voxel_mm]
    method = sitk.N4BiasFieldCorrectionImageFilter()
    method.SetMaximumNumberOfIterations(list(ITERATIONS))
    with one_thread():
        method.Execute(sitk.Shrink(whole, shrink), sitk.Shrink(mask, shrink))
        log_field = sitk.GetArrayFromImage(method.GetLogBiasFieldAsImage(whole)).transpose(2, 1, 0)
    corrected_xyz = intensity_xyz / np.exp(log_field, dtype=np.float32)
    corrected_xyz *= intensity_xyz[brain_xyz].mean() / corrected_xyz[brain_xyz].mean()
    return Volume(corrected_xyz, image.affine_ras)


def _to_itk(array_xyz: npt.NDArray[np.generic], voxel_mm: npt.NDArray[np.float64]) -> sitk.Image:
    image = sitk.GetImageFromArray(np.ascontiguousarray(array_xyz.transpose(2, 1, 0)))
    image.SetSpacing([float(mm) for mm in voxel_mm])
    return image

"""The brain of an image as read, and whether there is one to work with.

`validate` and the stage `prepare` ask the same questions here, and get the same messages.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from gansfer.errors import UserError
from gansfer.resampling import resample_labels
from gansfer.subjects import RawSubject

Affine = npt.NDArray[np.float64]
Mask = npt.NDArray[np.bool_]

MIN_BRAIN_VOXELS = 1000
# Of a region as large as a whole head a brain fills a tenth; less than this is another place.
LEAST_BRAIN_SHARE = 0.01


def brain_of(raw: RawSubject) -> Mask:
    """The brain of a subject's image: its mask, else its non-zero voxels.

    Raises:
        UserError: the mask is on another grid, or the brain is empty or of one intensity.
    """
    subject_id, array_xyz = raw.subject.id, np.asarray(raw.image.array_xyz)
    brain_xyz = array_xyz != 0 if raw.brain_mask is None else np.asarray(raw.brain_mask, bool)
    if brain_xyz.shape != array_xyz.shape:
        raise UserError(
            f"{subject_id}: brain mask of shape {brain_xyz.shape} for an image of "
            f"{array_xyz.shape}; give masks on the image's grid"
        )
    n_brain = int(np.count_nonzero(brain_xyz))
    if n_brain < MIN_BRAIN_VOXELS:
        raise UserError(f"{subject_id}: {n_brain} brain voxels; is the image or its mask empty?")
    brain_v = array_xyz[brain_xyz]
    if brain_v.min() == brain_v.max():
        raise UserError(
            f"{subject_id}: every brain voxel is {brain_v[0]:g}; is this a mask, not an image?"
        )
    return brain_xyz


def check_brain_in_region(
    subject_id: str, brain_xyz: Mask, voxel_from_roi: Affine, shape_zhw: tuple[int, int, int]
) -> None:
    """Check that the region of interest holds a part of the brain worth the name.

    Args:
        subject_id: for the message.
        brain_xyz: the subject's brain.
        voxel_from_roi: [4, 4], (z, h, w) index of the region -> voxel index of the image.
        shape_zhw: the region's.

    Raises:
        UserError: the brain fills next to nothing of the region.
    """
    share = resample_labels(brain_xyz.astype(np.uint8), voxel_from_roi, shape_zhw).mean()
    if share < LEAST_BRAIN_SHARE:
        raise UserError(
            f"{subject_id}: brain fills {share:.1%} of the region of interest, expected at least "
            f"{LEAST_BRAIN_SHARE:.0%}; look at the origin in the image's header, at the "
            "registration and at roi.centre_mm"
        )

"""One subject's way into the region of interest: bias, registration, resampling (III.A)."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import numpy.typing as npt

from gansfer.errors import UserError
from gansfer.preprocessing.bias import correct_bias
from gansfer.preprocessing.preprocess import PreparedSubject, prepare_subject
from gansfer.preprocessing.registration import AffineResult, register_affine
from gansfer.settings import RoiSettings
from gansfer.subjects import RawSubject, Volume

Affine = npt.NDArray[np.float64]


def place_subject(
    raw: RawSubject, roi: RoiSettings, template: Volume | None, *, correct: bool
) -> PreparedSubject:
    """Bring one subject as it was read into the region of interest.

    Args:
        raw: the subject; registered if it is not in the common space yet.
        roi: region and voxel size.
        template: mean image of the common space; None where nothing has to be registered.
        correct: remove the bias field first (N4).

    Raises:
        UserError: no alignment was found, or as of `prepare_subject`; it begins with the id.
    """
    return place_and_align(raw, roi, template, correct=correct)[0]


def place_and_align(
    raw: RawSubject, roi: RoiSettings, template: Volume | None, *, correct: bool
) -> tuple[PreparedSubject, Affine]:
    """As `place_subject`; with [4, 4] RAS mm of the file -> of the common space."""
    if correct:
        raw = _without_bias(raw)
    if raw.in_common_space:
        return prepare_subject(raw, roi, None, registration_similarity=None), np.eye(4)
    assert template is not None, "a template is made where any subject needs one"
    try:
        found = _registered(raw, template)
    except UserError as error:
        raise UserError(f"{raw.subject.id}: {error}") from error
    prepared = prepare_subject(
        raw, roi, found.common_from_native, registration_similarity=found.similarity
    )
    return prepared, found.common_from_native


def _registered(raw: RawSubject, template: Volume) -> AffineResult:
    found = register_affine(raw.image, raw.brain_mask, template)
    if raw.own_copy is None:
        return found
    # The template says about where, the subject's own copy exactly.
    return register_affine(raw.image, raw.brain_mask, raw.own_copy, found.common_from_native)


def _without_bias(raw: RawSubject) -> RawSubject:
    brain_xyz = raw.brain_mask
    if brain_xyz is None:
        brain_xyz = np.asarray(raw.image.array_xyz) != 0
    return replace(raw, image=correct_bias(raw.image, brain_xyz), brain_mask=brain_xyz)

"""Which images a subject is registered to, from where, and with what mask."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from gansfer.errors import UserError
from gansfer.preprocessing import placing
from gansfer.preprocessing.registration import AffineResult
from gansfer.settings import RoiSettings
from gansfer.subjects import RawSubject, Subject, Volume

ROI = RoiSettings(voxel_mm=4.0)
TEMPLATE, OWN_COPY = (Volume(np.full((4, 4, 4), value), np.eye(4)) for value in (1.0, 2.0))
BRAIN_XYZ = np.eye(4, dtype=bool)[:, :, None].repeat(4, axis=2)


def raw(**changes: Any) -> RawSubject:
    image = Volume(np.arange(64.0).reshape(4, 4, 4), np.eye(4))
    return replace(RawSubject(Subject("sub-1"), image, in_common_space=False), **changes)


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> dict[str, list[tuple[Any, ...]]]:
    """What each step is given; registration n finds a shift by n mm and similarity n / 10."""
    seen: dict[str, list[tuple[Any, ...]]] = {"register": [], "prepare": [], "bias": []}

    def register(*given: Any) -> AffineResult:
        seen["register"].append(given)
        n = len(seen["register"])
        pose = np.eye(4)
        pose[0, 3] = n
        return AffineResult(pose, n / 10)

    def prepare(subject: RawSubject, roi: object, pose: Any, **how: Any) -> None:
        seen["prepare"].append((subject, roi, pose, how["registration_similarity"]))

    def bias(image: Volume, brain_xyz: Any) -> Volume:
        seen["bias"].append((image, brain_xyz))
        return replace(image, array_xyz=-np.asarray(image.array_xyz))

    monkeypatch.setattr(placing, "register_affine", register)
    monkeypatch.setattr(placing, "prepare_subject", prepare)
    monkeypatch.setattr(placing, "correct_bias", bias)
    return seen


def test_a_subject_in_the_common_space_is_not_registered(calls: dict[str, list[Any]]) -> None:
    subject = raw(in_common_space=True)
    placing.place_subject(subject, ROI, None, correct=False)
    assert calls == {"register": [], "bias": [], "prepare": [(subject, ROI, None, None)]}


def test_another_is_registered_to_the_template(calls: dict[str, list[Any]]) -> None:
    subject = raw(brain_mask=BRAIN_XYZ)
    placing.place_subject(subject, ROI, TEMPLATE, correct=False)
    assert calls["register"] == [(subject.image, BRAIN_XYZ, TEMPLATE)]
    ((_, _, pose, similarity),) = calls["prepare"]
    assert (pose[0, 3], similarity) == (1, 0.1)


def test_its_own_copy_refines_what_the_template_found(calls: dict[str, list[Any]]) -> None:
    placing.place_subject(raw(own_copy=OWN_COPY), ROI, TEMPLATE, correct=False)
    (_, _, first), (_, _, second, start) = calls["register"]
    assert (first, second) == (TEMPLATE, OWN_COPY)
    assert start[0, 3] == 1
    ((_, _, pose, similarity),) = calls["prepare"]
    assert (pose[0, 3], similarity) == (2, 0.2)


@pytest.mark.parametrize("mask", [None, BRAIN_XYZ])
def test_the_bias_is_removed_within_the_brain_before_the_registration(
    calls: dict[str, list[Any]], mask: Any
) -> None:
    subject = raw(brain_mask=mask)
    placing.place_subject(subject, ROI, TEMPLATE, correct=True)
    ((image, brain_xyz),) = calls["bias"]
    assert image is subject.image
    non_zero_xyz = np.asarray(image.array_xyz) != 0
    assert np.array_equal(brain_xyz, non_zero_xyz if mask is None else mask)
    ((registered, registered_mask, _),) = calls["register"]
    assert np.array_equal(registered.array_xyz, -np.asarray(image.array_xyz))
    assert registered_mask is brain_xyz
    ((prepared, _, _, _),) = calls["prepare"]
    assert prepared.image is registered


def test_an_error_names_the_subject(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*given: Any) -> None:
        raise UserError("no alignment")

    monkeypatch.setattr(placing, "register_affine", fail)
    with pytest.raises(UserError, match=r"^sub-1: no alignment$"):
        placing.place_subject(raw(), ROI, TEMPLATE, correct=False)

"""Whose labels make a cell's masks and thresholds, and how far they reach: three subjects."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from gansfer.settings import SynthesisSettings
from gansfer.synthesis.labelling import Labelling, labelling_of
from tests.three_subjects import (
    EIGHTH_CODE,
    IDS,
    SHAPE_ZHW,
    cell_of_three,
    group_of,
    three_subjects,
)

MARGIN_MM = 2.0
PLAIN: dict[str, Any] = {
    "mask_margin_mm": MARGIN_MM,
    "binarise_fraction": 0.5,
    "closing_radius_mm": 0.0,
    "opening_width_mm": 0.0,
    "least_area_mm2": 0.0,
}


def labelling(group: tuple[str, ...] = IDS, **settings: Any) -> Labelling:
    cohort = three_subjects()
    chosen = SynthesisSettings(**{**PLAIN, **settings})
    return labelling_of(
        cohort.images(IDS),
        cohort.labels(IDS),
        cell_of_three().known_images_khw,
        group_of(*group),
        EIGHTH_CODE,
        (3.0, 1.0, 0.5),
        chosen,
    )


def generated(pixel_value: float = 0.0) -> tuple[npt.NDArray, npt.NDArray]:
    """A's slice 1 and the contrasts of its structure 1; one corner pixel shifted in intensity."""
    image_khw = three_subjects().images(["A"])[0, 1:2].copy()
    contrast_kshw = np.zeros((1, 2, *SHAPE_ZHW[1:]), np.float32)
    contrast_kshw[0, 0, 2:7, 2:7] = 2.0
    image_khw[0, 2, 2] += pixel_value
    return image_khw, contrast_kshw


def test_masks_reach_the_margin_beyond_any_label_and_no_further() -> None:
    mask_szhw = labelling().mask_szhw
    # Structure 1: rows 2 to 6 of A and B, 5 to 9 of C, columns 2 to 6, slices 1 and 2; 2 mm are
    # two rows, four columns and no slice.
    assert np.flatnonzero(mask_szhw[0, 1, :, 4]).tolist() == list(range(0, 12))
    assert np.flatnonzero(mask_szhw[0, 1, 4, :]).tolist() == list(range(0, 11))
    assert np.flatnonzero(mask_szhw[0, :, 4, 4]).tolist() == [1, 2]
    assert np.flatnonzero(labelling(mask_margin_mm=3.0).mask_szhw[0, :, 4, 4]).tolist() == [
        0,
        1,
        2,
        3,
    ]


def test_masks_are_of_all_labelled_subjects_whichever_group_trained_the_gan() -> None:
    assert np.array_equal(labelling(("A",)).mask_szhw, labelling().mask_szhw)


def test_thresholds_are_of_the_groups_contrast_to_its_own_white_matter() -> None:
    of_c = group_of("C")
    wanted = [
        (sign * (of_c.image_nzhw - 3.0))[of_c.label_nzhw == s + 1].clip(0, None).mean()
        for s, sign in enumerate((-1, 1))
    ]
    assert labelling(("C",)).rule.mean_contrast_s == pytest.approx(wanted, rel=1e-5)
    assert wanted != pytest.approx(labelling().rule.mean_contrast_s, rel=1e-3)


def test_slice_numbers_are_those_of_the_nearest_training_slice_of_anybody() -> None:
    cohort = three_subjects()
    image_khw = np.concatenate([cohort.images(["C"])[0], cohort.images(["A"])[0][::-1]])
    assert labelling(("B",)).slice_index(image_khw).tolist() == [0, 1, 2, 3, 3, 2, 1, 0]


@pytest.mark.parametrize(("numbered_from", "number"), [("known", 2), ("labelled", 0)])
def test_slice_numbers_are_those_of_any_known_image_or_of_labelled_ones(
    numbered_from: str, number: int
) -> None:
    rule = labelling(slice_numbers_from=numbered_from)
    drawn_hw = three_subjects().images(["P2"])[0, 2]  # P2 has no label
    # Of the labelled subjects' slices, one of number 0 is made the nearest.
    rule.numbered_nzhw[-3 if numbered_from == "labelled" else 0, 0] = drawn_hw + 0.01
    assert rule.slice_index(drawn_hw[None]).tolist() == [number]


def test_labelled_images_that_number_slices_are_those_of_all_labelled_subjects() -> None:
    numbered_nzhw = labelling(("B",), slice_numbers_from="labelled").numbered_nzhw
    assert np.array_equal(numbered_nzhw, three_subjects().images(IDS))


def test_a_pixel_unlike_the_rest_of_its_structure_is_not_labelled() -> None:
    label_hw = labelling().label(*generated(pixel_value=1.0)).label_khw[0]
    assert label_hw[2, 2] == 0
    assert label_hw[3:6, 3:6].all()
    assert labelling(intensity_sd=99.0).label(*generated(pixel_value=1.0)).label_khw[0][2, 2] == 1


def test_a_contrast_below_the_fraction_of_the_mean_is_background() -> None:
    mean = float(labelling().rule.mean_contrast_s[0])
    image_khw, contrast_kshw = generated()
    contrast_kshw[0, 0, 2:7, 2:4] = 0.45 * mean
    contrast_kshw[0, 0, 2:7, 4:7] = 0.55 * mean
    wide = labelling(intensity_sd=99.0, binarise_fraction=0.5)
    label_hw = wide.label(image_khw, contrast_kshw).label_khw[0]
    assert np.unique(np.nonzero(label_hw)[1]).tolist() == [4, 5, 6]


@pytest.mark.parametrize(
    ("setting", "on", "changed", "labelled"),
    [
        ("least_area_mm2", 2.0, (10, 4), False),
        ("opening_width_mm", 2.0, (4, 12), False),
        ("closing_radius_mm", 1.0, (11, 9), True),
    ],
)
def test_sizes_are_those_of_the_settings(
    setting: str, on: float, changed: tuple[int, int], labelled: bool
) -> None:
    """A lone pixel is a speck, a long thin line a spur, and a gap of one column closes.

    Columns are half as wide as rows.
    """
    image_khw, contrast_kshw = generated()
    contrast_kshw[0, 0, 10, 4] = 2.0
    contrast_kshw[0, 0, 4, 2:14] = 2.0
    contrast_kshw[0, 0, 9:13, 7:12] = 2.0
    contrast_kshw[0, 0, 9:13, 9] = 0.0
    image_khw[0] = image_khw[0, 4, 4]
    for size, there in ((0.0, not labelled), (on, labelled)):
        settings: dict[str, Any] = {setting: size, "mask_margin_mm": 9.0}
        label_hw = labelling(**settings).label(image_khw, contrast_kshw).label_khw[0]
        assert bool(label_hw[changed]) == there


def test_calibrated_thresholds_give_the_groups_labels_back() -> None:
    cohort = three_subjects()
    calibrated = labelling(("C",), binarise_fraction="calibrated", mask_margin_mm=9.0)
    assert np.shape(calibrated.rule.binarise_fraction) == (2,)
    of_c = group_of("C")
    image_khw, contrast_kshw = EIGHTH_CODE.decode(of_c.encoded(EIGHTH_CODE)[0])
    wide = {"intensity_sd": 9.0, "binarise_fraction": "calibrated", "mask_margin_mm": 9.0}
    label_khw = labelling(("C",), **wide).label(image_khw, contrast_kshw).label_khw
    assert np.array_equal(label_khw, cohort.label_of["C"])

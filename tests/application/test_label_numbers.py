"""A written map has the protocol's numbers, and each side its own."""

from __future__ import annotations

import numpy as np

from gansfer.application.label_numbers import label_numbers, numbered, volumes_mm3

TWO = ("hippocampus", "thalamus")


def test_a_known_protocol_has_a_number_for_each_side() -> None:
    numbers = label_numbers("neuromorphometrics", TWO)
    assert [(one.number, one.name) for one in numbers] == [
        (47, "hippocampus_right"),
        (48, "hippocampus_left"),
        (59, "thalamus_right"),
        (60, "thalamus_left"),
    ]
    assert [one.name for one in label_numbers("gansfer", TWO)] == [*TWO]


def test_of_a_mapping_the_first_number_stands_for_the_structure() -> None:
    numbers = label_numbers({"thalamus": [10, 49], "hippocampus": [17]}, TWO)
    assert [(one.number, one.name) for one in numbers] == [(17, "hippocampus"), (10, "thalamus")]
    assert [one.number for one in label_numbers(None, TWO)] == [1, 2]


def test_the_side_is_where_a_voxel_lies_in_the_common_space() -> None:
    numbers = label_numbers("freesurfer", TWO)
    label_xyz = np.zeros((4, 2, 2), np.uint8)
    label_xyz[:, 0, 0], label_xyz[:, 1, 1] = 1, 2
    leftwards = np.diag([-2.0, 2.0, 2.0, 1.0])
    leftwards[0, 3] = 3  # voxels lie at x = 3, 1, -1, -3 mm
    written_xyz = numbered(label_xyz, TWO, numbers, leftwards)
    assert written_xyz[:, 0, 0].tolist() == [53, 53, 17, 17]
    assert written_xyz[:, 1, 1].tolist() == [49, 49, 10, 10]
    assert written_xyz.dtype == np.uint8 and np.count_nonzero(written_xyz) == 8
    volumes = volumes_mm3(written_xyz, numbers, leftwards)
    assert volumes == {
        "hippocampus_right": 16,
        "hippocampus_left": 16,
        "thalamus_right": 16,
        "thalamus_left": 16,
    }


def test_large_numbers_get_a_type_that_holds_them() -> None:
    numbers = label_numbers({"hippocampus": [1035], "thalamus": [70_000]}, TWO)
    written_xyz = numbered(np.array([[[1, 2]]], np.uint8), TWO, numbers, np.eye(4))
    assert written_xyz.ravel().tolist() == [1035, 70_000]

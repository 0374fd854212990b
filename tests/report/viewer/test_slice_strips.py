"""Legend: Z inferior to superior, H anterior to posterior, W right to left."""

from __future__ import annotations

import io
import re

import numpy as np
import numpy.typing as npt
from matplotlib.path import Path as Outline
from PIL import Image as Pillow

from gansfer.drawing.style import structure_colour
from gansfer.report.viewer.slice_strips import (
    EDGE_VOXELS,
    GAP_VOXELS,
    MOST_SLICES,
    in_cubes,
    plane_strips,
    slice_numbers,
)

SHAPE_ZHW = (10, 14, 12)


def test_slices_are_shown_as_far_apart_as_rows() -> None:
    volume_zhw = np.arange(12)[:, None, None] * np.ones((1, 4, 4), int)
    shown = {
        slice_mm: in_cubes(volume_zhw, (slice_mm, 2.0, 2.0))[:, 0, 0].tolist()
        for slice_mm in (1.0, 2.0, 4.0)
    }
    assert shown[2.0] == list(range(12))
    assert shown[4.0] == [z for z in range(12) for _ in range(2)]
    assert shown[1.0] == [1, 3, 5, 7, 9, 11]
    assert in_cubes(volume_zhw[:1], (0.1, 2.0, 2.0)).shape == (1, 4, 4)


def _vertices(path: str) -> list[npt.NDArray[np.float64]]:
    """The corners (x, y) of each closed line of a path, in voxels."""
    lines = []
    for line in path.split("M")[1:]:
        here = np.zeros(2)
        corners = []
        for step, numbers in re.findall(r"([hvl]?)([-\d ]+)", line.rstrip("z")):
            values = [int(one) for one in re.findall(r"-?\d+", numbers)]
            move = {"h": (values[0], 0), "v": (0, values[0])}.get(step, values)
            here = here + move
            corners.append(here / 2)
        lines.append(np.array(corners))
    return lines


def _mr(strip: bytes) -> npt.NDArray[np.uint8]:
    return np.asarray(Pillow.open(io.BytesIO(strip)).convert("L"))


def test_as_many_slices_of_each_plane_run_evenly_through_the_structures() -> None:
    reference = np.zeros((40, 40, 40), np.uint8)
    reference[10:37, 4:31, 2:38] = 1
    numbers = slice_numbers(reference)
    assert numbers["axial"] == [11, 14, 17, 20, 23, 26, 29, 32, 35]
    assert numbers["coronal"] == [5, 8, 11, 14, 17, 20, 23, 26, 29]
    assert numbers["sagittal"] == [21, 23, 25, 27, 29, 31, 33, 35, 37]  # the left half alone
    assert {len(one) for one in numbers.values()} == {MOST_SLICES}


def test_slices_are_odd_in_number_and_no_more_than_there_are() -> None:
    reference = np.zeros((40, 40, 40), np.uint8)
    reference[10:14, 5:25, 5:10] = 1  # four slices high, and in the right half alone
    assert slice_numbers(reference) == {
        "axial": [10, 12, 13],
        "coronal": [8, 15, 21],
        "sagittal": [5, 7, 9],
    }
    assert len(slice_numbers(np.zeros((40, 40, 40), np.uint8))["axial"]) == MOST_SLICES


def test_up_is_up_and_right_is_on_the_left() -> None:
    image = np.zeros(SHAPE_ZHW, np.float32)
    image[-3:, :4, :4] = 1.0  # superior, anterior, right
    image[-3:, :4, 8] = 1.0  # and on the sagittal slice
    numbers = {"axial": [9], "coronal": [0], "sagittal": [8]}
    axial, coronal, sagittal = plane_strips(image, [np.zeros(SHAPE_ZHW, np.uint8)], numbers)
    for strip, v in ((axial, 14), (coronal, 10), (sagittal, 10)):
        tile = _mr(strip.mr)[EDGE_VOXELS:-EDGE_VOXELS]
        assert tile.shape == (v, 14) == (strip.height, strip.width)
        # Axial and coronal ones are narrower than sagittal ones: in the middle of as many columns.
        assert tile[:3, 1:4].mean() > 200 and tile[-3:, -4:].mean() < 50, strip.plane


def test_the_mr_of_each_slice_stands_below_the_one_before() -> None:
    image = np.broadcast_to(np.linspace(0, 1, 10, dtype=np.float32)[:, None, None], SHAPE_ZHW)
    (strip,) = plane_strips(image, [np.zeros(SHAPE_ZHW, np.uint8)], {"axial": [0, 4, 9]})
    tiles = _mr(strip.mr).reshape(3, strip.height + 2 * EDGE_VOXELS, strip.width)
    means = tiles[:, :, 3:-3].mean(axis=(1, 2))
    np.testing.assert_allclose(means, [0, 113, 255], atol=6)


def test_outlines_go_round_the_voxels_of_their_structure() -> None:
    label = np.zeros(SHAPE_ZHW, np.uint8)
    label[3:7, 4:9, 2:11] = 1
    label[3:7, 6:8, 5:7] = 3  # a hole in the first
    label[7:10, 11, 1] = 3
    maps = [np.zeros_like(label), label]
    for strip in plane_strips(np.ones(SHAPE_ZHW, np.float32), maps, {"axial": [5, 7]}):
        colours = [structure_colour(0), structure_colour(2)]
        assert [colour for colour, _ in strip.outlines] == colours
        rows, columns = strip.height + 2 * EDGE_VOXELS, strip.width + GAP_VOXELS
        for k, (_, path) in zip((1, 3), strip.outlines, strict=True):
            wanted = np.zeros((2 * rows, 2 * columns), bool)
            for j, z in enumerate((5, 7)):
                tile = wanted[j * rows + EDGE_VOXELS :, columns + 1 :]  # 12 columns, 14 wide
                tile[:14, :12] = label[z] == k
            centres = np.argwhere(np.ones(wanted.T.shape)) + 0.5
            crossed = sum(
                Outline(corners, closed=False).contains_points(centres).astype(int)
                for corners in _vertices(path)
            )
            inside = (np.asarray(crossed) % 2 == 1).reshape(wanted.T.shape).T
            np.testing.assert_array_equal(inside, wanted)


def test_a_single_voxel_is_a_diamond() -> None:
    label = np.zeros((3, 3, 3), np.uint8)
    label[1, 1, 1] = 1
    (strip,) = plane_strips(np.ones((3, 3, 3), np.float32), [label], {"axial": [1]})
    ((_, path),) = strip.outlines
    (corners,) = _vertices(path)
    edge = EDGE_VOXELS
    assert {tuple(one) for one in corners} == {
        (1.5, 1.0 + edge),
        (1.0, 1.5 + edge),
        (2.0, 1.5 + edge),
        (1.5, 2.0 + edge),
    }

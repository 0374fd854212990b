"""Slices of one subject as strips: the MR once, and outlines that are laid over it.

A strip holds the slices of one plane, one below another; the page shows one of them at a time.
The MR is greys at one pixel a voxel, which browsers enlarge smoothly; outlines are SVG paths, sharp
at any size. Both take a few kB, where pictures of every segmentation would take hundreds.

Legend: K slices, P label maps side by side, Z H W slices, rows and columns of a volume, with axes
as in a cohort: inferior to superior, anterior to posterior, right to left. V U: rows and columns of
a tile.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt
from PIL import Image as Pillow
from skimage.measure import find_contours

from gansfer.drawing.slices import grey_window
from gansfer.drawing.style import structure_colour
from gansfer.report.page.page import Strip

Volume = npt.NDArray[np.floating]
Labels = npt.NDArray[np.integer]
Array = TypeVar("Array", bound=npt.NDArray[Any])

PLANES = ("axial", "coronal", "sagittal")
MOST_SLICES = 9
GAP_VOXELS = 1  # between tiles, in voxels
EDGE_VOXELS = 1  # above and below each: enlarging mixes a tile's edge with its neighbour's
_MR_QUALITY = 80


def in_cubes(volume_zhw: Array, spacing_zhw_mm: tuple[float, float, float]) -> Array:
    """A volume whose slices are as far apart as its rows: some shown again, or some left out.

    Args:
        volume_zhw: [Z, H, W] an image or a label map.
        spacing_zhw_mm: voxel size.
    """
    slice_mm, row_mm, _ = spacing_zhw_mm
    n_slices = max(1, round(len(volume_zhw) * slice_mm / row_mm))
    taken_z = ((np.arange(n_slices) + 0.5) * len(volume_zhw) / n_slices).astype(int)
    return volume_zhw[taken_z]


def slice_numbers(reference_zhw: Labels) -> dict[str, list[int]]:
    """Which slices of each plane to show: as many of each, evenly through the structures.

    Sagittal ones are of the half that is the left hemisphere where it has any structure: the middle
    of both lies between the hemispheres, where few of them reach.

    Args:
        reference_zhw: [Z, H, W]; where it is empty, the slices run through the whole volume.

    Returns:
        plane -> slice numbers, rising; an odd number of them, so that one is in the middle.
    """
    inside_zhw = np.asarray(reference_zhw) > 0
    left_zhw = inside_zhw.copy()
    left_zhw[:, :, : inside_zhw.shape[2] // 2] = False
    extents = {}
    for axis, plane in enumerate(PLANES):
        counted = left_zhw if plane == "sagittal" and left_zhw.any() else inside_zhw
        others = tuple(other for other in range(3) if other != axis)
        there = np.flatnonzero(counted.any(axis=others))
        extents[plane] = (there[0], there[-1]) if len(there) else (0, inside_zhw.shape[axis] - 1)
    n = min(MOST_SLICES, *(last - first + 1 for first, last in extents.values()))
    n -= 1 - n % 2
    return {
        plane: [int(first + (k + 0.5) * (last - first + 1) / n) for k in range(n)]
        for plane, (first, last) in extents.items()
    }


def plane_strips(
    image_zhw: Volume, label_pzhw: Sequence[Labels], numbers: dict[str, list[int]]
) -> list[Strip]:
    """One strip a plane, all with tiles of one width.

    Args:
        image_zhw: the MR, in any unit.
        label_pzhw: P label maps [Z, H, W] to be shown side by side.
        numbers: of `slice_numbers`.
    """
    black, white = grey_window(image_zhw)
    grey_zhw = np.clip((image_zhw - black) / (white - black), 0, 1)
    width = max(image_zhw.shape[1:])
    strips = []
    for plane, ks in numbers.items():
        grey_kvu = _tiles(grey_zhw, plane, ks, width)
        label_pkvu = np.stack([_tiles(one, plane, ks, width) for one in label_pzhw])
        strips.append(
            Strip(
                plane,
                _webp(_column(grey_kvu)),
                _outlines(label_pkvu),
                width,
                grey_kvu.shape[1],
                EDGE_VOXELS,
                GAP_VOXELS,
            )
        )
    return strips


def _tiles(volume_zhw: npt.NDArray, plane: str, numbers: Sequence[int], width: int) -> npt.NDArray:
    """Slices [K, V, U] of a plane as readers know it: front or top is up, right is on the left."""
    axis = PLANES.index(plane)
    tile_kvu = np.moveaxis(volume_zhw, axis, 0)[list(numbers)]
    if plane != "axial":
        tile_kvu = tile_kvu[:, ::-1]  # the top of the head is up
    before = (width - tile_kvu.shape[2]) // 2
    after = width - tile_kvu.shape[2] - before
    return np.pad(tile_kvu, ((0, 0), (0, 0), (before, after)))


def _column(grey_kvu: Volume) -> npt.NDArray[np.uint8]:
    """Tiles in 0..1 below one another, each with its edges repeated above and below."""
    edged = np.pad(grey_kvu, ((0, 0), (EDGE_VOXELS, EDGE_VOXELS), (0, 0)), mode="edge")
    return np.asarray(np.rint(255 * edged.reshape(-1, edged.shape[2])), np.uint8)


def _outlines(label_pkvu: Labels) -> list[tuple[str, str]]:
    """Colour and SVG path of each structure that is there, in half voxels.

    P tiles are side by side, K below one another.
    """
    edges = ((0, 0), (0, 0), (EDGE_VOXELS, EDGE_VOXELS), (0, GAP_VOXELS))
    padded = np.pad(label_pkvu, edges)
    rows = padded.shape[1] * padded.shape[2]
    mosaic = padded.transpose(1, 2, 0, 3).reshape(rows, -1)
    return [
        (structure_colour(int(label) - 1), _path(mosaic == label))
        for label in np.unique(mosaic)
        if label
    ]


def _path(mask: npt.NDArray[np.bool_]) -> str:
    """The outlines of a mask as one SVG path in half voxels, its corners cut."""
    # A vertex is half-way between two voxels' centres; a voxel's centre is half a voxel in.
    contours = find_contours(np.pad(mask.astype(np.float32), 1), 0.5)
    return "".join(_closed(np.rint(2 * (points - 0.5)).astype(int)) for points in contours)


def _closed(points: npt.NDArray[np.int_]) -> str:
    """A closed line of (row, column) as an SVG path of relative steps, equal ones in one."""
    steps = np.diff(points, axis=0)
    starts = np.flatnonzero(np.any(steps != np.roll(steps, 1, axis=0), axis=1))
    points = np.roll(points[:-1], -starts[0], axis=0)
    moves = np.diff(points[[*(starts - starts[0]), 0]], axis=0)
    text = f"M{points[0, 1]} {points[0, 0]}"
    for down, right in moves[:-1].tolist():  # the last one is the way back
        if down == 0:
            text += f"h{right}"
        elif right == 0:
            text += f"v{down}"
        else:
            text += f"l{right}{'' if down < 0 else ' '}{down}"
    return text + "z"


def _webp(pixels: npt.NDArray[np.uint8]) -> bytes:
    file = io.BytesIO()
    Pillow.fromarray(pixels).save(file, "WEBP", quality=_MR_QUALITY, method=6)
    return file.getvalue()

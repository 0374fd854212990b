"""Segmentations of any protocol, as our label maps on an image's grid.

What a protocol's numbers mean comes from a known protocol, from a mapping of the user's, or from
the segmentation's own table (BIDS: `*_dseg.tsv` with the columns index and name).
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from gansfer.errors import UserError
from gansfer.readers.label_maps import (
    check_label_numbers,
    grid_offset_voxels,
    load_labels,
    map_labels,
    turned_like,
)
from gansfer.readers.nifti import load_volume
from gansfer.readers.sheets import read_rows
from gansfer.resampling import resample_labels
from gansfer.structures import LARGEST_LABEL, protocol_table, white_matter_numbers
from gansfer.subjects import Volume

Mask = npt.NDArray[np.bool_]
LabelMap = npt.NDArray[np.uint8]

# Grids whose corners are less than this apart are the same grid.
SAME_PLACE_VOXELS = 0.25
_SIDES = {"left", "right", "l", "r", "lh", "rh", "hemi", "hemisphere"}
_ADDITIONS = {"proper", "area", "nucleus", "cerebral", "ctx"}
_WHITE_MATTER = {"whitematter", "wm"}


@dataclass(frozen=True)
class Numbers:
    """What a segmentation's numbers mean.

    Attributes:
        value_of: protocol's number -> our label value.
        white_matter: numbers of cerebral white matter; may be empty.
        structures: names of label values 1, 2, ...
    """

    value_of: Mapping[int, int]
    white_matter: tuple[int, ...]
    structures: tuple[str, ...]

    @classmethod
    def of_protocol(
        cls, where: str, protocol: str | Mapping[str, Sequence[int]], structures: Sequence[str]
    ) -> Numbers:
        """Numbers of a known protocol, or of a mapping structure -> numbers.

        Raises:
            UserError: the protocol is unknown or lacks a structure; `where` begins the line.
        """
        try:
            table = protocol_table(protocol, structures)
        except ValueError as error:
            raise UserError(f"{where}: {error}") from error
        return cls(table, white_matter_numbers(protocol), tuple(structures))

    @classmethod
    def of_table(cls, path: Path, structures: Sequence[str]) -> Numbers:
        """Numbers of a segmentation's own table: columns index and name (BIDS derivatives).

        A name is a structure's without its side and without `proper`, `area` and the like:
        Left-Thalamus-Proper, thalamus_R and "right thalamus" are all the thalamus.

        Raises:
            UserError: the table is damaged or does not name one of the structures.
        """
        known = {_plain_name(name): value for value, name in enumerate(structures, start=1)}
        value_of: dict[int, int] = {}
        white_matter = []
        for index, written in _names_of(path).items():
            name = _plain_name(written)
            if name in known:
                value_of[index] = known[name]
            elif name in _WHITE_MATTER:
                white_matter.append(index)
        lost = [name for value, name in enumerate(structures, 1) if value not in value_of.values()]
        if lost:
            raise UserError(
                f"{path}: names no {', '.join(lost)}; write a mapping of label numbers as the "
                "protocol instead"
            )
        return cls(value_of, tuple(white_matter), tuple(structures))

    def numbers_of(self, value: int) -> list[int]:
        """The protocol's numbers of our label value."""
        return sorted(number for number, ours in self.value_of.items() if ours == value)


@dataclass(frozen=True)
class Segmentation:
    """A segmentation on its image's grid.

    Attributes:
        label_xyz: 0 and 1..S.
        white_matter_xyz: labelled white matter in the brain, or None where there is none.
    """

    label_xyz: LabelMap
    white_matter_xyz: Mask | None


def load_segmentation(
    path: Path,
    image: Volume,
    who: str,
    numbers: Numbers,
    brain_xyz: Mask,
    *,
    resample: bool = False,
    same_place: bool = True,
    complete: bool = False,
) -> Segmentation:
    """Read a segmentation and turn its numbers into ours.

    Args:
        path: the file.
        image: the image that it segments.
        who: the image's name, for messages.
        numbers: what its numbers mean.
        brain_xyz: the image's brain, to notice a map that lies elsewhere.
        resample: bring a map on another grid to the image's; else it is refused.
        same_place: the file says where it lies (Analyze files do not): compare it.
        complete: every structure must occur.

    Raises:
        UserError: the file is damaged, on another grid, holds other numbers than these, lacks a
            structure or lies outside the brain.
    """
    numbers_xyz = whole_numbers(path, image, who, resample=resample, same_place=same_place)
    label_xyz = map_labels(path, numbers_xyz, numbers.value_of, brain_xyz)
    present = set(np.unique(label_xyz).tolist())
    for value, name in enumerate(numbers.structures, start=1):
        if complete and value not in present:
            raise UserError(
                f"{path}: no voxel of {name} (numbers "
                f"{', '.join(map(str, numbers.numbers_of(value)))}); label it, exclude the "
                "subject, or leave it out of cohort.structures"
            )
    white_xyz = np.isin(numbers_xyz, numbers.white_matter) & brain_xyz
    return Segmentation(label_xyz, white_xyz if white_xyz.any() else None)


def whole_numbers(
    path: Path, image: Volume, who: str, *, resample: bool, same_place: bool = True
) -> npt.NDArray[np.int64]:
    """A segmentation's own numbers on an image's grid.

    Raises:
        UserError: the file is damaged, or on another grid and not to be resampled.
    """
    if not same_place:
        return load_labels(path, image, who)
    volume = turned_like(load_volume(path), image)
    check_label_numbers(path, volume.array_xyz)
    numbers_xyz = np.rint(volume.array_xyz).astype(np.int64)
    finding = _other_grid(volume, image)
    if not finding:
        return numbers_xyz
    if not resample:
        raise UserError(
            f"{path}: {finding} of {who}; set resample: true to bring it to the image's grid, or "
            "give labels on that grid"
        )
    known = np.unique(numbers_xyz)
    parts = np.searchsorted(known, numbers_xyz)
    label_from_image = np.linalg.inv(volume.affine_ras) @ image.affine_ras
    x, y, z = image.array_xyz.shape
    if len(known) > 256 or known[0] != 0:
        raise UserError(
            f"{path}: {len(known)} different numbers, expected 0 and at most 255 to resample; give "
            "labels on the image's grid"
        )
    return known[resample_labels(parts.astype(np.uint8), label_from_image, (x, y, z))]


def _names_of(path: Path) -> dict[int, str]:
    """The name of each number in a segmentation's own table."""
    names: dict[int, str] = {}
    for line, row in read_rows(path, ("index", "name")):
        index = int(row["index"]) if row["index"].isdecimal() else -1
        if not 0 <= index <= LARGEST_LABEL:
            raise UserError(
                f"{path}: line {line}: index is {row['index']!r}, expected a whole number of at "
                f"most {LARGEST_LABEL}; correct the row"
            )
        if names.setdefault(index, row["name"]) != row["name"]:
            raise UserError(
                f"{path}: line {line}: index {index} is {row['name']}, but was {names[index]} "
                "before; give each number one name"
            )
    names.pop(0, None)  # the background, whatever it is called
    return names


def _other_grid(volume: Volume, image: Volume) -> str:
    """How a map's grid differs from the image's; empty: it does not."""
    ours, theirs = volume.array_xyz.shape, image.array_xyz.shape
    if ours != theirs:
        return f"shape {_times(ours)}, expected {_times(theirs)} as the image"
    off_voxels = grid_offset_voxels(volume, image)
    if off_voxels > SAME_PLACE_VOXELS:
        return f"its header places it {off_voxels:.1f} voxels off the image"
    return ""


def _times(shape: tuple[int, ...]) -> str:
    return " x ".join(map(str, shape))


def _plain_name(name: str) -> str:
    """A structure's name without case, side, separators and additions."""
    words = re.findall(r"[a-z]+|[0-9]+", re.sub(r"([a-z])([A-Z])", r"\1 \2", name).lower())
    kept = [word for word in words if word not in _SIDES | _ADDITIONS]
    return "".join(kept)

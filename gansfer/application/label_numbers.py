"""The numbers under which a segmentation is written: those of the protocol that was learnt from.

Our labels merge left and right. A known protocol has a number for each side, so a label is parted
at the midsagittal plane, x = 0 of the common space. Which of a mapping's several numbers means
which side nobody says: its first stands for the whole structure.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

import numpy as np
import numpy.typing as npt
from nibabel.affines import apply_affine

from gansfer.settings import Settings
from gansfer.structures import LARGEST_LABEL, PROTOCOLS

Affine = npt.NDArray[np.float64]


class LabelNumber(Settings):
    """One number of a written label map.

    Attributes:
        number: as in the protocol.
        structure: whose.
        side: of the body.
    """

    number: int
    structure: str
    side: Literal["left", "right", "both"] = "both"

    @property
    def name(self) -> str:
        """Such as `hippocampus_right`, or `hippocampus` for both sides together."""
        return self.structure if self.side == "both" else f"{self.structure}_{self.side}"


def label_numbers(
    protocol: str | Mapping[str, Sequence[int]] | None, structures: Sequence[str]
) -> tuple[LabelNumber, ...]:
    """The numbers of some structures, in their order.

    Args:
        protocol: a name in `PROTOCOLS`, a mapping structure -> numbers, or None: 1, 2, ...
        structures: names of our labels 1, 2, ...; the protocol has them all.
    """
    if protocol is None:
        return tuple(
            LabelNumber(number=value, structure=name) for value, name in enumerate(structures, 1)
        )
    if not isinstance(protocol, str):
        return tuple(
            LabelNumber(number=int(protocol[name][0]), structure=name) for name in structures
        )
    numbers: list[LabelNumber] = []
    for name in structures:
        known = PROTOCOLS[protocol][name]
        if len(known) == 1:
            numbers.append(LabelNumber(number=known[0], structure=name))
            continue
        right, left = known
        numbers.append(LabelNumber(number=right, structure=name, side="right"))
        numbers.append(LabelNumber(number=left, structure=name, side="left"))
    return tuple(numbers)


def numbered(
    label_xyz: npt.NDArray[np.uint8],
    structures: Sequence[str],
    numbers: Sequence[LabelNumber],
    common_from_voxel: Affine,
) -> npt.NDArray[np.integer]:
    """A label map in a protocol's numbers, in the smallest type of NIfTI that holds them.

    Args:
        label_xyz: 0 and 1..S.
        structures: names of labels 1, 2, ...
        numbers: as of `label_numbers`.
        common_from_voxel: [4, 4], voxel index -> RAS mm of the common space; says the side.
    """
    number_of = np.zeros((len(structures) + 1, 2), np.int64)  # left of the midplane, right of it
    for one in numbers:
        value = structures.index(one.structure) + 1
        sides = {"left": [0], "right": [1], "both": [0, 1]}[one.side]
        number_of[value, sides] = one.number
    assert number_of.max() <= LARGEST_LABEL
    largest = int(number_of.max())
    kind = np.uint8 if largest < 1 << 8 else np.uint16 if largest < 1 << 16 else np.int32
    written_xyz = np.zeros(label_xyz.shape, kind)
    place_n3 = np.argwhere(label_xyz > 0)
    if len(place_n3):
        at = tuple(place_n3.T)
        is_right_n = apply_affine(common_from_voxel, place_n3)[:, 0] > 0
        written_xyz[at] = number_of[label_xyz[at], is_right_n.astype(int)]
    return written_xyz


def volumes_mm3(
    written_xyz: npt.NDArray[np.integer], numbers: Sequence[LabelNumber], affine_ras: Affine
) -> dict[str, float]:
    """Volume under each number, by its name, of a map in a space of millimetres.

    Args:
        written_xyz: as of `numbered`.
        numbers: the same.
        affine_ras: [4, 4] voxel index -> mm.
    """
    voxel_mm3 = abs(float(np.linalg.det(affine_ras[:3, :3])))
    found, count = np.unique(written_xyz, return_counts=True)
    voxels = dict(zip(found.tolist(), count.tolist(), strict=True))
    return {one.name: round(voxels.get(one.number, 0) * voxel_mm3, 3) for one in numbers}

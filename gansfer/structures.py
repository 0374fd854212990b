"""The anatomical structures: their order, their channel, and their label numbers in each protocol.

The order is the one of the paper's tables (III.A). Structure k (0-based) is channel k + 1 of an
encoded slice (channel 0 is the MR) and value k + 1 of a label map (0 is background).
Left and right are merged, so a left/right reflection never changes a label; where an experiment
keeps them apart (`is_sided`), nothing may be reflected.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

PAPER_STRUCTURES = (
    "accumbens",
    "amygdala",
    "caudate",
    "hippocampus",
    "pallidum",
    "putamen",
    "thalamus",
)

# structure -> label numbers of its right and left half, in each protocol.
PROTOCOLS: Mapping[str, Mapping[str, tuple[int, ...]]] = {
    "gansfer": {name: (k + 1,) for k, name in enumerate(PAPER_STRUCTURES)},
    "neuromorphometrics": {
        "accumbens": (23, 30),
        "amygdala": (31, 32),
        "caudate": (36, 37),
        "hippocampus": (47, 48),
        "pallidum": (55, 56),
        "putamen": (57, 58),
        "thalamus": (59, 60),
    },
    "malpem": {
        "accumbens": (3, 4),
        "amygdala": (5, 6),
        "caudate": (8, 9),
        "hippocampus": (19, 20),
        "pallidum": (25, 26),
        "putamen": (27, 28),
        "thalamus": (29, 30),
    },
    "freesurfer": {
        "accumbens": (58, 26),
        "amygdala": (54, 18),
        "caudate": (50, 11),
        "hippocampus": (53, 17),
        "pallidum": (52, 13),
        "putamen": (51, 12),
        "thalamus": (49, 10),
    },
}

# Cerebral white matter, where a protocol labels it: the reference intensity of III.A.
WHITE_MATTER: Mapping[str, tuple[int, ...]] = {
    "gansfer": (),
    "neuromorphometrics": (44, 45),
    "malpem": (),
    "freesurfer": (41, 2),
}


WHITE_MATTER_NAME = "white_matter"
# FreeSurfer's largest number is some 14,000.
LARGEST_LABEL = 1_000_000
_SIDES = {"left", "right", "l", "r", "lh", "rh"}


def white_matter_numbers(protocol: str | Mapping[str, Sequence[int]]) -> tuple[int, ...]:
    """A protocol's numbers of cerebral white matter; a mapping may name them `white_matter`."""
    if isinstance(protocol, str):
        return WHITE_MATTER.get(protocol, ())
    return tuple(int(number) for number in protocol.get(WHITE_MATTER_NAME, ()))


def is_sided(structure: str) -> bool:
    """Whether a name says which side it is: left_hippocampus, HippocampusRight, hippocampus_l."""
    words = re.split(r"[^a-z]+", re.sub(r"(?<=[a-z])(?=[A-Z])", "_", structure).lower())
    return not _SIDES.isdisjoint(words)


def check_numbers(numbers_of: Mapping[str, Sequence[int]]) -> None:
    """Check a mapping structure -> label numbers: a number with two meanings would lose one.

    Raises:
        ValueError: a structure has no number, a number is no label, or belongs to two structures.
    """
    owner: dict[int, str] = {}
    for name, numbers in numbers_of.items():
        if not numbers:
            raise ValueError(f"protocol gives {name} no number; give it one, or leave it out")
        for number in numbers:
            if not 0 < number <= LARGEST_LABEL:
                raise ValueError(
                    f"protocol gives {name} the number {number}, expected 1 to {LARGEST_LABEL}; "
                    "correct the mapping"
                )
            if owner.setdefault(number, name) != name:
                raise ValueError(
                    f"protocol gives the number {number} to {owner[number]} and to {name}, "
                    "expected one of them; correct the mapping"
                )


def label_value(structure: str, structures: Sequence[str]) -> int:
    """Value of `structure` in a label map of `structures` (1-based; 0 is background)."""
    return list(structures).index(structure) + 1


def protocol_table(
    protocol: str | Mapping[str, Sequence[int]], structures: Sequence[str]
) -> dict[int, int]:
    """Map each of a protocol's label numbers to our label value.

    Args:
        protocol: a name in `PROTOCOLS`, or a mapping structure -> label numbers.
        structures: the experiment's structures, in order.

    Raises:
        ValueError: the protocol is unknown, does not label one of the structures, or gives a number
            two meanings.
    """
    if isinstance(protocol, str):
        if protocol not in PROTOCOLS:
            raise ValueError(f"protocol {protocol!r} is unknown; known: {', '.join(PROTOCOLS)}")
        numbers_of: Mapping[str, Sequence[int]] = PROTOCOLS[protocol]
    else:
        check_numbers(protocol)
        numbers_of = protocol
    missing = [name for name in structures if name not in numbers_of]
    if missing:
        raise ValueError(
            f"protocol has no label for {', '.join(missing)}; it labels {', '.join(numbers_of)}"
        )
    return {
        int(number): label_value(name, structures)
        for name in structures
        for number in numbers_of[name]
    }

"""Label protocols: what the numbers of a segmentation mean.

They come from a known protocol, from a mapping of the user's, or from the segmentation's own table
(BIDS: `*_dseg.tsv` with the columns index and name).
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from gansfer.errors import UserError
from gansfer.readers.files.tables import read_rows
from gansfer.structures import LARGEST_LABEL, protocol_table, white_matter_numbers

_SIDES = {"left", "right", "l", "r", "lh", "rh", "hemi", "hemisphere"}
_ADDITIONS = {"proper", "area", "nucleus", "cerebral", "ctx"}
_WHITE_MATTER = {"whitematter", "wm"}


@dataclass(frozen=True)
class LabelProtocol:
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
    def named(
        cls, where: str, protocol: str | Mapping[str, Sequence[int]], structures: Sequence[str]
    ) -> LabelProtocol:
        """A known protocol, or a mapping structure -> numbers.

        Raises:
            UserError: the protocol is unknown or lacks a structure; `where` begins the line.
        """
        try:
            value_of = protocol_table(protocol, structures)
        except ValueError as error:
            raise UserError(f"{where}: {error}") from error
        return cls(value_of, white_matter_numbers(protocol), tuple(structures))

    @classmethod
    def from_table(cls, path: Path, structures: Sequence[str]) -> LabelProtocol:
        """The protocol in a segmentation's own table: columns index and name (BIDS derivatives).

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
        missing = [
            name for value, name in enumerate(structures, 1) if value not in value_of.values()
        ]
        if missing:
            raise UserError(
                f"{path}: names no {', '.join(missing)}; write a mapping of label numbers as the "
                "protocol instead"
            )
        return cls(value_of, tuple(white_matter), tuple(structures))

    def numbers_of(self, value: int) -> list[int]:
        """The protocol's numbers of our label value."""
        return sorted(number for number, ours in self.value_of.items() if ours == value)


def _names_of(path: Path) -> dict[int, str]:
    """The name of each number in a segmentation's own table."""
    names: dict[int, str] = {}
    for line, row in read_rows(path, ("index", "name")):
        index = int(row["index"]) if re.fullmatch("[0-9]{1,9}", row["index"]) else -1
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


def _plain_name(name: str) -> str:
    """A structure's name without case, side, separators and additions."""
    words = re.findall(r"[a-z]+|[0-9]+", re.sub(r"([a-z])([A-Z])", r"\1 \2", name).lower())
    kept = [word for word in words if word not in _SIDES | _ADDITIONS]
    return "".join(kept)

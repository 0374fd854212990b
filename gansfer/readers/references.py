"""A folder of label maps to measure against: MALPEM's output, other segmentations, known truth."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from gansfer.errors import UserError
from gansfer.readers.files.tables import collected, matching
from gansfer.readers.label_maps import map_labels
from gansfer.readers.protocols import LabelProtocol
from gansfer.readers.segmentations import whole_numbers
from gansfer.subjects import Volume

MALPEM_PATTERN = "{id}*_MALPEM.nii.gz"


class ReferenceFolder:
    """Reader of one label map a session, on the grid of that session's image."""

    def __init__(
        self,
        folder: Path,
        structures: Sequence[str],
        protocol: str | Mapping[str, Sequence[int]] = "malpem",
        pattern: str = MALPEM_PATTERN,
        *,
        resample: bool = False,
    ) -> None:
        """Point at a folder.

        Args:
            folder: where the label maps are.
            structures: names of our label values.
            protocol: what the maps' numbers mean.
            pattern: glob in which {id} stands for the session.
            resample: bring a map on another grid to the image's; else that is an error.

        Raises:
            UserError: the folder is missing, or the pattern or protocol cannot work.
        """
        if not folder.is_dir():
            raise UserError(f"{folder}: no such folder; where are the references?")
        if "{id}" not in pattern:
            raise UserError(f"{folder}: pattern {pattern!r} lacks {{id}}; try {MALPEM_PATTERN}")
        self._folder = folder
        self._pattern = pattern
        self._resample = resample
        self._protocol = LabelProtocol.named(str(folder), protocol, structures)

    def load(
        self, subject_id: str, image: Volume, notes: list[str] | None = None
    ) -> npt.NDArray[np.uint8] | None:
        """The session's label map in our numbers, or None where the folder has none.

        Where the image's own header says where it lies, the map must lie there too. `notes` is
        extended by what is odd with the file, though it can be used.

        Raises:
            UserError: several files match, or the file is damaged or does not fit the image.
        """
        path = self.path_of(subject_id)
        if path is None:
            return None
        numbers_xyz = whole_numbers(
            path,
            image,
            subject_id,
            self._protocol.value_of,
            resample=self._resample,
            same_place=image.placed,
            notes=notes,
        )
        return map_labels(path, numbers_xyz, self._protocol.value_of, image.array_xyz != 0)

    def path_of(self, subject_id: str) -> Path | None:
        """The session's file, or None where the folder has none.

        Raises:
            UserError: several files match.
        """
        pattern = self._pattern.replace("{id}", subject_id)
        own = self._own_name(subject_id)
        matches = [
            path
            for path in matching(self._folder, pattern)
            if own.search(path.relative_to(self._folder).as_posix())
        ]
        if len(matches) > 1:
            raise UserError(
                f"{self._folder}: {len(matches)} files match {pattern}, expected one; "
                "make the pattern narrower"
            )
        return matches[0] if matches else None

    def survey(self, ids: Sequence[str]) -> tuple[list[str], list[str]]:
        """What is wrong with the folder, and what the user should know, before a map is opened.

        Args:
            ids: sessions that may have a map.
        """
        owner: dict[Path, str] = {}
        problems: list[str] = []
        missing = []
        for one in ids:
            with collected(problems):
                path = self.path_of(one)
                if path is None:
                    missing.append(one)
                elif path in owner:
                    raise UserError(
                        f"{path}: matches {self._pattern} for {owner[path]} and for {one}, "
                        "expected one; make the pattern narrower"
                    )
                else:
                    owner[path] = one
        if missing and len(missing) == len(ids):
            problems.append(
                f"{self._folder}: no file matches {self._pattern} for any of {len(ids)} images "
                f"({ids[0]} is the first); correct folder or pattern, or set references to none"
            )
        elif missing:
            return problems, [
                f"{self._folder}: {len(missing)} of {len(ids)} images have no reference "
                f"({missing[0]} is the first); they are left out where references are measured"
            ]
        return problems, []

    def _own_name(self, subject_id: str) -> re.Pattern[str]:
        """What a matching name must hold: `s1*` finds s10's file, which is not s1's."""
        before, _, after = self._pattern.partition("{id}")
        no_more_before = r"(?<![A-Za-z0-9])" if before.endswith(("*", "?", "]")) else ""
        no_more_after = r"(?![A-Za-z0-9])" if after.startswith(("*", "?", "[")) else ""
        return re.compile(no_more_before + re.escape(subject_id) + no_more_after)

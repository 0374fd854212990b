"""A folder of label maps to measure against: MALPEM's output, other segmentations, known truth."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from gansfer.cohort.nifti import load_labels, map_labels
from gansfer.cohort.subjects import Volume
from gansfer.errors import UserError
from gansfer.structures import protocol_table

MALPEM_PATTERN = "{id}*_MALPEM.nii.gz"


class ReferenceFolder:
    """Reader of one label map a session, on the grid of that session's image."""

    def __init__(
        self,
        folder: Path,
        structures: Sequence[str],
        protocol: str | Mapping[str, Sequence[int]] = "malpem",
        pattern: str = MALPEM_PATTERN,
    ) -> None:
        """Point at a folder; `pattern` is a glob in which {id} stands for the session.

        Raises:
            UserError: the folder is missing, or the pattern or protocol cannot work.
        """
        if not folder.is_dir():
            raise UserError(f"{folder}: no such folder; where are the references?")
        if "{id}" not in pattern:
            raise UserError(f"{folder}: pattern {pattern!r} lacks {{id}}; try {MALPEM_PATTERN}")
        self._folder = folder
        self._pattern = pattern
        try:
            self._table = protocol_table(protocol, structures)
        except ValueError as error:
            raise UserError(f"{folder}: {error}") from error

    def load(self, subject_id: str, image: Volume) -> npt.NDArray[np.uint8] | None:
        """The session's label map in our numbers, or None where the folder has none.

        Raises:
            UserError: several files match, or the file is damaged or does not fit the image.
        """
        path = self.path_of(subject_id)
        if path is None:
            return None
        numbers_xyz = load_labels(path, image, subject_id)
        return map_labels(path, numbers_xyz, self._table, image.array_xyz != 0)

    def path_of(self, subject_id: str) -> Path | None:
        """The session's file, or None where the folder has none.

        Raises:
            UserError: several files match.
        """
        pattern = self._pattern.replace("{id}", subject_id)
        found = sorted(self._folder.glob(pattern))
        if len(found) > 1:
            raise UserError(
                f"{self._folder}: {len(found)} files match {pattern}, expected one; "
                "make the pattern narrower"
            )
        return found[0] if found else None

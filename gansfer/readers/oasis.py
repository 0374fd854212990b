"""OASIS-1 (Marcus et al. 2007) as it is downloaded: discs of sessions, and a table of 436 rows.

Of each session the atlas-registered, brain-masked, gain-field-corrected image is read:
`discN/<session>/PROCESSED/MPRAGE/T88_111/<session>_mpr_nK_anon_111_t88_masked_gfc.{hdr,img}`.
Analyze 7.5, int16, 4-D with a last axis of 1, voxel axes left, anterior, superior (LAS).
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path

import numpy as np
import numpy.typing as npt

from gansfer.errors import UserError
from gansfer.readers.files.nifti import load_volume
from gansfer.readers.files.tables import collected, matching, read_rows, to_demographics
from gansfer.subjects import RawSubject, Subject, Survey, Volume

DEMOGRAPHIC_COLUMNS = {"age_years": "Age", "sex": "M/F", "cdr": "CDR"}
COLUMNS = ("ID", *DEMOGRAPHIC_COLUMNS.values())
T88_EXTENT_MM = (176.0, 208.0, 176.0)
# The middle of a T88 volume seen from the anterior commissure, RAS mm: at 1 mm the commissure is
# voxel (88, 123, 75). The files' own origin is blank, so readers put 0 in the middle instead.
T88_MIDDLE_MM = (0.5, -19.5, 12.5)
SESSION = re.compile(r"OAS1_\d{4}_MR\d+")


def person_of(session: str) -> str:
    """The person of a session: OAS1_0061_MR2 -> OAS1_0061."""
    return session.rsplit("_MR", 1)[0]


def t88_affine(shape_xyz: Sequence[int]) -> npt.NDArray[np.float64]:
    """Voxel index of a T88 volume -> RAS mm from the anterior commissure."""
    affine = np.eye(4)
    for axis, sign in enumerate((-1, 1, 1)):
        step_mm = sign * T88_EXTENT_MM[axis] / shape_xyz[axis]
        affine[axis, axis] = step_mm
        affine[axis, 3] = T88_MIDDLE_MM[axis] - step_mm * (shape_xyz[axis] - 1) / 2
    return affine


class OasisSource:
    """The unlabelled pool: every session that is both on a disc and in the table.

    A blank CDR is 0: the young were never assessed. An MR2 repeats the same person's MR1.
    """

    def __init__(self, discs: Path, table: Path) -> None:
        """Point at the folder that holds disc1, disc2, ... and at oasis_cross-sectional.csv."""
        self._discs = discs
        self._table = table

    def subjects(self) -> tuple[Subject, ...]:
        """Sessions in the table's order.

        Raises:
            UserError: everything that is wrong with the table and the discs, a line each.
        """
        return self.survey().checked()

    def survey(self) -> Survey:
        """Sessions in the table's order, and what is wrong with the table and the discs."""
        (rows, row_problems, row_notes), (folders, folder_problems) = self._rows, self._folders
        problems = [*row_problems, *folder_problems]
        if not row_problems:
            problems += [
                f"{folders[session]}: session is not in {self._table}; is the table complete?"
                for session in sorted(set(folders) - set(rows))
            ]
        subjects = tuple(subject for session, subject in rows.items() if session in folders)
        notes = list(row_notes)
        if self.missing:
            notes.append(
                f"{self._table}: {len(self.missing)} sessions are on no disc "
                f"({self.missing[0]} is the first); they are left out"
            )
        return Survey(subjects, tuple(problems), tuple(notes))

    @cached_property
    def missing(self) -> tuple[str, ...]:
        """Sessions of the table that are on no disc, for a report: a disc may not be downloaded."""
        return tuple(session for session in self._rows[0] if session not in self._folders[0])

    def tables(self) -> tuple[Path, ...]:
        """The table of sessions."""
        return (self._table,)

    def files(self, subject_id: str) -> tuple[Path, ...]:
        """The session's header and its voxels.

        Raises:
            UserError: the session is unknown, or its file is missing or ambiguous.
        """
        header = self._header(subject_id)
        return (header, header.with_suffix(".img"))

    def in_common_space(self, subject_id: str) -> bool:
        """T88 is the common space."""
        return True

    def load(self, subject_id: str) -> RawSubject:
        """One session's image, in the Talairach-like T88 space.

        Raises:
            UserError: the session is unknown, or its file is missing, ambiguous or damaged.
        """
        path = self._header(subject_id)
        image = load_volume(path)
        shape = image.array_xyz.shape
        voxel_mm = np.array(T88_EXTENT_MM) / shape
        if not np.allclose(np.diag(image.affine_ras)[:3], voxel_mm * (-1, 1, 1), atol=1e-3):
            raise UserError(
                f"{path}: shape {shape} is not the T88 volume of 176 x 208 x 176 mm with axes "
                "left, anterior, superior; is this another kind of OASIS image?"
            )
        volume = Volume(image.array_xyz, t88_affine(shape), placed=False)
        return RawSubject(self._rows[0][subject_id], volume)

    def _header(self, subject_id: str) -> Path:
        rows, folders = self._rows[0], self._folders[0]
        if subject_id not in folders or subject_id not in rows:
            raise UserError(f"{self._discs}: no session {subject_id} in discs and table")
        folder = folders[subject_id] / "PROCESSED" / "MPRAGE" / "T88_111"
        pattern = f"{subject_id}_mpr_n*_anon_111_t88_masked_gfc.hdr"
        matches = matching(folder, pattern)
        if len(matches) != 1:
            raise UserError(
                f"{folder}: {len(matches)} files match {pattern}, expected one; "
                "unpack the disc again"
            )
        return matches[0]

    @cached_property
    def _folders(self) -> tuple[dict[str, Path], list[str]]:
        """Folder of each session, and what is wrong with them."""
        folders: dict[str, Path] = {}
        if not self._discs.is_dir():
            return {}, [f"{self._discs}: no such folder; where are disc1, disc2, ...?"]
        problems: list[str] = []
        for pattern in ("OAS1_*", "*/OAS1_*"):
            for folder in matching(self._discs, pattern):
                if not SESSION.fullmatch(folder.name) or not folder.is_dir():
                    continue
                if folder.name in folders:
                    problems.append(
                        f"{folder}: the session is also at {folders[folder.name]}; remove one"
                    )
                folders.setdefault(folder.name, folder)
        if not folders:
            problems.append(f"{self._discs}: no session folder such as disc1/OAS1_0001_MR1")
        return folders, problems

    @cached_property
    def _rows(self) -> tuple[dict[str, Subject], list[str], list[str]]:
        """The table's sessions, its problems and its notes."""
        rows: dict[str, Subject] = {}
        problems: list[str] = []
        notes: list[str] = []
        lines: list[tuple[int, dict[str, str]]] = []
        with collected(problems):
            lines = read_rows(self._table, COLUMNS)
        for number, line in lines:
            with collected(problems):
                session = line["ID"]
                if not SESSION.fullmatch(session) or session in rows:
                    raise UserError(
                        f"{self._table}: line {number}: ID {session!r} is "
                        f"{'given twice' if session in rows else 'not like OAS1_0001_MR1'}; "
                        "correct the row"
                    )
                first = f"{person_of(session)}_MR1"
                cells = {
                    name: (column, line[column]) for name, column in DEMOGRAPHIC_COLUMNS.items()
                }
                demographics = to_demographics(self._table, number, cells, problems, notes)
                rows[session] = Subject(
                    id=session,
                    in_pool=True,
                    repeat_of=None if session == first else first,
                    **(demographics | {"cdr": demographics["cdr"] or 0.0}),
                )
        return rows, problems, notes

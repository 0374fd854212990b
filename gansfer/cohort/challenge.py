"""The labelled set: the MICCAI 2012/13 multi-atlas labelling challenge, in its own folder layout.

`{training,testing}-images/<id>_3.nii.gz`, `{training,testing}-labels/<id>_3_glm.nii.gz` and
`demographics.csv`. Images are brain-extracted and in each scanner's own pose, so they need a
registration. Second scans of a person are dropped (III.A: 35 images, 30 people).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from gansfer.cohort.nifti import load_labels, load_volume, map_labels
from gansfer.cohort.oasis import read_csv, to_number
from gansfer.cohort.subjects import RawSubject, Subject
from gansfer.errors import UserError
from gansfer.structures import WHITE_MATTER, protocol_table

# The same fact under the names that different copies of the table use, best first.
COLUMN_NAMES = {
    "session": ("oasis_session", "Subject"),
    "age": ("age_years", "Age"),
    "sex": ("sex", "Gender"),
    "cdr": ("cdr", "CDR"),
    "repeat": ("repeat_of",),
}


@dataclass(frozen=True)
class _Row:
    subject: Subject
    session: str
    image: Path
    labels: Path


class ChallengeSource:
    """Reader of the labelled subjects."""

    def __init__(
        self,
        folder: Path,
        structures: Sequence[str],
        protocol: str | Mapping[str, Sequence[int]] = "neuromorphometrics",
    ) -> None:
        """Point at the challenge's folder; `protocol` says what its label numbers mean."""
        self._folder = folder
        try:
            self._table = protocol_table(protocol, structures)
        except ValueError as error:
            raise UserError(f"{folder}: {error}") from error
        self._white_matter = WHITE_MATTER.get(protocol, ()) if isinstance(protocol, str) else ()

    def subjects(self) -> tuple[Subject, ...]:
        """The labelled people, each once, in the table's order."""
        return tuple(row.subject for row in self._rows.values())

    def session_of(self, subject_id: str) -> str:
        """The OASIS-1 session (OAS1_0061_MR1) of a labelled subject; empty where unknown."""
        return self._row(subject_id).session

    def load(self, subject_id: str) -> RawSubject:
        """One subject's image, labels and white matter, in native pose.

        Raises:
            UserError: a file is missing or damaged, or holds other labels than the protocol's.
        """
        row = self._row(subject_id)
        image = load_volume(row.image)
        numbers_xyz = load_labels(row.labels, image, subject_id)
        brain_xyz = image.array_xyz != 0
        label_xyz = map_labels(row.labels, numbers_xyz, self._table, brain_xyz)
        white_xyz = np.isin(numbers_xyz, self._white_matter) & brain_xyz
        return RawSubject(
            subject=row.subject,
            image=image,
            label=label_xyz,
            white_matter_mask=white_xyz if white_xyz.any() else None,
            in_common_space=False,
        )

    def _row(self, subject_id: str) -> _Row:
        if subject_id not in self._rows:
            raise UserError(f"{self._folder}: no subject {subject_id} in demographics.csv")
        return self._rows[subject_id]

    @cached_property
    def _rows(self) -> dict[str, _Row]:
        path = self._folder / "demographics.csv"
        rows: dict[str, _Row] = {}
        for number, line in read_csv(path, ("id",)):
            fact = {
                name: next((line[column] for column in columns if line.get(column)), "")
                for name, columns in COLUMN_NAMES.items()
            }
            if fact["repeat"]:
                continue
            subject_id = line["id"]
            if not subject_id or subject_id in rows:
                raise UserError(f"{path}: line {number}: id {subject_id!r} is blank or given twice")
            session = fact["session"]
            rows[subject_id] = _Row(
                subject=Subject(
                    id=subject_id,
                    age_years=to_number(path, number, "age", fact["age"]),
                    sex=fact["sex"] or None,
                    cdr=to_number(path, number, "cdr", fact["cdr"]),
                    labelled=True,
                    in_pool=True,
                ),
                session=session if "_MR" in session or not session else f"{session}_MR1",
                image=self._find(f"*-images/{subject_id}_3.nii*"),
                labels=self._find(f"*-labels/{subject_id}_3_glm.nii*"),
            )
        if not rows:
            raise UserError(f"{path}: no subject; is the table complete?")
        return rows

    def _find(self, pattern: str) -> Path:
        found = sorted(self._folder.glob(pattern))
        if len(found) != 1:
            raise UserError(
                f"{self._folder}: {len(found)} files match {pattern}, expected one; "
                "unpack the challenge's folders again"
            )
        return found[0]

"""The labelled set: the MICCAI 2012/13 multi-atlas labelling challenge, in its own folder layout.

`{training,testing}-images/<id>_3.nii.gz`, `{training,testing}-labels/<id>_3_glm.nii.gz` and
`demographics.csv`. Images are brain-extracted and in each scanner's own pose, so they need a
registration. Second scans of a person are dropped (III.A: 35 images, 30 people): rows with
`repeat_of`, and rows whose session is of a person who is there already.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from gansfer.errors import UserError
from gansfer.readers.files.nifti import load_image
from gansfer.readers.files.tables import collected, matching, read_rows, to_demographics
from gansfer.readers.oasis import person_of
from gansfer.readers.protocols import LabelProtocol
from gansfer.readers.segmentations import load_segmentation
from gansfer.subjects import RawSubject, Subject, Survey

# The same value under the names that different copies of the table use, best first.
COLUMN_NAMES = {
    "session": ("oasis_session", "Subject"),
    "age": ("age_years", "Age"),
    "sex": ("sex", "Gender"),
    "cdr": ("cdr", "CDR"),
    "repeat": ("repeat_of",),
}
# Without any of these, two scans of a person would be two subjects, one of them to be tested on.
LINKS = (*COLUMN_NAMES["repeat"], *COLUMN_NAMES["session"])


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
        self._table = folder / "demographics.csv"
        self._protocol = LabelProtocol.named(str(folder), protocol, structures)

    def subjects(self) -> tuple[Subject, ...]:
        """The labelled subjects, each once, in the table's order.

        Raises:
            UserError: everything that is wrong with the table and the folders, a line each.
        """
        return self.survey().checked()

    def survey(self) -> Survey:
        """The labelled subjects, and what is wrong with the table and the folders."""
        rows, problems, notes = self._rows
        first, scan_notes = _first_scans(self._table, rows)
        subjects = tuple(row.subject for row in first.values())
        return Survey(subjects, tuple(problems), (*notes, *scan_notes))

    def session_of(self, subject_id: str) -> str:
        """The OASIS-1 session (OAS1_0061_MR1) of a labelled subject; empty where unknown."""
        return self._row(subject_id).session

    def tables(self) -> tuple[Path, ...]:
        """The table of subjects."""
        return (self._table,)

    def files(self, subject_id: str) -> tuple[Path, ...]:
        """The subject's image and labels.

        Raises:
            UserError: the subject is unknown.
        """
        row = self._row(subject_id)
        return (row.image, row.labels)

    def in_common_space(self, subject_id: str) -> bool:
        """Images are in each scanner's own pose."""
        return False

    def load(self, subject_id: str) -> RawSubject:
        """One subject's image, labels and white matter, in native pose.

        Raises:
            UserError: a file is missing or damaged, or holds other labels than the protocol's.
        """
        row = self._row(subject_id)
        image = load_image(row.image, (row.labels,))
        notes = list(image.notes)
        segmentation = load_segmentation(
            row.labels,
            image,
            subject_id,
            self._protocol,
            image.array_xyz != 0,
            same_place=False,
            complete=True,
            notes=notes,
        )
        return RawSubject(
            subject=row.subject,
            image=image,
            label=segmentation.label_xyz,
            white_matter_mask=segmentation.white_matter_xyz,
            in_common_space=False,
            notes=tuple(dict.fromkeys(notes)),
        )

    def _row(self, subject_id: str) -> _Row:
        rows = self._rows[0]
        if subject_id not in rows:
            raise UserError(f"{self._folder}: no subject {subject_id} in demographics.csv")
        return rows[subject_id]

    @cached_property
    def _rows(self) -> tuple[dict[str, _Row], list[str], list[str]]:
        """The labelled subjects with their files, and the problems and notes of their table."""
        path = self._table
        rows: dict[str, _Row] = {}
        problems: list[str] = []
        notes: list[str] = []
        lines: list[tuple[int, dict[str, str]]] = []
        with collected(problems):
            lines = read_rows(path, ("id",))
            if not lines:
                raise UserError(f"{path}: no subject; is the table complete?")
            if not any(column in lines[0][1] for column in LINKS):
                raise UserError(
                    f"{path}: no column of {', '.join(LINKS)}, so that nobody knows which rows are "
                    "one person; add repeat_of, blank for first scans"
                )
        for number, line in lines:
            with collected(problems):
                row = self._row_of_line(path, number, line, problems, notes)
                if row is None:
                    continue
                subject_id = row.subject.id
                if not subject_id or subject_id in rows:
                    raise UserError(
                        f"{path}: line {number}: id {subject_id!r} is blank or given twice; "
                        "correct the row"
                    )
                rows[subject_id] = row
        return rows, problems, notes

    def _row_of_line(
        self,
        path: Path,
        number: int,
        line: Mapping[str, str],
        problems: list[str],
        notes: list[str],
    ) -> _Row | None:
        """One labelled subject; None for a second scan."""
        value = {
            name: next((line[column] for column in columns if line.get(column)), "")
            for name, columns in COLUMN_NAMES.items()
        }
        if value["repeat"]:
            return None
        subject_id, session = line["id"], value["session"]
        named = {"age_years": "age", "sex": "sex", "cdr": "cdr"}
        cells = {name: (short, value[short]) for name, short in named.items()}
        return _Row(
            subject=Subject(
                id=subject_id,
                labelled=True,
                in_pool=True,
                **to_demographics(path, number, cells, problems, notes),
            ),
            session=session if "_MR" in session or not session else f"{session}_MR1",
            image=self._one_file(f"*-images/{subject_id}_3.nii*"),
            labels=self._one_file(f"*-labels/{subject_id}_3_glm.nii*"),
        )

    def _one_file(self, pattern: str) -> Path:
        matches = matching(self._folder, pattern)
        if len(matches) != 1:
            raise UserError(
                f"{self._folder}: {len(matches)} files match {pattern}, expected one; "
                "unpack the challenge's folders again"
            )
        return matches[0]


def _first_scans(table: Path, rows: Mapping[str, _Row]) -> tuple[dict[str, _Row], list[str]]:
    """The first row of each person, and what the user should know of the others."""
    first: dict[str, _Row] = {}
    owner: dict[str, str] = {}
    notes = []
    for subject_id, row in rows.items():
        person = person_of(row.session)
        if person and person in owner:
            notes.append(
                f"{table}: {subject_id} is of {person}, as {owner[person]} is; the second scan is "
                "left out"
            )
            continue
        owner[person] = subject_id
        first[subject_id] = row
    unknown = [subject_id for subject_id, row in first.items() if not row.session]
    if unknown:
        notes.append(
            f"{table}: {len(unknown)} of {len(first)} labelled subjects have no OASIS session "
            f"({unknown[0]} is the first); images of theirs in the pool cannot be kept out of "
            "training when they are tested"
        )
    return first, notes

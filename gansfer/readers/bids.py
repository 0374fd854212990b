"""A BIDS dataset: participants.tsv, sub-*/[ses-*/]anat/*_T1w.nii.gz, and derivatives.

Brain masks (`*_mask.nii.gz`) and segmentations (`*_dseg.nii.gz`) come from derivatives of the same
layout. What a segmentation's numbers mean is written in its own `dseg.tsv` (columns index and
name), beside the file or in a folder above it, or set as a protocol. Age and sex are looked for
in participants.tsv, and in sub-*/sub-*_sessions.tsv for several sessions of a person.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from gansfer.errors import UserError
from gansfer.readers.files.tables import (
    Row,
    collected,
    matching,
    read_rows,
    to_demographics,
    to_yes_no,
)
from gansfer.readers.listed import Entry, Listing, SegmentationFile, check_id
from gansfer.readers.protocols import LabelProtocol

T1W_PATTERN = "*_T1w.nii*"
MASK_PATTERN = "*_mask.nii*"
DSEG_PATTERN = "*_dseg.nii*"
# The same value under the names that data sets use, best first.
COLUMN_NAMES: Mapping[str, Sequence[str]] = {
    "age": ("age", "age_years", "Age"),
    "sex": ("sex", "Sex", "gender"),
    "cdr": ("cdr", "CDR", "cdr_global"),
    "in_pool": ("in_pool",),
}


@dataclass(frozen=True)
class Derivative:
    """Where files of one kind lie.

    Attributes:
        folder: a dataset of BIDS layout, such as derivatives/fmriprep.
        pattern: glob of the file's name, below sub-*/[ses-*/]anat.
        protocol: what a segmentation's numbers mean; None: its own tsv says.
        structures: names of our label values, for the tsv.
        resample: bring a segmentation on another grid to the image's.
    """

    folder: Path
    pattern: str
    protocol: LabelProtocol | None = None
    structures: tuple[str, ...] = ()
    resample: bool = False


def list_bids(
    root: Path,
    *,
    pattern: str = T1W_PATTERN,
    masks: Derivative | None = None,
    labels: Derivative | None = None,
    references: Derivative | None = None,
) -> Listing:
    """Sessions of a BIDS dataset.

    Args:
        root: folder of participants.tsv.
        pattern: glob of the T1-weighted image's name in anat; one must match.
        masks: brain masks, where the images are not brain-extracted.
        labels: manual segmentations; whoever has one is labelled.
        references: segmentations for measuring only.
    """
    problems: list[str] = []
    notes: list[str] = []
    table = root / "participants.tsv"
    rows: list[tuple[int, Row]] = []
    with collected(problems):
        rows = read_rows(table, ("participant_id",))
        if not rows:
            raise UserError(f"{table}: no participant; write one row a person")
    entries: dict[str, Entry] = {}
    participants: set[str] = set()
    for number, row in rows:
        with collected(problems):
            participant = row["participant_id"]
            participant = participant if participant.startswith("sub-") else f"sub-{participant}"
            where = f"{table}: line {number}"
            check_id(where, participant, participants)
            participants.add(participant)
            if not (root / participant).is_dir():
                raise UserError(
                    f"{where}: {participant} has no folder {root / participant}; add it, or drop "
                    "the row"
                )
            for session, demographics in _sessions(
                root, table, number, row, participant, problems, notes
            ):
                with collected(problems):
                    files = {
                        name: _one_file(one, participant, session)
                        for name, one in (
                            ("mask", masks),
                            ("label", labels),
                            ("reference", references),
                        )
                    }
                    entry_id = participant if session is None else f"{participant}_{session}"
                    entries[entry_id] = Entry(
                        id=entry_id,
                        person=participant,
                        image=_image(root, participant, session, pattern),
                        mask=files["mask"],
                        label=_segmentation(labels, files["label"]),
                        reference=_segmentation(references, files["reference"]),
                        **demographics,
                    )
    if rows:
        problems += [
            f"{folder}: {folder.name} is in no row of {table}; add a row, or move the folder away"
            for folder in matching(root, "sub-*")
            if folder.is_dir() and folder.name not in participants
        ]
        for derivative in (labels, references):
            problems += _unlisted(derivative, participants)
    tables = (table, *matching(root, "sub-*/*_sessions.tsv"))
    return Listing(tuple(entries.values()), tuple(dict.fromkeys(problems)), tuple(notes), tables)


def _sessions(
    root: Path,
    table: Path,
    number: int,
    row: Row,
    participant: str,
    problems: list[str],
    notes: list[str],
) -> list[tuple[str | None, dict]]:
    """A participant's sessions (None: the layout has none) with age, sex, CDR and pool."""
    folders = [path.name for path in matching(root / participant, "ses-*") if path.is_dir()]
    if not folders:
        return [(None, _demographics(table, number, row, problems, notes))]
    path = root / participant / f"{participant}_sessions.tsv"
    if not path.is_file():
        return [
            (session, _demographics(table, number, row, problems, notes)) for session in folders
        ]
    sessions: dict[str, dict] = {}
    for line_number, line in read_rows(path, ("session_id",)):
        with collected(problems):
            session = line["session_id"]
            session = session if session.startswith("ses-") else f"ses-{session}"
            if session not in folders:
                raise UserError(
                    f"{path}: line {line_number}: unknown session {session}; there are "
                    f"{', '.join(folders)}: add its folder, or drop the row"
                )
            # The session's own table overrules the participant's.
            both = row | {name: text for name, text in line.items() if text}
            sessions[session] = _demographics(path, line_number, both, problems, notes)
    problems += [
        f"{root / participant / session}: unknown session; it is in no row of {path}: add a row, "
        "or move the folder away"
        for session in folders
        if session not in sessions
    ]
    return [(session, demographics) for session, demographics in sessions.items()]


def _demographics(
    table: Path, number: int, row: Row, problems: list[str], notes: list[str]
) -> dict:
    text = {
        name: next((row[column] for column in columns if row.get(column)), "")
        for name, columns in COLUMN_NAMES.items()
    }
    named = {"age_years": "age", "sex": "sex", "cdr": "cdr"}
    cells = {name: (column, text[column]) for name, column in named.items()}
    demographics = to_demographics(table, number, cells, problems, notes)
    with collected(problems):
        demographics["in_pool"] = to_yes_no(table, number, "in_pool", text["in_pool"], default=True)
    return demographics


def _anat(root: Path, participant: str, session: str | None) -> Path:
    return root / participant / "anat" if session is None else root / participant / session / "anat"


def _image(root: Path, participant: str, session: str | None, pattern: str) -> Path:
    folder = _anat(root, participant, session)
    matches = matching(folder, pattern)
    if len(matches) != 1:
        names = f" ({', '.join(path.name for path in matches)})" if matches else ""
        raise UserError(
            f"{folder}: {len(matches)} files match {pattern}{names}, expected one; "
            + ("make cohort.images.pattern narrower" if matches else "add the image")
        )
    return matches[0]


def _one_file(derivative: Derivative | None, participant: str, session: str | None) -> Path | None:
    """A derivative's file of a session, or None where it has none."""
    if derivative is None:
        return None
    folder = _anat(derivative.folder, participant, session)
    matches = matching(folder, derivative.pattern)
    if len(matches) > 1:
        raise UserError(
            f"{folder}: {len(matches)} files match {derivative.pattern} "
            f"({', '.join(path.name for path in matches)}), expected one; make its pattern narrower"
        )
    return matches[0] if matches else None


def _segmentation(derivative: Derivative | None, path: Path | None) -> SegmentationFile | None:
    if derivative is None or path is None:
        return None
    if derivative.protocol is not None:
        return SegmentationFile(path, derivative.protocol, derivative.resample)
    table = _own_table(derivative, path)
    protocol = LabelProtocol.from_table(table, derivative.structures)
    return SegmentationFile(path, protocol, derivative.resample, table)


def _own_table(derivative: Derivative, path: Path) -> Path:
    """The nearest dseg.tsv whose parts (sub-01, desc-aseg, dseg) the file's name has all."""
    parts = set(path.name.split(".")[0].split("_"))
    folder = path.parent
    while True:
        matches = [
            one for one in matching(folder, "*dseg.tsv") if set(one.stem.split("_")) <= parts
        ]
        if matches:
            return max(matches, key=lambda one: (len(one.stem.split("_")), one.name))
        if folder in (derivative.folder, folder.parent):
            raise UserError(
                f"{path}: no dseg.tsv beside it or in a folder above up to {derivative.folder}; "
                "add one with the columns index and name, or set the labels' protocol"
            )
        folder = folder.parent


def _unlisted(derivative: Derivative | None, participants: set[str]) -> list[str]:
    """Segmentations of participants that participants.tsv does not list."""
    if derivative is None:
        return []
    return [
        f"{folder}: segmentation of {folder.name}, who is not in participants.tsv; add a row, or "
        "move the folder away"
        for folder in matching(derivative.folder, "sub-*")
        if folder.is_dir() and folder.name not in participants
    ]

"""A BIDS dataset: participants.tsv, sub-*/[ses-*/]anat/*_T1w.nii.gz, and derivatives.

Brain masks (`*_mask.nii.gz`) and segmentations (`*_dseg.nii.gz`) come from derivatives of the same
layout. What a segmentation's numbers mean is written in its own `dseg.tsv` (columns index and
name), beside the file or in a folder above it, or set as a protocol. Age and sex are looked for
in participants.tsv, and in sub-*/sub-*_sessions.tsv for several sessions a person.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from gansfer.errors import UserError
from gansfer.readers.listed import Entry, Listing, SegmentationFile, check_id
from gansfer.readers.segmentations import Numbers
from gansfer.readers.sheets import Row, noted, read_rows, to_facts, to_yes_no

T1W_PATTERN = "*_T1w.nii*"
MASK_PATTERN = "*_mask.nii*"
DSEG_PATTERN = "*_dseg.nii*"
# The same fact under the names that data sets use, best first.
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
        numbers: what a segmentation's numbers mean; None: its own tsv says.
        structures: names of our label values, for the tsv.
        resample: bring a segmentation on another grid to the image's.
    """

    folder: Path
    pattern: str
    numbers: Numbers | None = None
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
    table = root / "participants.tsv"
    rows: list[tuple[int, Row]] = []
    with noted(problems):
        rows = read_rows(table, ("participant_id",))
        if not rows:
            raise UserError(f"{table}: no participant; write one row a person")
    entries: dict[str, Entry] = {}
    people: set[str] = set()
    for number, row in rows:
        with noted(problems):
            person = row["participant_id"]
            person = person if person.startswith("sub-") else f"sub-{person}"
            where = f"{table}: line {number}"
            check_id(where, person, people)
            people.add(person)
            if not (root / person).is_dir():
                raise UserError(
                    f"{where}: {person} has no folder {root / person}; add it, or drop the row"
                )
            for session, facts in _sessions(root, table, number, row, person, problems):
                with noted(problems):
                    found = {
                        name: _one_file(one, person, session)
                        for name, one in (("mask", masks), ("label", labels), ("ref", references))
                    }
                    entry_id = person if session is None else f"{person}_{session}"
                    entries[entry_id] = Entry(
                        id=entry_id,
                        person=person,
                        image=_image(root, person, session, pattern),
                        mask=found["mask"],
                        label=_segmentation(labels, found["label"]),
                        reference=_segmentation(references, found["ref"]),
                        **facts,
                    )
    if rows:
        problems += [
            f"{folder}: {folder.name} is in no row of {table}; add a row, or move the folder away"
            for folder in sorted(root.glob("sub-*"))
            if folder.is_dir() and folder.name not in people
        ]
        for derivative in (labels, references):
            problems += _strangers(derivative, people)
    tables = (table, *sorted(root.glob("sub-*/*_sessions.tsv")))
    return Listing(tuple(entries.values()), tuple(dict.fromkeys(problems)), tables=tables)


def _sessions(
    root: Path, table: Path, number: int, row: Row, person: str, problems: list[str]
) -> list[tuple[str | None, dict]]:
    """A person's sessions (None: the layout has none) with age, sex, CDR and pool."""
    folders = sorted(path.name for path in (root / person).glob("ses-*") if path.is_dir())
    if not folders:
        return [(None, _facts(table, number, row, problems))]
    path = root / person / f"{person}_sessions.tsv"
    if not path.is_file():
        return [(session, _facts(table, number, row, problems)) for session in folders]
    sessions: dict[str, dict] = {}
    for line_number, line in read_rows(path, ("session_id",)):
        with noted(problems):
            session = line["session_id"]
            session = session if session.startswith("ses-") else f"ses-{session}"
            if session not in folders:
                raise UserError(
                    f"{path}: line {line_number}: unknown session {session}; there are "
                    f"{', '.join(folders)}: add its folder, or drop the row"
                )
            both = row | {name: text for name, text in line.items() if text}
            sessions[session] = _facts(path, line_number, both, problems)
    problems += [
        f"{root / person / session}: unknown session; it is in no row of {path}: add a row, or "
        "move the folder away"
        for session in folders
        if session not in sessions
    ]
    return [(session, facts) for session, facts in sessions.items()]


def _facts(table: Path, number: int, row: Row, problems: list[str]) -> dict:
    text = {
        name: next((row[column] for column in columns if row.get(column)), "")
        for name, columns in COLUMN_NAMES.items()
    }
    named = {"age_years": "age", "sex": "sex", "cdr": "cdr"}
    cells = {name: (column, text[column]) for name, column in named.items()}
    facts = to_facts(table, number, cells, problems)
    with noted(problems):
        facts["in_pool"] = to_yes_no(table, number, "in_pool", text["in_pool"], default=True)
    return facts


def _anat(root: Path, person: str, session: str | None) -> Path:
    return root / person / "anat" if session is None else root / person / session / "anat"


def _image(root: Path, person: str, session: str | None, pattern: str) -> Path:
    folder = _anat(root, person, session)
    found = sorted(folder.glob(pattern))
    if len(found) != 1:
        names = f" ({', '.join(path.name for path in found)})" if found else ""
        raise UserError(
            f"{folder}: {len(found)} files match {pattern}{names}, expected one; "
            + ("make cohort.images.pattern narrower" if found else "add the image")
        )
    return found[0]


def _one_file(derivative: Derivative | None, person: str, session: str | None) -> Path | None:
    """A derivative's file of a session, or None where it has none."""
    if derivative is None:
        return None
    folder = _anat(derivative.folder, person, session)
    found = sorted(folder.glob(derivative.pattern))
    if len(found) > 1:
        raise UserError(
            f"{folder}: {len(found)} files match {derivative.pattern} "
            f"({', '.join(path.name for path in found)}), expected one; make its pattern narrower"
        )
    return found[0] if found else None


def _segmentation(derivative: Derivative | None, path: Path | None) -> SegmentationFile | None:
    if derivative is None or path is None:
        return None
    if derivative.numbers is not None:
        return SegmentationFile(path, derivative.numbers, derivative.resample)
    table = _own_table(derivative, path)
    numbers = Numbers.of_table(table, derivative.structures)
    return SegmentationFile(path, numbers, derivative.resample, table)


def _own_table(derivative: Derivative, path: Path) -> Path:
    """The nearest dseg.tsv whose parts (sub-01, desc-aseg, dseg) the file's name has all."""
    parts = set(path.name.split(".")[0].split("_"))
    folder = path.parent
    while True:
        found = [one for one in folder.glob("*dseg.tsv") if set(one.stem.split("_")) <= parts]
        if found:
            return max(found, key=lambda one: (len(one.stem.split("_")), one.name))
        if folder in (derivative.folder, folder.parent):
            raise UserError(
                f"{path}: no dseg.tsv beside it or in a folder above up to {derivative.folder}; "
                "add one with the columns index and name, or set the labels' protocol"
            )
        folder = folder.parent


def _strangers(derivative: Derivative | None, people: set[str]) -> list[str]:
    """Segmentations of people whom participants.tsv does not know."""
    if derivative is None:
        return []
    return [
        f"{folder}: segmentation of {folder.name}, who is not in participants.tsv; add a row, or "
        "move the folder away"
        for folder in sorted(derivative.folder.glob("sub-*"))
        if folder.is_dir() and folder.name not in people
    ]

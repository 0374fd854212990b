"""The cohort's table, `subjects.csv`: who is in which shard. Read and written without numpy."""

from __future__ import annotations

import csv
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from gansfer.atomic import write_csv
from gansfer.errors import UserError
from gansfer.subjects import SAFE_ID, Subject
from gansfer.untrusted import MOST_TABLE_BYTES

TABLE_NAME = "subjects.csv"
COLUMNS = (
    "id",
    "age_years",
    "sex",
    "cdr",
    "labelled",
    "in_pool",
    "repeat_of",
    "labelled_as",
    "shard",
    "row",
    "reference_shard",
    "reference_row",
    "white_matter",
    "white_matter_source",
    "intensity_mean",
    "intensity_sd",
    "n_label_voxels_outside_roi",
    "registration_similarity",
)


_ROW = re.compile(r"[0-9]{1,9}")
_SHARD = re.compile(r"images-[0-9]+\.h5")
_REFERENCE_SHARD = re.compile(r"reference-[0-9]+\.h5")
# column, what it may hold, whether it may be blank
_NAMES = (
    ("id", SAFE_ID, False),
    ("repeat_of", SAFE_ID, True),
    ("labelled_as", SAFE_ID, True),
    ("shard", _SHARD, False),
    ("reference_shard", _REFERENCE_SHARD, True),
)


@dataclass(frozen=True)
class TableRow:
    """One subject of a prepared cohort, and where its arrays are.

    Attributes:
        subject: session and demographics.
        shard: file name of the shard with its image (and label).
        row: its row there.
        reference_shard: file name of the shard with its reference, or None.
        reference_row: its row there, or None.
        white_matter: white-matter intensity, z-score units.
        white_matter_source: "labels" or "mixture".
        intensity_mean: of the brain, in the file's units.
        intensity_sd: of the brain, in the file's units.
        n_label_voxels_outside_roi: what the region of interest cut off.
        registration_similarity: None where the image was in the common space already.
    """

    subject: Subject
    shard: str
    row: int
    reference_shard: str | None
    reference_row: int | None
    white_matter: float
    white_matter_source: str
    intensity_mean: float
    intensity_sd: float
    n_label_voxels_outside_roi: int
    registration_similarity: float | None


def write_table(path: Path, rows: Sequence[TableRow]) -> None:
    """Write the table atomically; numbers keep all their digits."""
    values = ({**vars(row.subject), **vars(row)} for row in rows)
    write_csv(path, COLUMNS, ([_to_text(one[name]) for name in COLUMNS] for one in values))


def read_table(path: Path) -> tuple[TableRow, ...]:
    """Read a table that `write_table` wrote.

    Raises:
        UserError: the file is missing or is not such a table.
    """
    if not path.is_file():
        raise UserError(f"{path}: no such table; prepare the cohort first")
    if path.stat().st_size > MOST_TABLE_BYTES:
        raise UserError(f"{path}: too large for a table of subjects; prepare the cohort again")
    rows: dict[str, TableRow] = {}
    line_number = 1
    try:
        with path.open(newline="", encoding="utf-8") as file:
            reader = csv.DictReader(file)
            missing = [name for name in COLUMNS if name not in (reader.fieldnames or ())]
            if missing:
                raise UserError(f"{path}: column {missing[0]} is missing; prepare the cohort again")
            for line in reader:
                line_number = reader.line_num
                row = _from_text(line)
                if rows.setdefault(row.subject.id, row) is not row:
                    raise ValueError(f"id {row.subject.id} is given twice")
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror})") from error
    except (TypeError, ValueError, csv.Error) as error:
        raise UserError(f"{path}: line {line_number}: {error}; prepare the cohort again") from error
    return tuple(rows.values())


def _to_text(value: object) -> str:
    if value is None:
        return ""
    return str(int(value)) if isinstance(value, bool) else str(value)


def _from_text(line: dict[str, str]) -> TableRow:
    if None in line or None in line.values():
        raise ValueError("more or fewer cells than columns")

    def number(name: str) -> float | None:
        return known(name) if line[name] else None

    def known(name: str) -> float:
        value = float(line[name])
        if not math.isfinite(value):
            raise ValueError(f"{name} is {line[name]}")
        return value

    def place(name: str) -> int:
        if not _ROW.fullmatch(line[name]):
            raise ValueError(f"{name} is {line[name]!r}, expected a row's number")
        return int(line[name])

    # Names of files come from the table: none may lead out of its folder.
    for name, pattern, may_be_blank in _NAMES:
        if not (pattern.fullmatch(line[name]) or (may_be_blank and not line[name])):
            raise ValueError(f"{name} is {line[name]!r}, which is no name of a file")

    return TableRow(
        subject=Subject(
            id=line["id"],
            age_years=number("age_years"),
            sex=line["sex"] or None,
            cdr=number("cdr"),
            labelled=line["labelled"] == "1",
            in_pool=line["in_pool"] == "1",
            repeat_of=line["repeat_of"] or None,
            labelled_as=line["labelled_as"] or None,
        ),
        shard=line["shard"],
        row=place("row"),
        reference_shard=line["reference_shard"] or None,
        reference_row=place("reference_row") if line["reference_row"] else None,
        white_matter=known("white_matter"),
        white_matter_source=line["white_matter_source"],
        intensity_mean=known("intensity_mean"),
        intensity_sd=known("intensity_sd"),
        n_label_voxels_outside_roi=place("n_label_voxels_outside_roi"),
        registration_similarity=number("registration_similarity"),
    )

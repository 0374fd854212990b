"""The cohort's table, `subjects.csv`: who is in which shard. Read and written without numpy."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from gansfer.atomic import write_text
from gansfer.errors import UserError
from gansfer.subjects import Subject

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
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    for row in rows:
        values = {**vars(row.subject), **vars(row)}
        writer.writerow([_to_text(values[name]) for name in COLUMNS])
    write_text(path, text.getvalue())


def read_table(path: Path) -> tuple[TableRow, ...]:
    """Read a table that `write_table` wrote.

    Raises:
        UserError: the file is missing or is not such a table.
    """
    if not path.is_file():
        raise UserError(f"{path}: no such table; prepare the cohort first")
    with path.open(newline="", encoding="utf-8") as file:
        reader = csv.DictReader(file)
        missing = [name for name in COLUMNS if name not in (reader.fieldnames or ())]
        if missing:
            raise UserError(f"{path}: column {missing[0]} is missing; prepare the cohort again")
        try:
            return tuple(_from_text(line) for line in reader)
        except (TypeError, ValueError) as error:
            raise UserError(
                f"{path}: line {reader.line_num}: {error}; prepare the cohort again"
            ) from error


def _to_text(value: object) -> str:
    if value is None:
        return ""
    return str(int(value)) if isinstance(value, bool) else str(value)


def _from_text(line: dict[str, str]) -> TableRow:
    def number(name: str) -> float | None:
        return float(line[name]) if line[name] else None

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
        row=int(line["row"]),
        reference_shard=line["reference_shard"] or None,
        reference_row=int(line["reference_row"]) if line["reference_row"] else None,
        white_matter=float(line["white_matter"]),
        white_matter_source=line["white_matter_source"],
        intensity_mean=float(line["intensity_mean"]),
        intensity_sd=float(line["intensity_sd"]),
        n_label_voxels_outside_roi=int(line["n_label_voxels_outside_roi"]),
        registration_similarity=number("registration_similarity"),
    )

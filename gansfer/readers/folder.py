"""A plain folder of images with a table: one row a session, paths relative to the folder.

Columns: `id` and `image`, and where there is something to say `person` (the same for all sessions
of one person), `mask`, `label`, `reference`, `age_years`, `sex` (F, M), `cdr`, `in_pool` (yes, no).
Other columns are not read; one whose name is nearly one of these is collected. An image file of the
folder that no row names is an error: a row may have been forgotten.
"""

from __future__ import annotations

from collections.abc import Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from gansfer.errors import UserError
from gansfer.readers.files.tables import Row, collected, read_rows, to_demographics, to_yes_no
from gansfer.readers.listed import Entry, Listing, SegmentationFile, check_id
from gansfer.readers.protocols import LabelProtocol

COLUMNS = ("id", "image")
FILE_COLUMNS = ("image", "mask", "label", "reference")
KNOWN_COLUMNS = (*COLUMNS, "person", *FILE_COLUMNS[1:], "age_years", "sex", "cdr", "in_pool")
IMAGE_ENDINGS = (".nii", ".nii.gz", ".mgz", ".mgh")


def list_folder(
    folder: Path,
    table: Path,
    labels: LabelProtocol | None,
    references: LabelProtocol | None,
    *,
    resample_labels: bool = False,
    resample_references: bool = False,
    template: Path | None = None,
    whole: bool = True,
) -> Listing:
    """Sessions of a folder and its table.

    Args:
        folder: what the table's paths are relative to.
        table: CSV or TSV.
        labels: protocol of the column `label`; None: the column is not read.
        references: protocol of the column `reference`; None: it is not read.
        resample_labels: bring labels on another grid to the image's.
        resample_references: the same for references.
        template: what the images are registered to, which needs no row where it lies among them.
        whole: every image of the folder is to have a row.
    """
    problems: list[str] = []
    notes: list[str] = []
    rows: list[tuple[int, Row]] = []
    with collected(problems):
        rows = read_rows(table, COLUMNS)
        if not rows:
            raise UserError(f"{table}: no row; write one a session")
        if labels is not None and "label" not in rows[0][1]:
            raise UserError(f"{table}: no column 'label'; it has {', '.join(rows[0][1])}")
    entries: dict[str, Entry] = {}
    owner: dict[Path, str] = {}
    for number, row in rows:
        where = f"{table}: line {number}"
        demographics = _demographics(table, number, row, problems, notes)
        with collected(problems):
            check_id(where, row["id"], set(entries))
            if not row["image"]:
                raise UserError(f"{where}: {row['id']} has no image; name one, or drop the row")
            image = folder / row["image"]
            if owner.setdefault(_place(image), row["id"]) != row["id"]:
                raise UserError(
                    f"{where}: {row['image']} is {owner[_place(image)]}'s image already; give each "
                    "its own"
                )
            entries[row["id"]] = Entry(
                id=row["id"],
                person=row.get("person") or row["id"],
                image=image,
                mask=folder / row["mask"] if row.get("mask") else None,
                label=_segmentation(folder, row.get("label"), labels, resample_labels),
                reference=_segmentation(
                    folder, row.get("reference"), references, resample_references
                ),
                **demographics,
            )
    if not rows:
        return Listing((), tuple(problems), tables=(table,))
    named = {_place(folder / row[one]) for _, row in rows for one in FILE_COLUMNS if row.get(one)}
    problems += [
        f"{path}: is in no row of {table}; add a row, or move the file away"
        for path in (_unnamed(folder, named) if whole else ())
        if template is None or path != _place(template)
    ]
    notes += _nearly_read(table, list(rows[0][1]))
    return Listing(tuple(entries.values()), tuple(problems), tuple(notes), (table,))


def _demographics(
    table: Path, number: int, row: Row, problems: list[str], notes: list[str]
) -> dict[str, Any]:
    """Age, sex, CDR and whether the session is in the pool."""
    cells = {name: (name, row.get(name, "")) for name in ("age_years", "sex", "cdr")}
    demographics = to_demographics(table, number, cells, problems, notes) | {"in_pool": True}
    with collected(problems):
        text = row.get("in_pool", "")
        demographics["in_pool"] = to_yes_no(table, number, "in_pool", text, default=True)
    return demographics


def _place(path: Path) -> Path:
    """The one name of a file that may be written with `..`; a link to a file is a file."""
    return path.parent.resolve() / path.name


def _segmentation(
    folder: Path, text: str | None, protocol: LabelProtocol | None, resample: bool
) -> SegmentationFile | None:
    if not text or protocol is None:
        return None
    return SegmentationFile(folder / text, protocol, resample)


def _nearly_read(table: Path, columns: Sequence[str]) -> list[str]:
    """Columns that may have been meant to be read: `Age` and `age` are not `age_years`."""
    free = [name for name in KNOWN_COLUMNS if name not in columns]
    notes = []
    for column in columns:
        plain = column.lower().replace(" ", "_")
        meant = [
            name
            for name in free
            if f"{name}_".startswith(f"{plain}_") or f"{plain}_".startswith(f"{name}_")
        ] or get_close_matches(plain, free, n=1, cutoff=0.75)
        if column not in KNOWN_COLUMNS and meant:
            notes.append(
                f"{table}: column {column!r} is not read; if it is {meant[0]}, name it {meant[0]}"
            )
    return notes


def _unnamed(folder: Path, named: set[Path]) -> list[Path]:
    """Image files of the folders that hold the named files, which no row names."""
    folders = {path.parent for path in named if path.parent.is_dir()} | {folder.resolve()}
    files = {
        path
        for one in folders
        if one.is_dir()
        for path in one.iterdir()
        if path.name.endswith(IMAGE_ENDINGS) and not path.name.startswith(".")
    }
    return sorted(files - named)

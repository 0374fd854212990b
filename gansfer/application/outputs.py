"""What a segmented image leaves in a folder, and the tables of all that are in it.

ID_dseg.nii.gz   the label map on the image's own grid
ID_check.png     slices of the region of interest with the written outlines
ID_dseg.json     the record, written last: with it, the image is done
dseg.tsv         index and name of each number (as in BIDS derivatives)
volumes.tsv      a row an image: id, volumes in mm3, similarity, warnings
"""

from __future__ import annotations

import csv
import gzip
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import numpy.typing as npt

from gansfer.application.label_numbers import LabelNumber
from gansfer.application.segment_image import SegmentedImage
from gansfer.atomic import replacing, write_json
from gansfer.drawing.slices import sample_grid
from gansfer.errors import UserError

RECORD_ENDING = "_dseg.json"
_SLICES = 12
_COLUMNS = 6
_LONGEST_TITLE = 140
# Directions of a rigid grid; a sheared one is for the sform alone.
_MOST_SHEAR = 1e-4


def write_outputs(
    folder: Path, one: SegmentedImage, structures: Sequence[str], record: dict[str, Any]
) -> None:
    """Write an image's files, its record last.

    Args:
        folder: where they go.
        one: the image.
        structures: names of the network's labels 1, 2, ...
        record: what the record is to say beside the results: the model, the files.
    """
    write_label_map(folder / f"{one.id}_dseg.nii.gz", one.written_xyz, one.affine_ras, one.placed)
    title = "; ".join((one.id, *one.warnings))[:_LONGEST_TITLE]
    draw_check(folder / f"{one.id}_check.png", one.image_zhw, one.shown_zhw, structures, title)
    write_json(
        folder / f"{one.id}{RECORD_ENDING}",
        {
            "id": one.id,
            **record,
            "volumes_mm3": one.volume_mm3,
            "registration_similarity": one.similarity,
            "common_from_native": one.common_from_native.tolist(),
            "warnings": list(one.warnings),
            "notes": list(one.notes),
        },
    )


def write_label_map(
    path: Path,
    written_xyz: npt.NDArray[np.integer],
    affine_ras: npt.NDArray[np.float64],
    placed: bool = True,
) -> None:
    """Write a label map as NIfTI, atomically.

    Args:
        path: the file.
        written_xyz: the numbers.
        affine_ras: [4, 4] voxel index -> RAS mm.
        placed: False: the image's header does not say where it lies, and this one's must not.
    """
    image = nibabel.Nifti1Image(written_xyz, affine_ras)
    image.header.set_xyzt_units("mm")
    code = 1 if placed else 0
    image.set_sform(affine_ras, code)
    directions = affine_ras[:3, :3] / np.linalg.norm(affine_ras[:3, :3], axis=0)
    is_rigid = np.abs(directions.T @ directions - np.eye(3)).max() < _MOST_SHEAR
    image.set_qform(affine_ras, code if is_rigid else 0)
    with replacing(path) as aside:
        aside.write_bytes(gzip.compress(image.to_bytes(), compresslevel=6, mtime=0))


def draw_check(
    path: Path,
    image_zhw: npt.NDArray[np.floating],
    label_zhw: npt.NDArray[np.integer],
    structures: Sequence[str],
    title: str,
) -> None:
    """Draw slices over the height of the labels, or of the region where there are none."""
    at_z = np.flatnonzero(label_zhw.any(axis=(1, 2)))
    low, high = (at_z[0], at_z[-1]) if len(at_z) else (0, len(label_zhw) - 1)
    shown = np.unique(np.linspace(low, high, _SLICES).round().astype(int))
    sample_grid(path, image_zhw[shown], label_zhw[shown], structures, title, columns=_COLUMNS)


def read_record(path: Path) -> dict[str, Any]:
    """The record of a segmented image.

    Raises:
        UserError: it is damaged.
    """
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
        if not isinstance(record["volumes_mm3"], dict) or not isinstance(record["id"], str):
            raise TypeError("no volumes")
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(
            f"{path}: no record of a segmented image ({error}); remove it, or give another --out"
        ) from error
    return dict(record)


def write_tables(folder: Path, numbers: Sequence[LabelNumber]) -> Path:
    """Write what the numbers mean, and a row for every record that the folder has.

    Returns:
        The table of volumes.
    """
    write_number_table(folder, numbers)
    while True:  # until no other process has put a record there since they were read
        paths = sorted(folder.glob(f"*{RECORD_ENDING}"))
        table = _write_volumes(folder, numbers, [read_record(path) for path in paths])
        if sorted(folder.glob(f"*{RECORD_ENDING}")) == paths:
            return table


def _write_volumes(
    folder: Path, numbers: Sequence[LabelNumber], records: Sequence[dict[str, Any]]
) -> Path:
    similarities = [record.get("registration_similarity") for record in records]
    more = {
        "registration_similarity": ["n/a" if s is None else f"{s:.3f}" for s in similarities],
        "warnings": ["; ".join(record.get("warnings", [])) or "n/a" for record in records],
    }
    rows = [(record["id"], record["volumes_mm3"]) for record in records]
    return write_volume_table(folder, numbers, rows, more)


def write_number_table(folder: Path, numbers: Sequence[LabelNumber]) -> None:
    """Write `dseg.tsv`: index and name of each number."""
    named = [(one.number, one.name) for one in numbers]
    _write_tsv(folder / "dseg.tsv", ("index", "name"), [(0, "background"), *named])


def write_volume_table(
    folder: Path,
    numbers: Sequence[LabelNumber],
    rows: Sequence[tuple[str, Mapping[str, float]]],
    more: Mapping[str, Sequence[str]] | None = None,
) -> Path:
    """Write `volumes.tsv`: a row an image, a column a number, mm3.

    Args:
        folder: where it goes.
        numbers: of the columns.
        rows: each image's id, and its volumes by the numbers' names.
        more: further columns, a value for each row.
    """
    names, more = [one.name for one in numbers], more or {}
    cells = [
        [subject_id, *(f"{volumes[name]:.1f}" for name in names), *(c[n] for c in more.values())]
        for n, (subject_id, volumes) in enumerate(rows)
    ]
    table = folder / "volumes.tsv"
    _write_tsv(table, ("id", *(f"{name}_mm3" for name in names), *more), cells)
    return table


def _write_tsv(path: Path, header: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    with replacing(path) as aside, aside.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, delimiter="\t", lineterminator="\n")
        writer.writerow(header)
        writer.writerows(rows)

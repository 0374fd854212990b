"""The prepared cohort on disk: few, large HDF5 files, and the reader that trusts nothing.

A cohort folder holds `subjects.csv` (table.py; written last, by writing.py) and two kinds of
file, format 1:

`images-000.h5 ...`, rows = subjects:
    id          [N] UTF-8
    image       [N, Z, H, W] float16, z-scored (gzip, a chunk a slice)
    label       [N, Z, H, W] uint8, 0 and 1..S (zeros where has_label is false)
    has_label   [N] bool
    white_matter, intensity_mean, intensity_sd, age_years, cdr   [N] float64 (NaN: unknown)
    image_sha256, label_sha256   [N] hex digests of each row's bytes
    notes       [N] UTF-8, what is odd with the subject's files, a line each; only where any is
`reference-000.h5 ...`: id, reference [M, Z, H, W] uint8, reference_sha256. References are for
measuring only and have files of their own, so that no training can read one by accident.

Attributes of every file: format, kind, software, space, axes, spacing_zhw_mm, ras_from_zhw
[4, 4], intensity_units, structures (name of label 1, 2, ...).
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import numpy.typing as npt

from gansfer.cohort.table import TABLE_NAME, TableRow, read_table
from gansfer.errors import UserError
from gansfer.hdf5 import dataset, reading_hdf5, replacing_hdf5
from gansfer.preprocessing.preprocess import PreparedSubject
from gansfer.preprocessing.roi_check import roi_affine
from gansfer.settings import RoiSettings
from gansfer.subjects import Subject

FORMAT = 1
# A region of interest at 0.5 mm has some 25 million.
MOST_VOXELS = 1 << 26
_TYPES = {
    "image": np.dtype(np.float16),
    "label": np.dtype(np.uint8),
    "reference": np.dtype(np.uint8),
}


def write_shard(
    path: Path,
    prepared: Sequence[PreparedSubject],
    *,
    structures: Sequence[str],
    roi: RoiSettings,
    software: str,
) -> None:
    """Write images and labels of these subjects as one file, atomically."""
    for one in prepared:
        if one.subject.labelled != (one.label_zhw is not None):
            raise UserError(
                f"{one.subject.id}: labelled is {one.subject.labelled}, but a label map is "
                f"{'absent' if one.label_zhw is None else 'present'}; look at its reader"
            )
    shape = (len(prepared), *roi.shape_zhw)
    has_label = np.array([one.label_zhw is not None for one in prepared])
    with replacing_hdf5(path) as file:
        _describe(file, "images", structures, roi, software)
        file["id"] = [one.subject.id for one in prepared]
        file["has_label"] = has_label
        numbers: dict[str, list[float | None]] = {
            "white_matter": [one.white_matter for one in prepared],
            "intensity_mean": [one.intensity_mean for one in prepared],
            "intensity_sd": [one.intensity_sd for one in prepared],
            "age_years": [one.subject.age_years for one in prepared],
            "cdr": [one.subject.cdr for one in prepared],
        }
        if any(one.notes for one in prepared):
            file["notes"] = ["\n".join(one.notes) for one in prepared]
        for name, values in numbers.items():
            file[name] = np.array([np.nan if v is None else v for v in values], np.float64)
        images = [one.image_zhw.astype(np.float16) for one in prepared]
        labels = [one.label_zhw for one in prepared]
        _write_rows(file, "image", images, shape, np.float16)
        _write_rows(file, "label", labels, shape, np.uint8)


def write_reference_shard(
    path: Path,
    prepared: Sequence[PreparedSubject],
    *,
    structures: Sequence[str],
    roi: RoiSettings,
    software: str,
) -> None:
    """Write the references of these subjects, each of which has one, as one file, atomically."""
    with replacing_hdf5(path) as file:
        _describe(file, "reference", structures, roi, software)
        file["id"] = [one.subject.id for one in prepared]
        rows = [one.reference_zhw for one in prepared]
        _write_rows(file, "reference", rows, (len(rows), *roi.shape_zhw), np.uint8)


class Cohort:
    """A prepared cohort. Only the rows that are asked for are read, and each is verified.

    Attributes:
        rows: the table.
        structures: names of labels 1, 2, ...
        spacing_zhw_mm: voxel size.
    """

    def __init__(self, folder: Path, verify: bool = True) -> None:
        """Open a cohort folder; `verify` checks the digest of every row that is read."""
        self._folder = folder
        self._verify = verify
        self.rows = read_table(folder / TABLE_NAME)
        if not self.rows:
            raise UserError(f"{folder / TABLE_NAME}: no subject; prepare the cohort again")
        self._row_of = {row.subject.id: row for row in self.rows}
        with self._open(self.rows[0].shard) as file:
            self.structures = tuple(str(name) for name in file.attrs["structures"])
            z_mm, h_mm, w_mm = (float(mm) for mm in file.attrs["spacing_zhw_mm"])
            self.spacing_zhw_mm = (z_mm, h_mm, w_mm)
            self.shape_zhw: tuple[int, int, int] = dataset(file, "image", 4).shape[1:]
            self.ras_from_zhw = np.array(file.attrs["ras_from_zhw"], np.float64)
            if not self.structures or self.ras_from_zhw.shape != (4, 4):
                raise ValueError("no structures, or no affine of 4 x 4")
            if not np.isfinite(self.ras_from_zhw).all() or not min(self.spacing_zhw_mm) > 0:
                raise ValueError("an affine or a spacing that is no number of mm")
            if not 0 < math.prod(self.shape_zhw) <= MOST_VOXELS:
                raise ValueError(f"images of {self.shape_zhw} voxels")

    @property
    def subjects(self) -> tuple[Subject, ...]:
        """Every subject, in the table's order."""
        return tuple(row.subject for row in self.rows)

    def images(self, ids: Sequence[str]) -> npt.NDArray[np.float32]:
        """Images [N, Z, H, W] of these subjects, z-scored.

        Raises:
            UserError: a subject is unknown, or a file is missing or damaged.
        """
        places = [(row.shard, row.row) for row in self._find(ids)]
        return self._read("image", ids, places, np.float32)

    def labels(self, ids: Sequence[str]) -> npt.NDArray[np.uint8]:
        """Label maps [N, Z, H, W] of these subjects, 0 and 1..S.

        Raises:
            UserError: a subject is unknown or has no label, or a file is missing or damaged.
        """
        rows = self._find(ids)
        for row in rows:
            if not row.subject.labelled:
                raise UserError(f"{row.subject.id}: has no label map; ask for labelled subjects")
        places = [(row.shard, row.row) for row in rows]
        return self._read("label", ids, places, np.uint8)

    def references(self, ids: Sequence[str]) -> npt.NDArray[np.uint8]:
        """Read reference label maps [N, Z, H, W], for measuring only.

        Raises:
            UserError: a subject is unknown or has no reference, or a file is missing or damaged.
        """
        places = []
        for row in self._find(ids):
            if row.reference_shard is None or row.reference_row is None:
                raise UserError(f"{row.subject.id}: has no reference to measure against")
            places.append((row.reference_shard, row.reference_row))
        return self._read("reference", ids, places, np.uint8)

    def white_matter(self, ids: Sequence[str]) -> npt.NDArray[np.float32]:
        """White-matter intensities [N] of these subjects, z-score units."""
        return np.array([row.white_matter for row in self._find(ids)], np.float32)

    def notes(self) -> tuple[str, ...]:
        """What is odd with the files that the cohort was prepared from, in the table's order."""
        lines: list[str] = []
        for shard in dict.fromkeys(row.shard for row in self.rows):
            with self._open(shard) as file:
                if "notes" in file:
                    lines += [
                        line for text in file["notes"].asstr()[:] for line in text.splitlines()
                    ]
        return tuple(lines)

    def _find(self, ids: Sequence[str]) -> list[TableRow]:
        lost = [i for i in ids if i not in self._row_of]
        if lost:
            raise UserError(f"{self._folder}: no subject {lost[0]} in this cohort")
        return [self._row_of[i] for i in ids]

    def _open(self, name: str) -> AbstractContextManager[h5py.File]:
        return reading_hdf5(self._folder / name, "prepare the cohort again")

    def _read(
        self, name: str, ids: Sequence[str], places: Sequence[tuple[str, int]], dtype: type
    ) -> Any:
        out_nzhw: npt.NDArray = np.empty((len(ids), *self.shape_zhw), dtype)
        for shard in sorted({place[0] for place in places}):
            with self._open(shard) as file:
                for n, (where, row) in enumerate(places):
                    if where == shard:
                        out_nzhw[n] = self._read_row(file, name, ids[n], row)
        return out_nzhw

    def _read_row(self, file: h5py.File, name: str, subject_id: str, row: int) -> npt.NDArray:
        where = f"{self._folder / Path(file.filename).name}: {name} of {subject_id}"
        rows = dataset(file, name, 4)
        if rows.shape[1:] != self.shape_zhw or rows.dtype != _TYPES[name]:
            raise UserError(
                f"{where}: {rows.dtype} of shape {rows.shape[1:]}, expected {_TYPES[name]} of "
                f"{self.shape_zhw}; prepare the cohort again"
            )
        owner = dataset(file, "id", 1).asstr()[row]
        value: npt.NDArray = rows[row]
        digest = dataset(file, f"{name}_sha256", 1).asstr()[row]
        if owner != subject_id:
            raise UserError(f"{where}: row {row} holds {owner}; prepare the cohort again")
        if self._verify and hashlib.sha256(value.tobytes()).hexdigest() != digest:
            raise UserError(f"{where}: checksum differs; prepare the cohort again")
        return value


def _describe(
    file: h5py.File, kind: str, structures: Sequence[str], roi: RoiSettings, software: str
) -> None:
    file.attrs["format"] = FORMAT
    file.attrs["kind"] = kind
    file.attrs["software"] = software
    file.attrs["space"] = "common space of the cohort, RAS mm"
    file.attrs["axes"] = "Z inferior to superior, H anterior to posterior, W right to left"
    file.attrs["spacing_zhw_mm"] = roi.spacing_zhw_mm
    file.attrs["ras_from_zhw"] = roi_affine(roi)
    file.attrs["intensity_units"] = "z-score over the brain voxels of the whole image"
    file.attrs["structures"] = list(structures)


def _write_rows(
    file: h5py.File,
    name: str,
    rows_zhw: Sequence[npt.NDArray | None],
    shape_nzhw: tuple[int, ...],
    dtype: type,
) -> None:
    """Write a row a subject (None: left at zero) with the digest of its bytes."""
    chunk = (1, 1, *shape_nzhw[2:])
    data = file.create_dataset(
        name, shape_nzhw, dtype, chunks=chunk, compression="gzip", compression_opts=1, shuffle=True
    )
    digests = []
    for n, row_zhw in enumerate(rows_zhw):
        value = np.zeros(shape_nzhw[1:], dtype) if row_zhw is None else row_zhw
        if row_zhw is not None:
            data[n] = value
        digests.append(hashlib.sha256(np.ascontiguousarray(value, dtype).tobytes()).hexdigest())
    file[f"{name}_sha256"] = digests

"""Write a whole cohort folder: shards as subjects come, the table last."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from gansfer.cohort.shards import write_reference_shard, write_shard
from gansfer.cohort.table import TABLE_NAME, TableRow, write_table
from gansfer.errors import UserError
from gansfer.preprocessing.preprocess import PreparedSubject
from gansfer.settings import RoiSettings

SUBJECTS_PER_SHARD = 64


def write_cohort(
    folder: Path,
    prepared: Iterable[PreparedSubject],
    *,
    structures: Sequence[str],
    roi: RoiSettings,
    software: str,
    subjects_per_shard: int = SUBJECTS_PER_SHARD,
) -> tuple[TableRow, ...]:
    """Write a whole cohort, holding one shard at a time; the table comes last.

    Args:
        folder: where the files go.
        prepared: subjects in the table's order; may be a generator.
        structures: names of labels 1, 2, ...
        roi: the region that the subjects were prepared in.
        software: name of what prepared them, without what differs from one version to the next:
            it is part of the files, and other files mean that all that follows is repeated.
        subjects_per_shard: few large files suit a cluster's file system.

    Raises:
        UserError: a subject's id comes twice.
    """
    rows: list[TableRow] = []
    batch: list[PreparedSubject] = []
    seen: set[str] = set()

    def write_batch() -> None:
        number = len({row.shard for row in rows})
        shard, reference_shard = f"images-{number:03d}.h5", f"reference-{number:03d}.h5"
        write_shard(folder / shard, batch, structures=structures, roi=roi, software=software)
        measured = [one for one in batch if one.reference_zhw is not None]
        if measured:
            write_reference_shard(
                folder / reference_shard,
                measured,
                structures=structures,
                roi=roi,
                software=software,
            )
        rows.extend(_table_rows(batch, shard, reference_shard))
        batch.clear()

    for one in prepared:
        if one.subject.id in seen:
            raise UserError(
                f"{one.subject.id}: comes twice in the cohort; give sessions unique ids"
            )
        seen.add(one.subject.id)
        batch.append(one)
        if len(batch) == subjects_per_shard:
            write_batch()
    if batch:
        write_batch()
    write_table(folder / TABLE_NAME, rows)
    return tuple(rows)


def _table_rows(
    batch: Sequence[PreparedSubject], shard: str, reference_shard: str
) -> list[TableRow]:
    rows, n_references = [], 0
    for row, one in enumerate(batch):
        measured = one.reference_zhw is not None
        rows.append(
            TableRow(
                subject=one.subject,
                shard=shard,
                row=row,
                reference_shard=reference_shard if measured else None,
                reference_row=n_references if measured else None,
                white_matter=one.white_matter,
                white_matter_source=one.white_matter_source,
                intensity_mean=one.intensity_mean,
                intensity_sd=one.intensity_sd,
                n_label_voxels_outside_roi=one.n_label_voxels_outside_roi,
                registration_similarity=one.registration_similarity,
            )
        )
        n_references += measured
    return rows

"""`gansfer inspect`: who is in a prepared cohort, what is unusual, and a picture of everybody.

Legend: N subjects, S structures, Z H W slices, rows and columns.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from rich.console import Console
from rich.table import Table

from gansfer.cohort.outliers import alignment_scores, flags
from gansfer.cohort.shards import Cohort
from gansfer.cohort.table import TABLE_NAME, TableRow
from gansfer.drawing.slices import ContactRow, contact_sheet
from gansfer.errors import UserError
from jobs.inputs.input_check import abridged

# Rows of one picture: what a screen shows in a few turns of the wheel.
ROWS_OF_A_SHEET = 40
RANGE_PERCENTILES = (0.5, 99.5)


@dataclass(frozen=True)
class _Measures:
    """What is known of each subject [N] beside the table."""

    alignment_n: npt.NDArray[np.float64]
    low_n: npt.NDArray[np.float64]
    high_n: npt.NDArray[np.float64]
    volume_ns: npt.NDArray[np.float64]
    flags_n: list[list[str]]


def inspect_cohort(path: Path, out: Path | None, console: Console) -> list[Path]:
    """Print a prepared cohort and write its contact sheets, the unusual subjects first.

    Args:
        path: folder of subjects.csv, or the experiment's folder above it.
        out: folder for the pictures; None: the cohort's folder.
        console: what is printed on.

    Returns:
        The pictures.

    Raises:
        UserError: there is no prepared cohort, or a file of it is damaged.
    """
    folder = next((one for one in (path, path / "cohort") if (one / TABLE_NAME).is_file()), None)
    if folder is None:
        raise UserError(
            f"{path}: no prepared cohort ({TABLE_NAME}) here or in its folder cohort; give the "
            "experiment's folder, after its stage prepare"
        )
    cohort = Cohort(folder)
    measures = _measure(cohort)
    _print_subjects(cohort, measures, console)
    _print_summary(cohort, measures, console)
    alignment_n = np.nan_to_num(measures.alignment_n, nan=-1.0)
    order = sorted(
        range(len(cohort.rows)), key=lambda n: (-len(measures.flags_n[n]), alignment_n[n])
    )
    sheets = []
    n_sheets = -(-len(order) // ROWS_OF_A_SHEET)
    for sheet in range(n_sheets):
        shown = order[sheet * ROWS_OF_A_SHEET : (sheet + 1) * ROWS_OF_A_SHEET]
        name = "contact-sheet.png" if n_sheets == 1 else f"contact-sheet-{sheet + 1:02d}.png"
        target = (out or folder) / name
        target.parent.mkdir(parents=True, exist_ok=True)
        contact_sheet(
            target,
            [_contact_row(cohort, measures, n) for n in shown],
            cohort.structures,
            f"{folder.parent.name or folder.name}: {len(order)} images, unusual ones first"
            + (f" (sheet {sheet + 1} of {n_sheets})" if n_sheets > 1 else ""),
        )
        sheets.append(target)
    return sheets


def _measure(cohort: Cohort) -> _Measures:
    ids = [row.subject.id for row in cohort.rows]
    image_nzhw = cohort.images(ids)
    ends_2n = np.percentile(
        image_nzhw.reshape(len(ids), -1), RANGE_PERCENTILES, axis=1, overwrite_input=False
    )
    voxel_ml = float(np.prod(cohort.spacing_zhw_mm)) / 1000
    volume_ns = np.full((len(ids), len(cohort.structures)), np.nan)
    for n, row in enumerate(cohort.rows):
        label_zhw = _label(cohort, row)
        if label_zhw is not None:
            counts = np.bincount(label_zhw.ravel(), minlength=len(cohort.structures) + 1)
            volume_ns[n] = counts[1:] * voxel_ml
    alignment_n = alignment_scores(image_nzhw)
    found = flags(alignment_n, ends_2n[0], ends_2n[1], volume_ns, cohort.structures)
    for n, row in enumerate(cohort.rows):
        if row.n_label_voxels_outside_roi:
            found[n].append(f"{row.n_label_voxels_outside_roi} voxels outside")
    return _Measures(alignment_n, ends_2n[0], ends_2n[1], volume_ns, found)


def _label(cohort: Cohort, row: TableRow) -> npt.NDArray[np.uint8] | None:
    """The label map, or the reference of who has none: to look at, never to train on."""
    if row.subject.labelled:
        return cohort.labels([row.subject.id])[0]
    if row.reference_shard is not None:
        return cohort.references([row.subject.id])[0]
    return None


def _contact_row(cohort: Cohort, measures: _Measures, n: int) -> ContactRow:
    row = cohort.rows[n]
    return ContactRow(
        id=row.subject.id,
        image_zhw=cohort.images([row.subject.id])[0],
        label_zhw=_label(cohort, row),
        age_years=row.subject.age_years,
        cdr=row.subject.cdr,
        flag="\n".join(measures.flags_n[n]),
    )


def _print_subjects(cohort: Cohort, measures: _Measures, console: Console) -> None:
    table = Table(title=f"{len(cohort.rows)} images")
    for column in ("id", "kind"):
        table.add_column(column, no_wrap=True)
    for column in ("age", "sex", "CDR", "intensities", "white", "alignment", "labels ml"):
        table.add_column(column, justify="right", no_wrap=True)
    table.add_column("look at")
    for n, row in enumerate(cohort.rows):
        one = row.subject
        volume_ml = float(measures.volume_ns[n].sum())
        kinds = (("labelled", one.labelled), ("pool", one.in_pool), ("repeat", one.repeat_of))
        table.add_row(
            one.id,
            ", ".join(name for name, holds in kinds if holds),
            "" if one.age_years is None else f"{one.age_years:g}",
            one.sex or "",
            "" if one.cdr is None else f"{one.cdr:g}",
            f"{measures.low_n[n]:.1f} to {measures.high_n[n]:.1f}",
            f"{row.white_matter:.2f}",
            f"{measures.alignment_n[n]:.2f}",
            "" if np.isnan(volume_ml) else f"{volume_ml:.1f}",
            "; ".join(measures.flags_n[n]),
        )
    console.print(table)


def _print_summary(cohort: Cohort, measures: _Measures, console: Console) -> None:
    subjects = cohort.subjects
    ages = [one.age_years for one in subjects if one.age_years is not None]
    by_cdr = {
        cdr: sum(one.cdr == cdr for one in subjects)
        for cdr in sorted({one.cdr for one in subjects if one.cdr is not None})
    }
    z, h, w = cohort.shape_zhw
    console.print(
        f"{sum(one.labelled for one in subjects)} labelled, "
        f"{sum(one.in_pool for one in subjects)} in the pool, "
        f"{sum(one.repeat_of is not None for one in subjects)} repeats, "
        f"{sum(row.reference_shard is not None for row in cohort.rows)} with a reference"
    )
    if ages:
        console.print(
            f"age {min(ages):g} to {max(ages):g} years, median {float(np.median(ages)):g} "
            f"(known of {len(ages)})"
        )
    if by_cdr:
        console.print("CDR " + ", ".join(f"{cdr:g}: {count}" for cdr, count in by_cdr.items()))
    slice_mm, pixel_mm, _ = cohort.spacing_zhw_mm
    size = f"{pixel_mm:g} mm" + (f", {slice_mm:g} mm apart" if slice_mm != pixel_mm else "")
    console.print(f"{z} slices of {h} x {w}, {size}; {', '.join(cohort.structures)}")
    n_flagged = sum(bool(found) for found in measures.flags_n)
    console.print(f"{n_flagged} to look at")
    for note in abridged(cohort.notes()):
        console.print(f"note: {note}", highlight=False, markup=False, soft_wrap=True)

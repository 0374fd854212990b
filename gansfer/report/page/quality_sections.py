"""What the page says of the synthetic slices: realism and variety, copies, plausible labels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from gansfer.drawing.style import structure_title
from gansfer.gan_settings import PHASES
from gansfer.report.figures.quality_figures import REAL_AND_PHASES, TITLES
from gansfer.report.page.cells import ABSENT, figure_image, number, percent
from gansfer.report.page.page import Part, Section, Table, TableCell
from gansfer.report.tables.quality_tables import SUMMARY, QualityTables, means_by, planned_cells
from gansfer.report.tables.rows import label_counts

_ROW_NAMES = ("real and real", *(f"phase {phase}" for phase in PHASES))
_PHASE_SHOWN = PHASES[-1]


def quality_section(
    tables: QualityTables, structures: Sequence[str], figures: Mapping[str, Path]
) -> Section | None:
    """Everything that was measured of the synthetic slices, or None."""
    if tables.synthetic_quality.empty:
        return None
    parts: list[Part] = [_quality_table(tables)]
    if "synthetic_quality" in figures:
        parts.append(
            figure_image(
                figures["synthetic_quality"],
                "Synthetic slices by phase.",
                "As in the table above; “real” is one half of the subjects against the other. "
                "SWD: lower is nearer; the others: higher is better. No test. Not in the paper.",
            )
        )
    if len(tables.synthetic_memorisation):
        parts.append(_memorisation_table(tables))
    if len(tables.synthetic_labels):
        parts.append(_label_table(tables, structures))
    if "synthetic_areas" in figures:
        smallest = label_counts(tables.synthetic_areas)[0]
        parts.append(
            figure_image(
                figures["synthetic_areas"],
                f"Areas of structures, real and synthetic, N = {smallest}.",
                "In slices that have the structure. Dot: median; thick: middle half; thin: 5th to "
                "95th percentile; means of the cells. Not in the paper.",
            )
        )
    text = (
        "Are the synthetic slices real enough, do they vary as subjects do, and are any of them "
        "copies of a patient? Measured on the slices that the filter retained."
    )
    return Section("Quality of the synthetic slices", [text], parts)


def _quality_table(tables: QualityTables) -> Table:
    by_key = means_by(tables.synthetic_quality)
    planned = planned_cells(tables.synthetic_quality)
    rows = []
    for labels in label_counts(tables.synthetic_quality):
        for phase in REAL_AND_PHASES:
            values = [by_key.get((labels, phase, measure)) for measure in SUMMARY]
            if all(one is None for one in values):
                continue
            cells = [ABSENT if one is None else number(one[0], 2) for one in values]
            n_cells = min(one[1] for one in values if one is not None)
            name = TableCell(f"N = {labels}, {_ROW_NAMES[phase]}")
            rows.append([name, *cells, _cells(n_cells, planned[labels])])
    return Table(
        "Realism and variety of synthetic slices.",
        "Means over cells, with their number. SWD: sliced Wasserstein distance of 7 x 7 patches, "
        "mean over the scales of a Laplacian pyramid, in deviations of the real patches; MR "
        "against all images that the GAN saw, label masks against the labelled ones. Precision, "
        "recall, density and coverage: 5 neighbours in 32 principal components of real MR slices. "
        "“Real and real”: one half of the subjects against the other. No test. Not in the paper.",
        ["", *(TITLES[measure] for measure in SUMMARY), "cells"],
        rows,
        "tables/synthetic_quality.csv",
    )


def _cells(n: int, n_planned: int) -> TableCell:
    """How many cells a mean is over; red where it should be over more."""
    return TableCell(str(n)) if n >= n_planned else TableCell(f"{n} of {n_planned}", kind="partial")


def _memorisation_table(tables: QualityTables) -> Table:
    by_key = means_by(tables.synthetic_memorisation)
    planned = planned_cells(tables.synthetic_memorisation)
    rows = []
    for labels in label_counts(tables.synthetic_memorisation):
        for phase in PHASES:
            keys = [
                (labels, phase, "nearest_distance_p50"),
                (labels, 0, "nearest_distance_p50"),
                (labels, 0, "nearest_distance_p01"),
            ]
            nearer = by_key.get((labels, phase, "fraction_nearer"))
            if nearer is None:
                continue
            cells = [
                ABSENT if (one := by_key.get(key)) is None else number(one[0], 1) for key in keys
            ]
            rows.append(
                [
                    TableCell(f"N = {labels}, phase {phase}"),
                    *cells,
                    TableCell(f"{100 * nearer[0]:.1f}\N{NO-BREAK SPACE}%"),
                    _cells(nearer[1], planned[labels]),
                ]
            )
    return Table(
        "Are synthetic slices copies of a patient's?",
        "Euclidean distance (z-scores) of synthetic slices to the nearest real one that the GAN "
        "saw, labelled or not, beside that of real slices to the nearest of another person. "
        "Nearer: synthetic slices below the 1st percentile of the latter; about "
        f"{percent(0.01)} would be expected of new subjects. A slice that is smoother than a scan "
        "is nearer to everything, so look at the pairs too. Not in the paper.",
        ["", "synthetic, median", "real, median", "real, 1st percentile", "nearer", "cells"],
        rows,
        "tables/synthetic_memorisation.csv",
    )


def _label_table(tables: QualityTables, structures: Sequence[str]) -> Table:
    by_key = means_by(tables.synthetic_labels)
    counts = label_counts(tables.synthetic_labels)
    planned = planned_cells(tables.synthetic_labels)
    rows = []
    for structure in structures:
        cells = [TableCell(structure_title(structure))]
        for labels in counts:
            real, synthetic = (
                by_key.get((labels, phase, "volume_mm3", structure)) for phase in (0, _PHASE_SHOWN)
            )
            shift, dice = (
                by_key.get((labels, _PHASE_SHOWN, measure, structure))
                for measure in ("centroid_shift_mm", "dice_with_nearest")
            )
            if real is None or synthetic is None or not real[0] > 0:
                cells.append(ABSENT)
                continue
            whole = synthetic[1] >= planned[labels]
            notes = [
                "" if whole else f"{synthetic[1]} of {planned[labels]} cells",
                "" if shift is None else f"{shift[0]:.1f} mm off",
                "" if dice is None else f"Dice {dice[0]:.2f}",
            ]
            cells.append(
                TableCell(
                    f"{100 * synthetic[0] / real[0]:.0f}\N{NO-BREAK SPACE}%",
                    ", ".join(note for note in notes if note),
                    "" if whole else "partial",
                )
            )
        rows.append(cells)
    return Table(
        f"Plausibility of synthetic labels after phase {_PHASE_SHOWN}.",
        "Mean volume of a structure (mean area over all slices, times the region's depth) in per "
        "cent of the labelled subjects'; how far its mean centroid in the slice is off theirs; "
        "mean Dice with the labels of the nearest labelled slice. Means over cells. Other phases, "
        "real slices and counts of cells are in the file. No test. Not in the paper.",
        ["", *(f"N = {labels}" for labels in counts)],
        rows,
        "tables/synthetic_labels.csv",
    )

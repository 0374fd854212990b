"""What the cells' `quality.csv` files come to: means over the cells that have them, with counts.

Phase 0 is real slices against those of other subjects, by which generated ones are judged.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import pandas as pd

from gansfer.errors import UserError

COLUMNS = ("seed", "fold", "labels", "group", "phase", "measure", "part", "value", "n")
WASSERSTEIN_MR, WASSERSTEIN_LABELS = "sliced_wasserstein_mr", "sliced_wasserstein_labels"
SUMMARY = (WASSERSTEIN_MR, WASSERSTEIN_LABELS, "precision", "recall", "density", "coverage")
_SHAPES = ("present_fraction", "volume_mm3", "area_distance_mm2", "centroid_shift_mm")
_AUDIT = ("nearest_distance_p01", "nearest_distance_p50", "fraction_nearer")
_KEYS = ("labels", "phase", "measure")


@dataclass(frozen=True)
class QualityTables:
    """Each becomes `tables/<field>.csv`, a row a mean.

    Columns: keys, `mean`, `n_cells`, `n_slices` (the fewest of any cell), `n_cells_planned`.
    """

    synthetic_quality: pd.DataFrame
    synthetic_memorisation: pd.DataFrame
    synthetic_labels: pd.DataFrame
    synthetic_areas: pd.DataFrame


def quality_tables(quality: pd.DataFrame, files: pd.DataFrame | None = None) -> QualityTables:
    """Average the cells' measures; a value that is not there is left out and not counted.

    Args:
        quality: columns `COLUMNS`, a row a number.
        files: what the GANs are to leave, columns labels and kind; None: no more than is there.

    Raises:
        UserError: a column is missing.
    """
    absent = [name for name in COLUMNS if name not in quality]
    if absent:
        raise UserError(f"quality table: no column {', '.join(absent)}; expected {COLUMNS}")
    there = quality[quality["value"].notna()]
    named = there["measure"].isin
    planned = quality[["seed", "fold", "labels", "group"]].drop_duplicates()
    if files is not None:
        planned = files[files["kind"] == "quality"]
    cells = planned.groupby("labels").size()
    by_part = (*_KEYS, "part")
    areas = there["measure"].str.startswith("area_mm2_p")
    return QualityTables(
        synthetic_quality=_means(_summarised(there), _KEYS, cells),
        synthetic_memorisation=_means(there[named(_AUDIT)], _KEYS, cells),
        synthetic_labels=_means(there[named((*_SHAPES, "dice_with_nearest"))], by_part, cells),
        synthetic_areas=_means(there[areas], by_part, cells),
    )


def planned_cells(table: pd.DataFrame) -> Mapping[int, int]:
    """Label count -> cells that were to be measured, of one of the tables."""
    rows = table[["labels", "n_cells_planned"]].drop_duplicates().to_dict("records")
    return {int(row["labels"]): int(row["n_cells_planned"]) for row in rows}


def means_by(table: pd.DataFrame) -> Mapping[tuple[object, ...], tuple[float, int]]:
    """(labels, phase, measure[, part]) -> mean and number of cells."""
    keys = [name for name in (*_KEYS, "part") if name in table]
    return {
        tuple(row[name] for name in keys): (float(row["mean"]), int(row["n_cells"]))
        for row in table.to_dict("records")
    }


def _summarised(quality: pd.DataFrame) -> pd.DataFrame:
    """One value a cell, phase and measure: the mean over scales and structures of a distance."""
    rows = quality.copy()
    distance = rows["measure"].str.startswith("sliced_wasserstein")
    mr = rows["part"].eq("mr")
    rows.loc[distance & mr, "measure"] = WASSERSTEIN_MR
    rows.loc[distance & ~mr, "measure"] = WASSERSTEIN_LABELS
    rows = rows[rows["measure"].isin(SUMMARY)]
    cell = ["seed", "fold", "labels", "group", "phase", "measure"]
    return rows.groupby(cell, as_index=False).agg(value=("value", "mean"), n=("n", "min"))


def _means(
    quality: pd.DataFrame, keys: tuple[str, ...], planned_by_labels: pd.Series
) -> pd.DataFrame:
    table = quality.groupby(list(keys), as_index=False).agg(
        mean=("value", "mean"), n_cells=("value", "size"), n_slices=("n", "min")
    )
    return table.assign(n_cells_planned=table["labels"].map(planned_by_labels))

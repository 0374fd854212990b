"""Which slices each measure compares, in which order: three subjects and their copies."""

from __future__ import annotations

import csv
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pytest

from gansfer.progress import Silent, StopRequested
from gansfer.quality.measures import (
    QualityRow,
    QualitySeeds,
    label_rows,
    measure_quality,
    memorisation_rows,
    variety_rows,
    wasserstein_rows,
)
from gansfer.quality.quality_file import write_quality
from gansfer.synthesis.synthetic_sets import SyntheticSet
from tests.three_subjects import (
    SHAPE_ZHW,
    SPACING_ZHW_MM,
    STRUCTURES,
    everything_seen,
    synthetic_set,
)

REAL = everything_seen()
SEED = 5


def values(rows: Iterable[QualityRow], phase: int = 1) -> dict[str, float]:
    return {f"{row.measure} {row.part}": row.value for row in rows if row.phase == phase}


def labels_of(made: SyntheticSet, phase: int = 1) -> dict[str, float]:
    return values(label_rows({1: made}, REAL, STRUCTURES, (1.0, 2.0), 12.0), phase)


def test_copies_of_real_slices_are_nearer_than_people_are() -> None:
    copies = synthetic_set(REAL.image_nhw[:8], score_k=np.full(8, 1e-3))
    rows = list(memorisation_rows({1: copies}, REAL, SEED))
    assert values(rows)["fraction_nearer mr"] == 1.0
    assert values(rows)["nearest_distance_p75 mr"] == pytest.approx(1e-3)
    assert values(rows, phase=0)["nearest_distance_p75 mr"] > 0.1


def test_rejected_slices_are_not_measured() -> None:
    kept_k = np.arange(8) < 4
    score_k = np.where(kept_k, 50.0, 1e-3)
    label_khw = np.where(kept_k[:, None, None], REAL.label_khw[:8], 1).astype(np.uint8)
    made = synthetic_set(REAL.labelled_khw[:8], label_khw, score_k, kept_k)
    assert values(memorisation_rows({1: made}, REAL, SEED))["fraction_nearer mr"] == 0.0
    found = list(label_rows({1: made}, REAL, STRUCTURES, (1.0, 1.0), 4.0))
    assert values(found)["present_fraction dark"] == 0.5
    assert values(found)["dice_with_nearest dark"] == 1.0
    for rows in (
        wasserstein_rows({1: made}, REAL, STRUCTURES, SEED),
        variety_rows({1: synthetic_set(REAL.image_nhw[:8], kept_k=np.arange(8) < 7)}, REAL, SEED),
    ):
        assert {row.n for row in rows} <= {4, 7}


def test_one_slice_over_and_over_is_precise_and_recalls_little() -> None:
    rng = np.random.default_rng(0)
    same = np.repeat(REAL.image_nhw[:1], 24, axis=0) + rng.normal(0, 1e-3, (24, *SHAPE_ZHW[1:]))
    rows = values(variety_rows({1: synthetic_set(same)}, REAL, SEED))
    assert rows["precision mr"] == 1.0
    assert rows["recall mr"] < 0.5


def test_the_distance_of_patches_is_in_units_of_the_real_ones() -> None:
    louder, quieter = (
        values(wasserstein_rows({1: synthetic_set(by * REAL.image_nhw)}, REAL, STRUCTURES, SEED))[
            "sliced_wasserstein_16px mr"
        ]
        for by in (10, 0.1)
    )
    assert louder > 5 * quieter


def test_each_structures_mask_is_compared_with_the_same_structures() -> None:
    copies = synthetic_set(REAL.labelled_khw, REAL.label_khw)
    swapped = synthetic_set(REAL.labelled_khw, np.array([0, 2, 1], np.uint8)[REAL.label_khw])
    found, wrong = (
        values(wasserstein_rows({1: made}, REAL, STRUCTURES, SEED)) for made in (copies, swapped)
    )
    for name in STRUCTURES:
        assert found[f"sliced_wasserstein_16px {name}"] < wrong[f"sliced_wasserstein_16px {name}"]


def test_labels_are_compared_with_those_of_the_nearest_slice() -> None:
    order = np.random.default_rng(1).permutation(len(REAL.labelled_khw))
    copies = synthetic_set(REAL.labelled_khw[order], REAL.label_khw[order])
    rows = labels_of(copies)
    assert rows["dice_with_nearest dark"] == rows["dice_with_nearest bright"] == 1.0
    # Between people: A and B have one place for each structure, C's overlap it in part.
    assert 0 < labels_of(copies, phase=0)["dice_with_nearest dark"] < 1


def test_sizes_and_places_are_in_millimetres() -> None:
    label_khw = np.zeros((4, *SHAPE_ZHW[1:]), np.uint8)
    label_khw[:2, 4:6, 8:12] = 1
    rows = labels_of(synthetic_set(REAL.labelled_khw[:4], label_khw))
    assert rows["area_mm2_p50 dark"] == 8 * 2.0
    assert rows["volume_mm3 dark"] == 8 * 2.0 * 12.0 / 2
    assert (rows["row_mm_p05 dark"], rows["column_mm_p95 dark"]) == (4.5, 9.5 * 2.0)
    assert rows["present_fraction dark"] == 0.5 and rows["present_fraction bright"] == 0.0
    real_rows = labels_of(synthetic_set(REAL.labelled_khw[:4], label_khw), phase=0)
    assert real_rows["area_mm2_p50 dark"] == 25 * 2.0
    shift_mm = np.hypot(4.5 - real_rows["row_mm_p50 dark"], 2.0 * (9.5 - 4.0))
    assert rows["centroid_shift_mm dark"] == pytest.approx(shift_mm, rel=0.2)
    assert rows["area_distance_mm2 dark"] == pytest.approx(17 * 2.0)


def test_one_person_has_no_mark_of_other_people() -> None:
    alone = REAL.person_n == "P1"
    real = type(REAL)(
        REAL.image_nhw[alone],
        REAL.person_n[alone],
        REAL.labelled_khw[:4],
        REAL.label_khw[:4],
        REAL.labelled_person_k[:4],
    )
    made = {1: synthetic_set(REAL.image_nhw[:8], np.tile(REAL.label_khw[:4], (2, 1, 1)))}
    assert list(memorisation_rows(made, real, SEED)) == []
    rows = list(label_rows(made, real, STRUCTURES, (1.0, 1.0), 4.0))
    assert not [row for row in rows if (row.phase, row.measure) == (0, "dice_with_nearest")]


def test_every_measure_is_in_the_table_in_order(tmp_path: Path) -> None:
    made = {phase: synthetic_set(REAL.labelled_khw, REAL.label_khw) for phase in (1, 2)}
    seeds = QualitySeeds(wasserstein=1, variety=2, people=3)
    rows = measure_quality(made, REAL, STRUCTURES, SPACING_ZHW_MM, SHAPE_ZHW[0], seeds, Silent())
    wanted = [
        *wasserstein_rows(made, REAL, STRUCTURES, 1),
        *variety_rows(made, REAL, 2),
        *memorisation_rows(made, REAL, 3),
        *label_rows(made, REAL, STRUCTURES, (1.0, 1.0), 4.0),
    ]
    assert rows == wanted
    write_quality(tmp_path / "quality.csv", [*rows, QualityRow(3, "recall", "mr", np.nan, 0)])
    with (tmp_path / "quality.csv").open(newline="") as file:
        read = list(csv.DictReader(file))
    assert read[-1] == {"phase": "3", "measure": "recall", "part": "mr", "value": "", "n": "0"}
    assert float(read[0]["value"]) == pytest.approx(rows[0].value, rel=1e-5)


def test_measuring_stops_on_request() -> None:
    class Stopping(Silent):
        def stopping(self) -> bool:
            return True

    seeds = QualitySeeds(1, 2, 3)
    with pytest.raises(StopRequested):
        measure_quality({}, REAL, STRUCTURES, SPACING_ZHW_MM, 4, seeds, Stopping())

import numpy as np
import pytest

from gansfer.evaluation.overlap import MetricRow, dice_table, volume_table

NAMES = ("caudate", "putamen", "thalamus")


def _values(rows: list[MetricRow]) -> dict[str, float | None]:
    return {row.structure: row.value for row in rows}


def test_by_hand() -> None:
    #            both 1: 2 of 3 and 4 -> 4/7;  2: 1 of 3 and 1 -> 2/4;  3: 0 of 0 and 1 -> 0
    label_zhw = np.array([[[1, 1, 1, 2, 2, 2, 0, 0]]], np.uint8)
    reference = np.array([[[1, 1, 0, 1, 2, 1, 3, 0]]], np.uint8)
    values = _values(dice_table("sub-1", label_zhw, reference, NAMES))
    assert values["caudate"] == pytest.approx(4 / 7)
    assert values["putamen"] == pytest.approx(2 / 4)
    assert values["thalamus"] == 0.0
    # Foreground: 6 and 6 voxels, 5 in common, whatever structure they are given to.
    assert values["overall"] == pytest.approx(10 / 12)
    assert values["mean"] == pytest.approx((4 / 7 + 2 / 4 + 0) / 3)


def test_rows_are_tidy_and_in_order() -> None:
    label_zhw = np.array([[[1, 2, 3]]], np.uint8)
    assert dice_table("sub-1", label_zhw, label_zhw, NAMES) == [
        MetricRow("sub-1", name, "dsc", 1.0) for name in ("overall", "mean", *NAMES)
    ]


def test_empty_reference_is_left_out_and_counted_even_if_both_are_empty() -> None:
    label_zhw = np.array([[[1, 2, 0, 0]]], np.uint8)
    reference = np.array([[[1, 0, 0, 0]]], np.uint8)
    rows = dice_table("sub-1", label_zhw, reference, NAMES)
    values = _values(rows)
    assert values["putamen"] is None and values["thalamus"] is None
    assert values["mean"] == values["caudate"] == 1.0
    assert values["overall"] == pytest.approx(2 / 3)


def test_wholly_empty_reference_has_no_overall_nor_mean() -> None:
    values = _values(dice_table("s", np.ones((1, 1, 2), np.uint8), np.zeros((1, 1, 2), int), NAMES))
    assert set(values.values()) == {None}


def test_equals_a_slow_oracle() -> None:
    rng = np.random.default_rng(0)
    label_zhw = rng.integers(0, 4, (5, 6, 7)).astype(np.uint8)
    reference = rng.integers(0, 4, (5, 6, 7)).astype(np.uint8)
    values = _values(dice_table("s", label_zhw, reference, NAMES))
    for value, name in enumerate(NAMES, start=1):
        a, b = label_zhw == value, reference == value
        assert values[name] == pytest.approx(2 * (a & b).sum() / (a.sum() + b.sum()))


def test_volumes_are_in_cubic_millimetres() -> None:
    label_zhw = np.array([[[1, 1, 3, 0]]], np.uint8)
    rows = volume_table("s", label_zhw, NAMES, (3.0, 0.5, 2.0), metric="reference_volume_mm3")
    assert [row.value for row in rows] == [6.0, 0.0, 3.0]
    assert {row.metric for row in rows} == {"reference_volume_mm3"}


def test_values_without_a_structure_and_other_grids_are_refused() -> None:
    label_zhw = np.zeros((1, 2, 2), np.uint8)
    with pytest.raises(ValueError, match="reference has values 0 to 4, expected 0 to 3"):
        reference = label_zhw.copy()
        reference[0, 0, 0] = 4
        dice_table("s", label_zhw, reference, NAMES)
    with pytest.raises(ValueError, match="differ"):
        dice_table("s", label_zhw, np.zeros((1, 2, 3), np.uint8), NAMES)

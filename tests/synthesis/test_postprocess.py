"""Each step on slices drawn by hand: '.' background, a digit the structure's number."""

from typing import Any

import numpy as np
import pytest

from gansfer.errors import UserError
from gansfer.progress import Silent, StopRequested
from gansfer.synthesis.postprocess import (
    PostprocessRule,
    PostprocessSteps,
    mean_contrast,
    postprocess,
    postprocess_steps,
    structure_masks,
)


def _draw(text: str) -> np.ndarray:
    rows = text.split()
    return np.array([[0 if c == "." else int(c) for c in row] for row in rows], np.uint8)


def _text(label_hw: np.ndarray) -> str:
    return "\n".join("".join("." if v == 0 else str(v) for v in row) for row in label_hw)


def _rule(n_structures: int = 2, **changes: Any) -> PostprocessRule:
    numbers: dict[str, Any] = {
        "mean_contrast_s": np.ones(n_structures),
        "spacing_hw_mm": (1.0, 1.0),
        "closing_radius_mm": 0.0,
        "opening_width_mm": 0.0,
        "least_area_mm2": 0.0,
        "intensity_sd": 100.0,
    }
    return PostprocessRule(**(numbers | changes))


def _steps(
    drawing: str,
    n_structures: int = 2,
    image_hw: np.ndarray | None = None,
    mask_shw: np.ndarray | None = None,
    contrast_shw: np.ndarray | None = None,
    **changes: Any,
) -> PostprocessSteps:
    """Steps of one slice whose contrast is 1 where drawn, .2 in the rest (below the threshold)."""
    label_hw = _draw(drawing)
    if contrast_shw is None:
        contrast_shw = np.stack(
            [np.where(label_hw == s + 1, 1.0, 0.2) for s in range(n_structures)]
        )
    if mask_shw is None:
        mask_shw = np.ones(contrast_shw.shape, bool)
    if image_hw is None:
        image_hw = np.zeros(label_hw.shape)
    return postprocess_steps(
        image_hw[None].astype(np.float32),
        contrast_shw[None].astype(np.float32),
        np.array([0]),
        mask_shw[:, None],
        _rule(n_structures, **changes),
    )


def _assert_drawn(label_khw: np.ndarray, drawing: str) -> None:
    assert _text(label_khw[0]) == _text(_draw(drawing))


# --- masks -------------------------------------------------------------------------------------


def test_mask_is_all_points_within_10_mm_on_an_anisotropic_grid() -> None:
    spacing_zhw_mm = (4.0, 2.0, 1.0)
    label_nzhw = np.zeros((2, 9, 15, 31), np.uint8)
    label_nzhw[0, 4, 7, 15] = 1
    label_nzhw[1, 4, 7, 17] = 1
    label_nzhw[1, 0, 0, 0] = 3
    mask_szhw = structure_masks(label_nzhw, 3, 10.0, spacing_zhw_mm)
    expected_szhw = np.zeros_like(mask_szhw)
    for s in range(3):
        points = np.argwhere((label_nzhw == s + 1).any(axis=0))
        for z, h, w in np.ndindex(9, 15, 31):
            gaps_mm = (points - (z, h, w)) * spacing_zhw_mm
            expected_szhw[s, z, h, w] = any(np.sqrt((gaps_mm**2).sum(axis=1)) <= 10.0)
    np.testing.assert_array_equal(mask_szhw, expected_szhw)
    # 10 mm is 2 slices of 4 mm, 5 rows of 2 mm, 10 columns of 1 mm.
    assert np.flatnonzero(mask_szhw[0, :, 7, 15]).tolist() == [2, 3, 4, 5, 6]
    assert np.flatnonzero(mask_szhw[0, 4, :, 15]).tolist() == list(range(2, 13))
    assert np.flatnonzero(mask_szhw[0, 4, 7]).tolist() == list(range(5, 28))
    assert not mask_szhw[1].any()


def test_margin_of_zero_is_the_union() -> None:
    label_nzhw = np.zeros((2, 1, 1, 5), np.uint8)
    label_nzhw[0, 0, 0, 1] = 1
    label_nzhw[1, 0, 0, 3] = 1
    assert structure_masks(label_nzhw, 1, 0.0, (1, 1, 1)).ravel().tolist() == [0, 1, 0, 1, 0]


def test_each_slice_is_masked_by_its_own_slice_of_its_own_structure() -> None:
    mask_szhw = np.zeros((2, 3, 1, 4), bool)
    mask_szhw[0, 2, 0, :2] = True
    mask_szhw[1, 1, 0, 3] = True
    contrast_kshw = np.ones((2, 2, 1, 4), np.float32)
    label_khw = postprocess(
        np.zeros((2, 1, 4)), contrast_kshw, np.array([1, 2]), mask_szhw, _rule()
    )
    assert label_khw.tolist() == [[[0, 0, 0, 2]], [[1, 1, 0, 0]]]


# --- binarise ----------------------------------------------------------------------------------


def test_threshold_is_a_fraction_of_the_structures_own_mean_contrast() -> None:
    contrast_shw = np.array([[[0.9, 1.1, 2.0, 0.0]], [[0.0, 0.0, 0.0, 0.3]]])
    steps = _steps(
        "....",
        contrast_shw=contrast_shw,
        mean_contrast_s=np.array([2.0, 0.4]),
        binarise_fraction=0.5,
    )
    assert steps.binarised_khw.tolist() == [[[0, 1, 1, 2]]]


def test_overlap_goes_to_the_strongest_relative_to_its_mean() -> None:
    # Second: 1.2 is three times the usual contrast, 1.5 only three quarters. Third is a tie.
    contrast_shw = np.array([[[2.0, 1.5, 2.0]], [[0.3, 1.2, 0.4]]])
    steps = _steps("...", contrast_shw=contrast_shw, mean_contrast_s=np.array([2.0, 0.4]))
    assert steps.binarised_khw.tolist() == [[[1, 2, 1]]]


def test_stronger_structure_outside_its_mask_does_not_win() -> None:
    mask_shw = np.array([[[True, True]], [[True, False]]])
    steps = _steps("..", contrast_shw=np.array([[[1.0, 1.0]], [[5.0, 5.0]]]), mask_shw=mask_shw)
    assert steps.binarised_khw.tolist() == [[[2, 1]]]
    assert steps.masked_kshw.tolist() == [[[[1.0, 1.0]], [[5.0, 0.0]]]]


# --- closing and holes -------------------------------------------------------------------------

OPEN_RING = """
.........
.1111111.
.1.....1.
.1.....1.
.1.......
.1.....1.
.1111111.
.........
"""
FULL_RING = """
.........
.1111111.
.1111111.
.1111111.
.1111111.
.1111111.
.1111111.
.........
"""


def test_closing_shuts_a_gap_and_the_hole_is_filled() -> None:
    _assert_drawn(_steps(OPEN_RING, closing_radius_mm=1.5).filled_khw, FULL_RING)


def test_without_closing_an_open_ring_stays_open() -> None:
    _assert_drawn(_steps(OPEN_RING).filled_khw, OPEN_RING)


def test_closing_reaches_the_border_of_the_slice() -> None:
    # The gap lies on the border; unpadded, closing would also eat the border pixels.
    steps = _steps("11.11 11.11 ..... .....", closing_radius_mm=1.5)
    _assert_drawn(steps.filled_khw, "11111 11111 ..... .....")


def test_hole_open_only_at_a_corner_is_a_hole() -> None:
    _assert_drawn(_steps(".1.. 1.1. .1.. ....").filled_khw, ".1.. 111. .1.. ....")


def test_bay_at_the_border_is_no_hole() -> None:
    bay = "1.1 1.1 111"
    _assert_drawn(_steps(bay).filled_khw, bay)


def test_holes_are_filled_in_plane_only() -> None:
    # A ring between two empty slices is a hole in its plane, though open above and below.
    ring_hw = _draw("..... .111. .1.1. .111. .....")
    contrast_kshw = np.zeros((3, 1, 5, 5), np.float32)
    contrast_kshw[1, 0] = ring_hw
    mask_szhw = np.ones((1, 1, 5, 5), bool)
    label_khw = postprocess(
        np.zeros((3, 5, 5)), contrast_kshw, np.zeros(3, int), mask_szhw, _rule(1)
    )
    assert label_khw[1].sum() == 9 and not label_khw[[0, 2]].any()


def test_closing_and_filling_never_take_another_structures_pixels() -> None:
    ring_round_two = "..... .111. .121. .111. ....."
    _assert_drawn(_steps(ring_round_two, closing_radius_mm=1.5).filled_khw, ring_round_two)


def test_filling_leaves_what_closing_gave_another_structure() -> None:
    # The middle pixel is below both thresholds; closing gives it to 2, though 1 is stronger there.
    drawing = """
    111111111
    1.......1
    1.......1
    1.22.22.1
    1.22.22.1
    1.22.22.1
    1.......1
    1.......1
    111111111
    """
    label_hw = _draw(drawing)
    contrast_shw = np.stack([np.where(label_hw == s + 1, 1.0, 0.1) for s in range(2)])
    contrast_shw[:, 4, 4] = 0.4, 0.3
    steps = _steps(drawing, contrast_shw=contrast_shw, closing_radius_mm=1.5)
    assert steps.binarised_khw[0, 4, 4] == 0
    assert steps.filled_khw[0, 4, 4] == 2
    assert (steps.filled_khw[0] == 2).sum() == 15 and (steps.filled_khw > 0).all()


def test_background_claimed_by_two_goes_to_the_stronger() -> None:
    drawing = "....... ..121.. ..1.1.. ..121.. ......."
    label_hw = _draw(drawing)
    for weak, strong in ((0, 1), (1, 0)):
        contrast_shw = np.stack([np.where(label_hw == s + 1, 1.0, 0.1) for s in range(2)])
        contrast_shw[strong, 2, 3] = 0.4
        contrast_shw[weak, 2, 3] = 0.3
        steps = _steps(drawing, contrast_shw=contrast_shw, closing_radius_mm=1.5)
        assert steps.binarised_khw[0, 2, 3] == 0
        assert steps.filled_khw[0, 2, 3] == strong + 1


def test_closing_and_filling_stay_inside_the_mask() -> None:
    mask_shw = np.ones((2, 8, 9), bool)
    mask_shw[0, 3, 3] = False
    steps = _steps(OPEN_RING, closing_radius_mm=1.5, mask_shw=mask_shw)
    expected_hw = _draw(FULL_RING)
    expected_hw[3, 3] = 0
    np.testing.assert_array_equal(steps.filled_khw[0], expected_hw)


# --- intensity gate ----------------------------------------------------------------------------


def test_gate_equals_a_slow_oracle_by_slice_and_structure() -> None:
    rng = np.random.default_rng(0)
    image_khw = (rng.normal(size=(4, 12, 12)) ** 3).astype(np.float32)
    winner_khw = rng.integers(0, 3, (4, 12, 12))
    contrast_kshw = np.stack([winner_khw == 1, winner_khw == 2], axis=1).astype(np.float32)
    steps = postprocess_steps(
        image_khw, contrast_kshw, np.zeros(4, int), np.ones((2, 1, 12, 12), bool),
        _rule(intensity_sd=2.0),
    )  # fmt: skip
    expected_khw = steps.filled_khw.copy()
    dropped = 0
    for k in range(4):
        for s in range(2):
            inside_hw = steps.filled_khw[k] == s + 1
            values = image_khw[k][inside_hw].astype(np.float64)
            far_hw = np.abs(image_khw[k] - values.mean()) > 2.0 * values.std()
            expected_khw[k][inside_hw & far_hw] = 0
            dropped += (inside_hw & far_hw).sum()
    assert dropped > 10
    np.testing.assert_array_equal(steps.gated_khw, expected_khw)


def test_gate_keeps_a_flat_structure_and_a_single_pixel() -> None:
    drawing = "111.2 111.."
    steps = _steps(drawing, image_hw=np.full((2, 5), 0.1), intensity_sd=2.0)
    _assert_drawn(steps.gated_khw, drawing)


def test_outlier_at_the_rim_goes_and_one_inside_is_filled_again() -> None:
    drawing = "....... .11111. .11111. .11111. .11111. .11111. ......."
    image_hw = np.random.default_rng(1).normal(0, 0.01, (7, 7))
    image_hw[1, 3] = image_hw[3, 3] = 5.0
    steps = _steps(drawing, image_hw=image_hw, intensity_sd=2.0)
    _assert_drawn(steps.gated_khw, "....... .11.11. .11111. .11.11. .11111. .11111. .......")
    _assert_drawn(steps.refilled_khw, "....... .11.11. .11111. .11111. .11111. .11111. .......")


# --- spurs and specks --------------------------------------------------------------------------


def test_spurs_and_specks_go_and_thin_structures_stay() -> None:
    before = """
    ..............
    .1.......2....
    ......1..2....
    ......1..2.22.
    ......1..2....
    ...1111.......
    ...11111......
    ...1111.......
    ..............
    """
    after = """
    ..............
    .........2....
    .........2....
    .........2....
    .........2....
    ...1111.......
    ...11111......
    ...1111.......
    ..............
    """
    steps = _steps(before, opening_width_mm=2.0, spur_length_mm=2.0, least_area_mm2=3.0)
    _assert_drawn(steps.refilled_khw, before)
    _assert_drawn(steps.label_khw, after)


def test_at_2_mm_nothing_of_a_pixels_width_is_a_spur() -> None:
    tiny = "..... .1... .1.22 .1.2."
    spacing_hw_mm = (2.0, 2.0)
    steps = _steps(tiny, spacing_hw_mm=spacing_hw_mm, opening_width_mm=2.0, least_area_mm2=12.0)
    _assert_drawn(steps.label_khw, tiny)
    less = _steps(tiny, spacing_hw_mm=spacing_hw_mm, opening_width_mm=2.0, least_area_mm2=13.0)
    assert not less.label_khw.any()


# --- all together ------------------------------------------------------------------------------


def _noise(
    n: int = 6, n_structures: int = 3
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(3)
    contrast_kshw = rng.normal(0.5, 0.6, (n, n_structures, 20, 20)).astype(np.float32)
    image_khw = rng.normal(size=(n, 20, 20)).astype(np.float32)
    mask_szhw = rng.random((n_structures, 5, 20, 20)) < 0.8
    return image_khw, contrast_kshw, rng.integers(0, 5, n), mask_szhw


def test_no_step_labels_outside_the_mask_and_only_growing_steps_grow() -> None:
    image_khw, contrast_kshw, slice_index_k, mask_szhw = _noise()
    rule = _rule(
        3, closing_radius_mm=1.0, opening_width_mm=2.0, least_area_mm2=3.0, intensity_sd=1.5
    )
    steps = postprocess_steps(image_khw, contrast_kshw, slice_index_k, mask_szhw, rule)
    stages = [steps.binarised_khw, steps.filled_khw, steps.gated_khw, steps.refilled_khw]
    stages.append(steps.label_khw)
    for label_khw in stages:
        for s in range(3):
            assert mask_szhw[s, slice_index_k][label_khw == s + 1].all()
    for small, large in ((0, 1), (2, 1), (2, 3), (4, 3)):
        kept = stages[small] > 0
        np.testing.assert_array_equal(stages[small][kept], stages[large][kept])
        assert (stages[large] > 0).sum() > kept.sum()


def test_slices_do_not_touch_each_other_nor_the_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    image_khw, contrast_kshw, slice_index_k, mask_szhw = _noise()
    rule = _rule(
        3, closing_radius_mm=1.0, opening_width_mm=2.0, least_area_mm2=3.0, intensity_sd=2.0
    )
    together_khw = postprocess(image_khw, contrast_kshw, slice_index_k, mask_szhw, rule)
    assert together_khw.dtype == np.uint8
    monkeypatch.setattr("gansfer.synthesis.postprocess._SLICES_AT_ONCE", 4)
    blocks_khw = postprocess(image_khw, contrast_kshw, slice_index_k, mask_szhw, rule)
    np.testing.assert_array_equal(blocks_khw, together_khw)
    for k in range(len(image_khw)):
        one = slice(k, k + 1)
        alone_khw = postprocess(
            image_khw[one], contrast_kshw[one], slice_index_k[one], mask_szhw, rule
        )
        np.testing.assert_array_equal(alone_khw[0], together_khw[k])


def test_mean_contrast_is_over_labelled_pixels_of_each_structure() -> None:
    label_nhw = np.array([[[1, 1, 0, 2]], [[1, 0, 0, 0]]])
    contrast_nshw = np.zeros((2, 3, 1, 4))
    contrast_nshw[:, 0] = [[[1, 2, 9, 9]], [[6, 9, 9, 9]]]
    contrast_nshw[:, 1] = 0.5
    np.testing.assert_array_equal(mean_contrast(contrast_nshw, label_nhw), [3.0, 0.5, np.nan])


def test_structure_without_labels_is_never_assigned_and_needs_no_contrast() -> None:
    mask_shw = np.stack([np.ones((1, 3), bool), np.zeros((1, 3), bool)])
    steps = _steps(
        "122", mask_shw=mask_shw, mean_contrast_s=np.array([1.0, np.nan]), binarise_fraction=0.5
    )
    assert steps.label_khw.tolist() == [[[1, 0, 0]]]


@pytest.mark.parametrize("mean", [0.0, np.nan, -1.0])
def test_labelled_structure_without_contrast_is_an_error(mean: float) -> None:
    with pytest.raises(UserError, match=r"structure number 2 of 2: mean labelled contrast is"):
        _steps("12", mean_contrast_s=np.array([1.0, mean]))


def test_each_structure_has_its_own_threshold_and_only_those_above_it_compete() -> None:
    # Third: 2 is the stronger, but below its own threshold.
    contrast_shw = np.array([[[0.3, 0.1, 0.3]], [[0.2, 0.5, 0.4]]])
    steps = _steps("...", contrast_shw=contrast_shw, binarise_fraction=np.array([0.25, 0.45]))
    assert steps.binarised_khw.tolist() == [[[1, 2, 1]]]


def test_pixels_that_are_not_finite_are_background() -> None:
    contrast_shw = np.ones((2, 1, 3))
    contrast_shw[0, 0, 1] = np.nan
    assert _steps("...", contrast_shw=contrast_shw).label_khw[0, 0, 1] == 0


def test_watch_can_stop() -> None:
    class Stopping(Silent):
        def stopping(self) -> bool:
            return True

    with pytest.raises(StopRequested):
        postprocess(*_noise(), _rule(3), watch=Stopping())

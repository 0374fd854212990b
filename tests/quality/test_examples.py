"""Which slices the pictures of a cell show."""

from __future__ import annotations

import numpy as np
import pytest

from gansfer.quality.examples import (
    evenly_spread,
    finite_in_every_phase,
    latents_alike,
    most_changed,
    nearest_pairs,
    with_most_structures,
    worst_rejected,
)
from gansfer.settings import SynthesisSettings
from gansfer.synthesis.labelling import labelling_of
from tests.three_subjects import (
    EIGHTH_CODE,
    SPACING_ZHW_MM,
    cell_of_three,
    everything_seen,
    synthetic_set,
    three_subjects,
)


def test_fig_7_says_how_alike_the_most_alike_are_beside_random_pairs() -> None:
    value_n = np.array([0.0, 0.5, 9.0, 6.0, 7.5, 3.0, *[99.0] * 6])
    image_nhw = value_n[:, None, None] * np.ones((12, 4, 4))
    score_n = np.where(value_n < 99, 1.0, np.inf)
    found = latents_alike(synthetic_set(image_nhw, score_k=score_n, kept_k=value_n < 99))
    assert (found.n_searched, found.region_rk.shape) == (12, (2, 9))
    assert found.of_any == pytest.approx(4.5)  # of 0, 0.5, 3, 6, 7.5 and 9: no 99
    assert (found.region_rk[:, 0] < 6).all()


def test_fig_7s_centres_show_structures() -> None:
    image_nhw = np.repeat(np.arange(20.0)[:, None, None] ** 2, 4, axis=1).repeat(4, axis=2)
    label_nhw = np.zeros((20, 4, 4), np.uint8)
    label_nhw[10:] = 1  # the tightest slices, 0, 1, 4 ..., show none
    found = latents_alike(synthetic_set(image_nhw, label_nhw))
    assert found.region_rk.shape == (2, 9)
    assert (found.region_rk[:, 0] >= 10).all()
    assert len(found.within_r) == 2 and all(np.isfinite(found.within_r))


def test_the_worst_rejected_come_first_and_no_diverged_slice() -> None:
    score_k = np.array([1.0, 9.0, 5.0, np.inf, 7.0])
    kept_k = np.array([True, False, False, False, False])
    worst, n = worst_rejected(synthetic_set(np.zeros((5, 2, 2)), score_k=score_k, kept_k=kept_k))
    assert (worst.tolist(), n) == ([1, 4, 2], 3)


def test_only_latents_with_a_score_in_every_phase_are_embedded() -> None:
    first, second = (
        synthetic_set(np.zeros((4, 2, 2)), score_k=np.array(score_k), kept_k=np.zeros(4, bool))
        for score_k in ([1, np.inf, 1, 1], [1, 1, 1, np.inf])
    )
    assert finite_in_every_phase({1: first, 2: second}).tolist() == [0, 2]
    assert evenly_spread(7, 3).tolist() == [0, 3, 6]
    assert evenly_spread(2, 3).tolist() == [0, 1]


def test_fig_3_chooses_among_retained_slices_with_most_structures() -> None:
    label_khw = np.zeros((70, 2, 2), np.uint8)
    label_khw[:, 0, 0] = 1
    label_khw[69, 0, 1] = 2
    label_khw[0:2, 1] = (3, 4)
    kept_k = np.arange(70) != 0
    chosen = with_most_structures(synthetic_set(np.zeros((70, 2, 2)), label_khw, kept_k=kept_k))
    assert len(chosen) == 64
    assert chosen[0] == 1 and chosen[-1] == 69 and 0 not in chosen


def test_fig_3_shows_the_slice_and_structures_that_the_steps_change_most() -> None:
    cell, cohort = cell_of_three(), three_subjects()
    settings = SynthesisSettings(
        mask_margin_mm=2.0,
        binarise_fraction=0.5,
        closing_radius_mm=0.0,
        least_area_mm2=4.0,
        intensity_sd=9.0,
    )
    labelling = labelling_of(
        cell.training_images_nzhw,
        cell.training_labels_nzhw,
        cell.known_images_khw,
        cell.group,
        EIGHTH_CODE,
        SPACING_ZHW_MM,
        settings,
    )
    image_khw = cohort.images(["A"])[0, 1:3]
    contrast_kshw = np.zeros((2, 2, 16, 16), np.float32)
    contrast_kshw[:, 0, 2:7, 2:7] = 2.0
    contrast_kshw[1, 0, 0, 4] = contrast_kshw[1, 0, 8, 4] = 2.0  # specks
    stepped = most_changed(image_khw, contrast_kshw, np.array([1, 2]), labelling)
    assert stepped.k == 1
    assert stepped.shown == [0, 1]
    steps = stepped.mask_by_step
    assert np.array_equal(steps["A mask"], labelling.mask_szhw[:, 2])
    assert steps["C binarised"][0, 8, 4] and not steps["F filled, opened"][0, 8, 4]
    assert stepped.contrast_shw[0, 8, 4] == 2.0


def test_pairs_are_the_nearest_retained_slices_nearest_first() -> None:
    real = everything_seen()
    order = np.array([5, 17, 2, 11])
    score_k = np.array([3.0, 1.0, 0.5, 2.0])
    kept_k = np.array([True, True, False, True])
    made = synthetic_set(real.image_nhw[order], score_k=score_k, kept_k=kept_k)
    pairs = nearest_pairs({2: made}, real.image_nhw)[2]
    assert np.array_equal(pairs.real_khw, real.image_nhw[[17, 11, 5]])
    assert np.array_equal(pairs.made_khw, pairs.real_khw)
    assert pairs.distance_k == pytest.approx(np.zeros(3))

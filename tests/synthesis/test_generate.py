"""What generated slices are decoded with and compared with, by three subjects."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import numpy.typing as npt
import pytest

from gansfer.settings import SynthesisSettings
from gansfer.synthesis.generate import decoded_slices, filtered_set, make_slices
from gansfer.synthesis.labelling import labelling_of
from tests.three_subjects import (
    EIGHTH_CODE,
    SHAPE_ZHW,
    SPACING_ZHW_MM,
    FixedGenerator,
    cell_of_three,
    latents_of,
    three_subjects,
)


def test_every_slice_is_decoded_labelled_and_scored_by_any_known_image() -> None:
    cell, cohort = cell_of_three(), three_subjects()
    channels_kchw, _ = cell.group.encoded(EIGHTH_CODE)
    # The slices of C with their labels, and one of the pool, without any.
    generated_kchw = np.concatenate([channels_kchw[8:], np.zeros((1, 3, *SHAPE_ZHW[1:]), "f4")])
    generated_kchw[-1, 0] = 0.125 * cohort.images(["P2"])[0, 2]
    labelling = labelling_of(
        cell.training_images_nzhw,
        cell.training_labels_nzhw,
        cell.known_images_khw,
        cell.group,
        EIGHTH_CODE,
        SPACING_ZHW_MM,
        SynthesisSettings(
            binarise_fraction=0.5,
            closing_radius_mm=0.0,
            opening_width_mm=0.0,
            least_area_mm2=0.0,
            intensity_sd=9.0,
        ),
    )
    made = make_slices(
        FixedGenerator(generated_kchw),
        latents_of(5),
        EIGHTH_CODE,
        labelling,
        cell.known_images_khw,
    )
    assert made["image_khw"][:4] == pytest.approx(cohort.image_of["C"], abs=1e-5)
    assert np.array_equal(made["label_khw"][:4], cohort.label_of["C"])
    assert not made["label_khw"][4].any()
    assert made["slice_index_k"].tolist() == [0, 1, 2, 3, 2]
    assert made["score_k"] == pytest.approx(np.zeros(5), abs=1e-4)


def test_a_slice_is_decoded_with_the_code_that_is_given() -> None:
    generator = FixedGenerator(np.full((1, 3, 4, 4), 0.5, np.float32))
    code = replace(EIGHTH_CODE, offset_c=(1.0, 2.0, 3.0))
    image_khw, contrast_kshw = decoded_slices(generator, latents_of(1), code)
    assert (image_khw == 5.0).all()
    assert (contrast_kshw[:, 0] == 6.0).all() and (contrast_kshw[:, 1] == 7.0).all()


def test_the_percentile_is_of_all_blocks_together() -> None:
    blocks: list[dict[str, npt.NDArray]] = [
        {
            "image_khw": np.full((4, 2, 2), start, np.float32),
            "label_khw": np.zeros((4, 2, 2), np.uint8),
            "slice_index_k": np.arange(4),
            "score_k": start + np.arange(4.0),
        }
        for start in (0, 4)
    ]
    made = filtered_set(blocks, 50.0, seed=9)
    assert made.kept_k.tolist() == [True] * 4 + [False] * 4
    assert made.latent_index_k.tolist() == list(range(8))
    assert set(made.latent_seed_k) == {9}
    assert filtered_set(blocks, 75.0, seed=9).kept_k.sum() == 6

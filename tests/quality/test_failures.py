"""One picture for all latents and an empty segmentation are failures; sound sets are not."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest

from gansfer.quality.failures import (
    COLLAPSED_BELOW,
    generator_failure,
    segmenter_failure,
    variety_ratio,
)
from tests.three_subjects import IDS, SHAPE_ZHW, three_subjects


@pytest.fixture
def real_nhw() -> npt.NDArray[np.float32]:
    return three_subjects().images(IDS).reshape(-1, *SHAPE_ZHW[1:])


def one_picture(real_nhw: npt.NDArray, trace: float, k: int = 40) -> npt.NDArray:
    """The first real slice for every latent, with a trace of noise."""
    noise_khw = np.random.default_rng(0).normal(0.0, trace, (k, *real_nhw.shape[1:]))
    return real_nhw[:1] + noise_khw


def test_the_ratio_is_that_of_median_rms_differences_of_pairs(real_nhw: npt.NDArray) -> None:
    def slow(image_nhw: npt.NDArray) -> float:
        pairs = [
            np.sqrt(np.mean((one - other) ** 2))
            for i, one in enumerate(image_nhw)
            for other in image_nhw[:i]
        ]
        return float(np.median(pairs))

    generated_khw = 0.5 * real_nhw[::2] + 7.0
    wanted = slow(generated_khw) / slow(real_nhw)
    assert variety_ratio(generated_khw, real_nhw) == pytest.approx(wanted, rel=1e-5)
    assert variety_ratio(real_nhw, real_nhw) == pytest.approx(1.0)


def test_one_picture_whatever_the_latent_has_collapsed(real_nhw: npt.NDArray) -> None:
    ratio = variety_ratio(one_picture(real_nhw, trace=0.0), real_nhw)
    assert ratio == 0.0
    said = generator_failure(variety_ratio(one_picture(real_nhw, trace=0.01), real_nhw))
    assert said is not None
    assert "draws one picture" in said


def test_a_few_other_pictures_do_not_hide_a_collapse(real_nhw: npt.NDArray) -> None:
    generated_khw = one_picture(real_nhw, trace=0.0)
    generated_khw[:4] = real_nhw[4:8]
    assert generator_failure(variety_ratio(generated_khw, real_nhw)) is not None


def test_slices_that_are_not_finite_have_no_variety(real_nhw: npt.NDArray) -> None:
    broken_khw = real_nhw.copy()
    broken_khw[:, 0, 0] = np.nan
    assert variety_ratio(broken_khw, real_nhw) == 0.0
    broken_khw[5:] = real_nhw[5:]
    assert generator_failure(variety_ratio(broken_khw, real_nhw)) is None


def test_real_slices_and_noise_have_not_collapsed(real_nhw: npt.NDArray) -> None:
    noise_khw = np.random.default_rng(1).normal(0.0, 1.0, (40, *real_nhw.shape[1:]))
    for generated_khw in (real_nhw, 0.5 * real_nhw, noise_khw):
        assert generator_failure(variety_ratio(generated_khw, real_nhw)) is None


def test_the_threshold_itself_passes_and_what_cannot_be_judged_too(real_nhw: npt.NDArray) -> None:
    assert generator_failure(COLLAPSED_BELOW) is None
    assert generator_failure(0.99 * COLLAPSED_BELOW) is not None
    assert variety_ratio(real_nhw, real_nhw[:1]) is None
    assert generator_failure(None) is None


def test_many_real_slices_are_judged_by_some_of_all(real_nhw: npt.NDArray) -> None:
    many_nhw = np.repeat(real_nhw, 60, axis=0)
    assert variety_ratio(real_nhw, many_nhw) == pytest.approx(1.0, rel=0.2)


def test_a_segmenter_fails_where_no_subject_has_any_foreground() -> None:
    label_nzhw = np.zeros((3, 4, 5, 5), np.uint8)
    said = segmenter_failure(label_nzhw)
    assert said == "predicts nothing: no foreground voxel in any of 3 test subjects"
    label_nzhw[2, 3, 4, 4] = 1
    assert segmenter_failure(label_nzhw) is None

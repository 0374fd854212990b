"""What is unlike a cohort is said; what belongs to it is not."""

from __future__ import annotations

import numpy as np

from gansfer.application.likeness import Likeness, fit_likeness, unlike, volumes_ml

RNG = np.random.default_rng(2)
COMMON = RNG.normal(size=(6, 8, 8))
COHORT = [(COMMON + 0.5 * RNG.normal(size=COMMON.shape)).astype(np.float32) for _ in range(12)]


def fitted() -> tuple[Likeness, np.ndarray]:
    return fit_likeness(lambda: iter(COHORT), {"caudate": [7.0, 7.4, 6.8], "putamen": [9.0]})


def words(image_zhw: np.ndarray, caudate_ml: float = 7) -> str:
    likeness, mean_zhw = fitted()
    volumes = {"caudate": caudate_ml, "putamen": 9.0}
    return "; ".join(unlike(likeness, mean_zhw, image_zhw, volumes))


def test_the_mean_and_the_leave_one_out_correlation_are_as_by_hand() -> None:
    likeness, mean_zhw = fitted()
    np.testing.assert_allclose(mean_zhw, np.mean(COHORT, axis=0), rtol=1e-5, atol=1e-6)
    by_hand = [
        np.corrcoef(one.ravel(), np.mean(COHORT[:n] + COHORT[n + 1 :], axis=0).ravel())[0, 1]
        for n, one in enumerate(COHORT)
    ]
    assert np.isclose(likeness.alignment.middle, np.median(by_hand))
    assert likeness.n_images == 12


def test_nothing_is_said_of_the_cohorts_own_images() -> None:
    assert [words(one) for one in COHORT] == [""] * 12


def test_what_is_unlike_is_named() -> None:
    assert words(-COHORT[0]).startswith("correlation -0.")
    assert "correlation" in words(COHORT[0][::-1])
    assert "intensities from" in words(3 * COHORT[0])
    assert "caudate 2.00 ml in the common space" in words(COHORT[0], caudate_ml=2)
    assert words(COHORT[0], caudate_ml=0) == "no voxel of caudate"
    assert "correlation nan" in words(np.ones_like(COHORT[0]))


def test_volumes_are_voxels_times_their_size() -> None:
    label_zhw = np.array([[[0, 1, 1, 2]]], np.uint8)
    assert volumes_ml(label_zhw, ("a", "b"), (5.0, 20.0, 10.0)) == {"a": 2.0, "b": 1.0}

"""What is unusual is found, what is usual is not."""

import numpy as np

from gansfer.cohort.outliers import alignment_scores, far_from_median, flags


def images(n: int = 12) -> np.ndarray:
    rng = np.random.default_rng(0)
    common = rng.normal(0, 1, (6, 10, 10))
    return np.stack([common + rng.normal(0, 0.3, common.shape) for _ in range(n)])


def test_alignment_is_the_correlation_with_the_mean_of_the_others() -> None:
    image_nzhw = images(4)
    rest = image_nzhw[[0, 1, 3]].mean(0)
    wanted = np.corrcoef(image_nzhw[2].ravel(), rest.ravel())[0, 1]
    np.testing.assert_allclose(alignment_scores(image_nzhw)[2], wanted, atol=1e-5)
    assert alignment_scores(image_nzhw[:1]).tolist() == [1.0]


def test_a_flat_image_is_unusual() -> None:
    image_nzhw = images()
    image_nzhw[4] = 0.5
    alignment_n = alignment_scores(image_nzhw)
    assert np.isnan(alignment_n[4])
    alike_n, volume_ns = np.full(12, 2.0), np.ones((12, 1))
    found = flags(alignment_n, -alike_n, alike_n, volume_ns, ["caudate"])
    assert [one for one in found if one] == [["flat"]]


def test_distance_in_spreads_of_the_cohort() -> None:
    value_n = np.array([1.0, 2, 3, 4, 5, np.nan, 30])
    far = far_from_median(value_n, 0.1)
    np.testing.assert_allclose(far[6], (30 - 3.5) / (1.4826 * 1.5))
    assert np.isnan(far[5])
    assert np.abs(far_from_median(np.full(5, 2.0), 0.1)).max() == 0


def test_flags_say_what_and_only_of_whom() -> None:
    image_nzhw = images()
    image_nzhw[3] = np.roll(image_nzhw[3], 3, axis=2)
    alignment_n = alignment_scores(image_nzhw)
    low_n, high_n = np.full(12, -2.0), np.full(12, 2.5)
    high_n[5] = 9.0
    volume_ns = np.tile([4.0, 8.0], (12, 1)) * np.linspace(0.97, 1.03, 12)[:, None]
    volume_ns[7, 1] = 3.0
    volume_ns[9] = np.nan
    found = flags(alignment_n, low_n, high_n, volume_ns, ["caudate", "thalamus"])
    assert [n for n, one in enumerate(found) if one] == [3, 5, 7]
    assert found[3][0].startswith("alignment ")
    assert found[5] == ["intensities -2.0 to 9.0"]
    assert found[7] == ["thalamus 3.00 ml"]

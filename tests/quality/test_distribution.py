from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from gansfer.quality import distribution as quality


def test_a_pyramid_adds_up_to_the_slices_again() -> None:
    image_khw = np.random.default_rng(0).normal(size=(2, 40, 40))
    bands = quality.laplacian_pyramid(image_khw)
    assert [band.shape[1] for band in bands] == [40, 20, 10]
    again = bands[-1]
    for band in bands[-2::-1]:
        again = quality.pyramid_up(again) + band
    assert np.allclose(again, image_khw, atol=1e-5)


def test_a_flat_slice_has_only_a_coarsest_band() -> None:
    bands = quality.laplacian_pyramid(np.full((1, 40, 40), 3.0))
    assert np.allclose(bands[0], 0, atol=1e-5)
    assert np.allclose(bands[-1], 3, atol=1e-5)


def test_a_set_is_at_no_distance_from_itself_and_a_scaled_one_is() -> None:
    real_khw = np.random.default_rng(0).normal(size=(20, 20, 20))
    assert set(quality.sliced_wasserstein(real_khw, real_khw, seed=1).values()) == {0.0}
    doubled = quality.sliced_wasserstein(real_khw, 2 * real_khw, seed=1)
    # N(0, 1) against N(0, 4): E|Z| = .798 along every direction of white noise.
    assert doubled[20] == pytest.approx(0.8, abs=0.15)
    assert quality.sliced_wasserstein(real_khw, 2 * real_khw, seed=1) == doubled


def test_only_the_scale_that_differs_is_far() -> None:
    rng = np.random.default_rng(0)
    noise_khw = rng.normal(size=(30, 20, 20))
    coarse = rng.normal(size=(30, 1, 1))
    found = quality.sliced_wasserstein(noise_khw, noise_khw + 3 * coarse, seed=0)
    assert found[10] > 10 * found[20]


def test_the_distance_is_scipys_along_one_direction(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(3)
    real_md, made_md = rng.normal(size=(40, 49)), 1 + rng.normal(size=(40, 49))
    patches = iter([real_md, made_md])
    monkeypatch.setattr(quality, "laplacian_pyramid", lambda image_khw: [image_khw])
    monkeypatch.setattr(quality, "_patches", lambda band, place: next(patches))
    stack = np.zeros((1, 10, 10))
    (found,) = quality.sliced_wasserstein(stack, stack, seed=5, n_directions=1).values()
    random = np.random.default_rng(5)
    for _ in range(2):
        random.integers(4, size=64)
    direction_d = random.normal(size=(49, 1)).astype(np.float32)[:, 0]
    direction_d /= np.linalg.norm(direction_d)
    scaled = [
        (patch - real_md.mean()) / real_md.std() @ direction_d for patch in (real_md, made_md)
    ]
    assert found == pytest.approx(stats.wasserstein_distance(*scaled), rel=1e-5)


def test_an_empty_channel_has_no_distance() -> None:
    found = quality.sliced_wasserstein(np.zeros((2, 20, 20)), np.ones((2, 20, 20)), seed=0)
    assert all(np.isnan(value) for value in found.values())


def test_sets_of_two_sizes_are_refused() -> None:
    with pytest.raises(ValueError, match="as many slices"):
        quality.sliced_wasserstein(np.zeros((2, 20, 20)), np.zeros((3, 20, 20)), seed=0)


def _variety_by_hand(real: np.ndarray, made: np.ndarray, k: int) -> list[float]:
    def radius(points: np.ndarray) -> list[float]:
        return [sorted(np.linalg.norm(points - p, axis=1))[k] for p in points]

    r_real, r_made = radius(real), radius(made)
    d = [[np.linalg.norm(a - b) for b in made] for a in real]
    n, m = len(real), len(made)
    return [
        float(np.mean([any(d[i][j] < r_real[i] for i in range(n)) for j in range(m)])),
        float(np.mean([any(d[i][j] < r_made[j] for j in range(m)) for i in range(n)])),
        sum(d[i][j] < r_real[i] for i in range(n) for j in range(m)) / (k * m),
        float(np.mean([any(d[i][j] < r_real[i] for j in range(m)) for i in range(n)])),
    ]


def test_variety_is_that_of_a_plain_loop() -> None:
    rng = np.random.default_rng(0)
    real, made = rng.normal(size=(30, 3)), 0.7 * rng.normal(size=(25, 3)) + 0.4
    found = quality.variety(real, made, neighbours=3)
    assert list(vars(found).values()) == pytest.approx(_variety_by_hand(real, made, 3))


def test_copies_of_one_slice_look_real_and_cover_little() -> None:
    real = np.random.default_rng(0).normal(size=(100, 4))
    collapsed = quality.variety(
        real, real[:1] + 1e-3 * np.random.default_rng(1).normal(size=(100, 4))
    )
    assert collapsed.precision == 1
    assert collapsed.recall < 0.1
    assert collapsed.coverage < 0.5


def test_too_few_points_are_refused() -> None:
    with pytest.raises(ValueError, match="5 real and 9 generated points"):
        quality.variety(np.zeros((5, 2)), np.zeros((9, 2)))


def test_the_embedding_keeps_distances_that_few_components_hold() -> None:
    rng = np.random.default_rng(0)
    image_khw = (rng.normal(size=(40, 3)) @ rng.normal(size=(3, 64))).reshape(40, 8, 8)
    place = quality.embedded(quality.embedding_of(image_khw, dimensions=3), image_khw)
    assert np.linalg.norm(place[0] - place[1]) == pytest.approx(
        np.linalg.norm(image_khw[0] - image_khw[1]), rel=1e-4
    )

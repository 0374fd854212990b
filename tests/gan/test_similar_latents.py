from __future__ import annotations

import itertools

import numpy as np
import pytest

from gansfer.gan.similar_latents import median_distance, similar_regions


def _three_clusters() -> np.ndarray:
    rng = np.random.default_rng(0)
    centres = {0: (5.0, 0.01), 4: (5.2, 0.05), 8: (-5.0, 0.1)}  # place -> value, spread
    return np.concatenate(
        [value + spread * rng.normal(size=(4, 6, 6)) for value, spread in centres.values()]
    )


def test_the_second_region_is_another_part_of_the_brain() -> None:
    # The second cluster is tighter than the third, but nearly the same slice as the first.
    found = similar_regions(_three_clusters(), n_latents=4, n_regions=2)
    assert [sorted(region) for region in found.tolist()] == [[0, 1, 2, 3], [8, 9, 10, 11]]


def test_a_centre_that_may_not_be_one_is_not() -> None:
    eligible_n = np.zeros(12, bool)
    eligible_n[[5, 6, 9]] = True
    found = similar_regions(_three_clusters(), n_latents=4, n_regions=2, eligible_n=eligible_n)
    assert sorted(found[0]) == [4, 5, 6, 7]
    assert found[1, 0] == 9


def test_the_nearest_are_those_of_a_plain_search_whatever_the_block(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    image_nhw = np.random.default_rng(1).normal(size=(50, 5, 5))
    flat = image_nhw.reshape(50, -1)
    distance = np.linalg.norm(flat[:, None] - flat[None], axis=2)
    tightness = np.sort(distance, axis=1)[:, 8]
    centre = int(tightness.argmin())
    found = similar_regions(image_nhw, n_latents=9, n_regions=1)
    assert found[0].tolist() == np.argsort(distance[centre])[:9].tolist()
    monkeypatch.setattr("gansfer.gan.similar_latents._ROWS_AT_ONCE", 7)
    assert np.array_equal(similar_regions(image_nhw, n_latents=9, n_regions=1), found)


def test_equal_slices_still_give_two_regions() -> None:
    found = similar_regions(np.ones((10, 4, 4)), n_latents=9, n_regions=2)
    assert found.shape == (2, 9)
    assert found[0, 0] != found[1, 0]


def test_too_few_latents_are_refused() -> None:
    with pytest.raises(ValueError, match="2 regions of 9 among 5 latents"):
        similar_regions(np.zeros((5, 4, 4)))


def test_the_median_distance_is_that_of_a_plain_loop() -> None:
    image_nhw = np.random.default_rng(2).normal(size=(7, 4, 5))
    pairs = itertools.combinations(image_nhw, 2)
    wanted = np.median([np.sqrt(np.square(a - b).mean()) for a, b in pairs])
    assert median_distance(image_nhw) == pytest.approx(wanted, rel=1e-5)
    assert median_distance(np.ones((3, 4, 5))) == 0
    assert np.isnan(median_distance(image_nhw[:1]))

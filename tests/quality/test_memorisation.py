from __future__ import annotations

import numpy as np
import pytest

from gansfer.quality.memorisation import audit, distance_to_other_people


def test_only_other_people_are_compared() -> None:
    rng = np.random.default_rng(0)
    image_nhw = rng.normal(size=(12, 4, 4)).astype(np.float32)
    person_n = list("abcabacbbcca")  # sessions in several stretches
    found = distance_to_other_people(image_nhw, person_n, ["b", "a"])
    expected = [
        min(
            np.linalg.norm(image_nhw[i] - image_nhw[j])
            for j in range(12)
            if person_n[j] != person_n[i]
        )
        for who in "ba"
        for i in range(12)
        if person_n[i] == who
    ]
    assert found == pytest.approx(expected, rel=1e-5)


def test_nobody_else_is_an_error() -> None:
    with pytest.raises(ValueError, match="nobody to compare"):
        distance_to_other_people(np.zeros((3, 2, 2)), ["a"] * 3, ["a"])


def test_copies_are_nearer_than_people() -> None:
    real_n = np.linspace(10, 20, 101)
    copied = audit(np.full(50, 2.0), real_n)
    assert copied.fraction_nearer == 1
    assert copied.made_percentiles[50] == 2
    assert copied.real_percentiles[50] == 15
    assert (copied.n_made, copied.n_real) == (50, 101)
    assert audit(real_n, real_n).fraction_nearer == pytest.approx(0.01, abs=0.005)


def test_nothing_to_compare_is_an_error() -> None:
    with pytest.raises(ValueError, match="no distances"):
        audit(np.zeros(0), np.ones(3))

from __future__ import annotations

import numpy as np

from gansfer.quality.sets import pairs_of_one_size, unlabelled_only
from gansfer.subjects import Subject, people_of
from tests.three_subjects import IDS, POOL_IDS, SHAPE_ZHW, everything_seen, three_subjects


def test_all_sessions_of_a_person_have_one_name() -> None:
    subjects = [
        Subject("L1", labelled=True),
        Subject("U1", in_pool=True, labelled_as="L1"),
        Subject("U1b", in_pool=True, repeat_of="U1"),
        Subject("U2", in_pool=True),
        Subject("U2b", in_pool=True, repeat_of="U2"),
    ]
    assert people_of(subjects) == {"L1": "L1", "U1": "L1", "U1b": "L1", "U2": "U2", "U2b": "U2"}


def test_sets_are_of_one_size_and_halves_share_nobody() -> None:
    person_n = np.repeat(["a", "b", "c", "d"], 10)
    real_n = np.arange(40)
    made = {1: np.arange(100, 130), 2: np.arange(200, 215)}
    found = {
        phase: (real, made)
        for phase, real, made in pairs_of_one_size(real_n, person_n, made, 12, 0)
    }
    assert sorted(found) == [0, 1, 2]
    assert {len(side) for pair in found.values() for side in pair} == {12}
    first, second = found[0]
    assert not set(person_n[first]) & set(person_n[second])
    assert np.array_equal(found[1][0], found[2][0])
    assert set(found[2][1]) <= set(range(200, 215))


def test_one_person_has_nobody_to_be_held_against() -> None:
    found = list(pairs_of_one_size(np.arange(9), np.repeat("a", 9), {3: np.arange(5)}, 100, 0))
    assert [(phase, len(real), len(made)) for phase, real, made in found] == [(3, 5, 5)]


def test_labelled_subjects_of_the_pool_count_once() -> None:
    assert unlabelled_only((*IDS, *POOL_IDS), IDS) == list(POOL_IDS)


def test_every_real_slice_is_of_its_own_person() -> None:
    cohort, real = three_subjects(), everything_seen()
    z = SHAPE_ZHW[0]
    assert len(real.image_nhw) == len(real.person_n) == 6 * z
    for place, who in enumerate((*POOL_IDS, *IDS)):
        here = slice(place * z, (place + 1) * z)
        assert np.array_equal(real.image_nhw[here], cohort.image_of[who])
        assert set(real.person_n[here]) == {"A" if who == "P0" else who}
    for n, who in enumerate(IDS):
        here = slice(n * z, (n + 1) * z)
        assert np.array_equal(real.labelled_khw[here], cohort.image_of[who])
        assert np.array_equal(real.label_khw[here], cohort.label_of[who])
        assert set(real.labelled_person_k[here]) == {who}

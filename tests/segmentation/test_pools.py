"""Whose slices are in a segmenter's pools, by three subjects."""

from __future__ import annotations

import numpy as np

from gansfer.segmentation.pools import joined, real_pool, synthetic_pool
from tests.three_subjects import IDS, SHAPE_ZHW, three_subjects


def test_every_real_slice_is_of_its_own_subject() -> None:
    cohort = three_subjects()
    pool = real_pool(cohort.images(IDS), cohort.labels(IDS))
    assert len(pool.image_nhw) == 3 * SHAPE_ZHW[0]
    for n, one in enumerate(IDS):
        own = pool.subject_n == n
        assert np.array_equal(pool.image_nhw[own], cohort.image_of[one])
        assert np.array_equal(pool.label_nhw[own], cohort.label_of[one])


def test_every_synthetic_slice_is_a_subject_of_its_own() -> None:
    cohort = three_subjects()
    image_khw = cohort.images(["C"])[0].astype(np.float16)
    pool = synthetic_pool(image_khw, cohort.label_of["C"])
    assert len(set(pool.subject_n.tolist())) == SHAPE_ZHW[0]
    assert pool.image_nhw.dtype == np.float32
    assert np.array_equal(pool.image_nhw, image_khw)
    assert np.array_equal(pool.label_nhw, cohort.label_of["C"])


def test_joined_pools_keep_every_slice_and_every_subject() -> None:
    cohort = three_subjects()
    real = real_pool(cohort.images(IDS), cohort.labels(IDS))
    drawn = synthetic_pool(cohort.images(["C"])[0], cohort.label_of["C"])
    both = joined(real, drawn)
    assert both is not None and len(set(both.subject_n.tolist())) == 3 + SHAPE_ZHW[0]
    assert np.array_equal(both.image_nhw, np.concatenate([real.image_nhw, drawn.image_nhw]))
    assert np.array_equal(both.label_nhw, np.concatenate([real.label_nhw, drawn.label_nhw]))
    assert (joined(real, None), joined(None, drawn), joined(None, None)) == (real, drawn, None)

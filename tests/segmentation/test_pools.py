"""Whose slices are in a segmenter's pools, by three subjects."""

from __future__ import annotations

import numpy as np

from gansfer.segmentation.pools import real_pool, synthetic_pool
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

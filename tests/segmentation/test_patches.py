from __future__ import annotations

import numpy as np
import pytest
import torch

from gansfer.errors import UserError
from gansfer.segmentation.patches import (
    Pool,
    Sampler,
    Segments,
    border_value,
    cut,
    draw,
    probability_synthetic,
)
from gansfer.segmentation.presets import PRESETS


def pool_of(n_slices: int = 6, height: int = 30, width: int = 34, per_subject: int = 2) -> Pool:
    rng = np.random.default_rng(0)
    image_nhw = rng.normal(size=(n_slices, height, width)).astype(np.float32)
    label_nhw = (rng.random((n_slices, height, width)) < 0.1).astype(np.uint8) * 2
    return Pool(image_nhw, label_nhw, np.arange(n_slices) // per_subject)


@pytest.mark.parametrize("name", PRESETS)
def test_patch_is_the_padded_image_around_the_centre(name: str) -> None:
    """Against real padding: reflection of 8, then the mean of the corners."""
    preset, pool = PRESETS[name], pool_of()
    edge = preset.output_px // 2
    segments = Segments(
        np.zeros(4, dtype=np.int64),
        np.array([0, 3, 3, 5]),
        np.array([edge, 29 - edge, 15, 12]),
        np.array([edge, 33 - edge, 16, 20]),
        np.array([False, False, True, True]),
    )
    image, label = torch.from_numpy(pool.image_nhw), torch.from_numpy(pool.label_nhw)
    patch_n1pp, label_noo = cut(image, label, segments, preset)
    side = preset.patch_px(preset.output_px)
    assert patch_n1pp.shape == (4, 1, side, side)
    assert label_noo.shape == (4, preset.output_px, preset.output_px)
    for n in range(4):
        padded = np.pad(pool.image_nhw[segments.slice_n[n]], 8, mode="reflect")
        corners = padded[[0, 0, -1, -1], [0, -1, 0, -1]].mean()
        padded = np.pad(padded, side, constant_values=corners)
        top, left = (at + side + 8 - side // 2 for at in (segments.row_n[n], segments.column_n[n]))
        wanted = padded[top : top + side, left : left + side]
        row, column = segments.row_n[n] - edge, segments.column_n[n] - edge
        size = preset.output_px
        label_hw = pool.label_nhw[segments.slice_n[n]][row : row + size, column : column + size]
        if segments.mirrored_n[n]:
            wanted, label_hw = wanted[:, ::-1], label_hw[:, ::-1]
        np.testing.assert_allclose(patch_n1pp[n, 0], wanted, rtol=1e-6)
        np.testing.assert_array_equal(label_noo[n], label_hw)


def test_border_is_the_mean_of_the_padded_corners() -> None:
    image = np.random.default_rng(0).normal(size=(2, 20, 24)).astype(np.float32)
    padded = np.pad(image, ((0, 0), (8, 8), (8, 8)), mode="reflect")
    wanted = padded[:, [0, 0, -1, -1], [0, -1, 0, -1]].mean(1)
    np.testing.assert_allclose(border_value(torch.from_numpy(image)), wanted, rtol=1e-6)


def test_half_of_the_centres_lie_on_a_structure_and_outputs_inside_the_image() -> None:
    pool = pool_of()
    slice_n, row_n, column_n = Sampler(pool, 9).draw(10_000, 0.5, np.random.default_rng(1))
    on_structure = pool.label_nhw[slice_n, row_n, column_n] > 0
    assert on_structure.mean() == pytest.approx(0.5, abs=0.02)
    assert (row_n.min(), row_n.max()) == (4, 25)
    assert (column_n.min(), column_n.max()) == (4, 29)


def test_subjects_are_drawn_equally_however_many_slices_they_have() -> None:
    pool = pool_of(n_slices=6)
    subject_n = np.array([7, 3, 3, 3, 3, 3])
    sampler = Sampler(Pool(pool.image_nhw, pool.label_nhw, subject_n), 9)
    slice_n, _, _ = sampler.draw(10_000, 0.5, np.random.default_rng(2))
    assert sampler.n_subjects == 2
    assert np.mean(slice_n == 0) == pytest.approx(0.5, abs=0.02)
    assert np.bincount(slice_n, minlength=6)[1:].min() > 800


def test_every_pixel_of_a_category_is_drawn_equally_often() -> None:
    """A slow count over a hand-drawn pool whose second slice holds most of the foreground."""
    label = np.zeros((2, 13, 13), dtype=np.uint8)
    label[0, 6, 6] = 1
    label[1, 5:8, 5:7] = 3
    label[1, 0, 0] = 1  # no segment's output fits around it
    pool = Pool(np.zeros((2, 13, 13), dtype=np.float32), label, np.array([0, 0]))
    drawn = Sampler(pool, 9).draw(14_000, 0.5, np.random.default_rng(3))
    count = np.zeros(label.shape, dtype=int)
    for where in zip(*drawn, strict=True):
        count[where] += 1
    foreground = np.zeros(label.shape, dtype=bool)
    foreground[:, 4:9, 4:9] = label[:, 4:9, 4:9] > 0
    background = np.zeros(label.shape, dtype=bool)
    background[:, 4:9, 4:9] = label[:, 4:9, 4:9] == 0
    assert count[~foreground & ~background].sum() == 0
    np.testing.assert_allclose(count[foreground], 1000, atol=130)
    np.testing.assert_allclose(count[background], 7000 / 43, atol=60)


def test_a_subject_without_foreground_gives_background() -> None:
    pool = pool_of(n_slices=1, per_subject=1)
    empty = Pool(pool.image_nhw, np.zeros_like(pool.label_nhw), pool.subject_n)
    full = Pool(pool.image_nhw, np.ones_like(pool.label_nhw), pool.subject_n)
    for one in (empty, full):
        slice_n, _, _ = Sampler(one, 9).draw(50, 0.5, np.random.default_rng(0))
        assert (slice_n == 0).all()


@pytest.mark.parametrize("ratio", [100.0, 10.0, 2.0, 1.0])
def test_pools_mix_at_the_wanted_ratio(ratio: float) -> None:
    samplers = [Sampler(pool_of(), 9), Sampler(pool_of(n_slices=3, per_subject=1), 9)]
    chance = probability_synthetic(ratio, has_real=True, has_synthetic=True)
    segments = draw(samplers, chance, 10_000, np.random.default_rng(4))
    wanted = 1 / (1 + ratio)
    assert np.mean(segments.pool_n) == pytest.approx(wanted, abs=3.5 * (wanted / 10_000) ** 0.5)
    assert segments.slice_n[segments.pool_n == 1].max() == 2
    assert segments.slice_n[segments.pool_n == 0].max() == 5
    assert segments.mirrored_n.mean() == pytest.approx(0.5, abs=0.02)


@pytest.mark.parametrize(("which", "chance"), [(0, 0.0), (1, 1.0)])
def test_one_pool_alone(which: int, chance: float) -> None:
    assert probability_synthetic(None, has_real=which == 0, has_synthetic=which == 1) == chance
    samplers: list[Sampler | None] = [None, None]
    samplers[which] = Sampler(pool_of(), 9)
    segments = draw(samplers, chance, 100, np.random.default_rng(0), reflection_probability=0.0)
    assert (segments.pool_n == which).all() and not segments.mirrored_n.any()


def test_contradictions_are_refused() -> None:
    with pytest.raises(ValueError, match="neither a real nor a synthetic pool"):
        probability_synthetic(None, has_real=False, has_synthetic=False)
    with pytest.raises(ValueError, match="ratio 2 with one pool"):
        probability_synthetic(2.0, has_real=True, has_synthetic=False)
    with pytest.raises(ValueError, match="ratio None with two pools"):
        probability_synthetic(None, has_real=True, has_synthetic=True)
    image = np.zeros((2, 12, 12), dtype=np.float32)
    with pytest.raises(ValueError, match=r"labels \(2, 12, 11\)"):
        Pool(image, np.zeros((2, 12, 11), dtype=np.uint8), np.arange(2))
    with pytest.raises(UserError, match=r"synthetic: 0 slices.*everything rejected"):
        Pool(image[:0], np.zeros((0, 12, 12), dtype=np.uint8), np.arange(0), name="synthetic")
    small = Pool(image, np.zeros((2, 12, 12), dtype=np.uint8), np.arange(2), name="real")
    with pytest.raises(UserError, match=r"real: slices of 12 x 12 px, at least 21 wanted"):
        Sampler(small, 21)

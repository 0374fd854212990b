"""The channel code against a slow oracle written from the method's words."""

import json
from typing import Any

import numpy as np
import pytest

from gansfer.cohort.encode import ChannelCode, fit_code, white_matter_shift
from gansfer.errors import UserError

STRUCTURES = ("dark", "bright")


def group(seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    image_nzhw = rng.normal(0, 1, (2, 3, 6, 6)).astype(np.float32)
    label_nzhw = rng.integers(0, 3, image_nzhw.shape).astype(np.uint8)
    white_n = np.array([1.0, 1.2], np.float32)
    image_nzhw[label_nzhw == 1] -= 1.0
    image_nzhw[label_nzhw == 2] += 4.0
    pool_mzhw = rng.normal(0, 2, (4, 3, 6, 6)).astype(np.float32)
    return image_nzhw, label_nzhw, white_n, pool_mzhw


def fitted(structures: tuple[str, ...] = STRUCTURES, **settings: Any) -> ChannelCode:
    chosen: dict[str, Any] = {"mr_percentiles": (1.0, 95.0), "label_percentile": 90.0, **settings}
    image_nzhw, label_nzhw, white_n, pool_mzhw = group()
    return fit_code(image_nzhw, label_nzhw, white_n, pool_mzhw, structures, **chosen)


def oracle(
    image_nzhw: np.ndarray,
    label_nzhw: np.ndarray,
    white_n: np.ndarray,
    pool_mzhw: np.ndarray,
    mr_percentiles: tuple[float, float],
    label_percentile: float,
) -> tuple[np.ndarray, list[int]]:
    """Voxel by voxel: channels [K, C, H, W] and clip counts."""
    everything = [float(v) for v in image_nzhw.flat] + [float(v) for v in pool_mzhw.flat]
    low, high = np.percentile(everything, mr_percentiles)
    n_subjects, n_z, n_h, n_w = image_nzhw.shape
    out = np.zeros((n_subjects * n_z, 3, n_h, n_w))
    clipped = [0, 0, 0]
    for s in (1, 2):
        inside = [
            float(image_nzhw[i]) - float(white_n[i[0]])
            for i in np.ndindex(image_nzhw.shape)
            if label_nzhw[i] == s
        ]
        sign = -1 if np.mean(inside) < 0 else 1
        top = np.percentile([max(sign * v, 0) for v in inside], label_percentile)
        for n, z, h, w in np.ndindex(image_nzhw.shape):
            contrast = 0.0
            if label_nzhw[n, z, h, w] == s:
                contrast = sign * (float(image_nzhw[n, z, h, w]) - float(white_n[n]))
            clipped[s] += contrast < 0 or contrast > top * (1 + 1e-6)
            out[n * n_z + z, s, h, w] = min(max(contrast, 0), top) / top * 2 - 1
    for n, z, h, w in np.ndindex(image_nzhw.shape):
        value = float(image_nzhw[n, z, h, w])
        clipped[0] += value < low or value > high
        value = min(max(value, low), high)
        out[n * n_z + z, 0, h, w] = (value - low) / (high - low) * 2 - 1
    return out, clipped


def test_encode_equals_the_slow_oracle() -> None:
    image_nzhw, label_nzhw, white_n, pool_mzhw = group()
    channels_kchw, n_clipped_c = fitted().encode(image_nzhw, label_nzhw, white_n)
    expected, clipped = oracle(image_nzhw, label_nzhw, white_n, pool_mzhw, (1.0, 95.0), 90.0)
    assert channels_kchw.dtype == np.float32
    np.testing.assert_allclose(channels_kchw, expected, atol=1e-5)
    assert n_clipped_c.tolist() == clipped
    assert min(clipped) > 0


def test_sign_is_negative_where_a_structure_is_darker_than_white_matter() -> None:
    assert fitted().sign_s == (-1, 1)


def test_outside_a_structure_is_exactly_minus_one() -> None:
    image_nzhw, label_nzhw, white_n, _ = group()
    channels_kchw, _ = fitted().encode(image_nzhw, label_nzhw, white_n)
    outside = label_nzhw.reshape(-1, 6, 6) != 1
    assert (channels_kchw[:, 1][outside] == -1).all()
    assert np.abs(channels_kchw).max() <= 1


def test_decode_inverts_encode_where_nothing_is_clipped() -> None:
    image_nzhw, label_nzhw, white_n, _ = group()
    code = fitted(mr_percentiles=(0.0, 100.0), label_percentile=100.0)
    channels_kchw, n_clipped_c = code.encode(image_nzhw, label_nzhw, white_n)
    image_khw, contrast_kshw = code.decode(channels_kchw)
    np.testing.assert_allclose(image_khw, image_nzhw.reshape(-1, 6, 6), atol=1e-5)
    assert n_clipped_c[0] == 0
    for s, sign in enumerate(code.sign_s):
        wanted = sign * (image_nzhw - white_n[:, None, None, None]) * (label_nzhw == s + 1)
        wanted = np.maximum(wanted, 0).reshape(-1, 6, 6)
        np.testing.assert_allclose(contrast_kshw[:, s], wanted, atol=1e-5)


def test_images_alone_are_encoded_as_channel_zero() -> None:
    image_nzhw, label_nzhw, white_n, _ = group()
    code = fitted()
    alone = code.encode_images(image_nzhw)
    assert alone.shape == (6, 1, 6, 6)
    np.testing.assert_array_equal(
        alone[:, 0], code.encode(image_nzhw, label_nzhw, white_n)[0][:, 0]
    )


def test_code_survives_json() -> None:
    code = fitted(level_percentile=99.0)
    assert code.white_matter_shift != 0
    assert ChannelCode.from_dict(json.loads(json.dumps(code.to_dict()))) == code


def test_an_empty_pool_is_allowed() -> None:
    image_nzhw, label_nzhw, white_n, _ = group()
    code = fit_code(
        image_nzhw, label_nzhw, white_n, image_nzhw[:0], STRUCTURES, (0.0, 100.0), 100.0
    )
    assert code.gain_c[0] == pytest.approx(2 / np.ptp(image_nzhw))


def test_absent_structure_is_refused_by_name() -> None:
    with pytest.raises(UserError, match="no voxel of third in the group's 2 labelled subjects"):
        fitted((*STRUCTURES, "third"))


def test_constant_images_are_refused() -> None:
    image_nzhw, label_nzhw, white_n, pool_mzhw = group()
    with pytest.raises(UserError, match="percentiles 1 and 95 are both 0"):
        fit_code(image_nzhw * 0, label_nzhw, white_n, pool_mzhw * 0, STRUCTURES, (1.0, 95.0), 90.0)


def test_structure_as_bright_as_white_matter_is_refused() -> None:
    image_nzhw, label_nzhw, white_n, pool_mzhw = group()
    image_nzhw = np.where(label_nzhw == 1, white_n[:, None, None, None], image_nzhw)
    with pytest.raises(UserError, match="dark has no contrast to white matter"):
        fit_code(image_nzhw, label_nzhw, white_n, pool_mzhw, STRUCTURES, (1.0, 95.0), 90.0)


def test_shift_is_just_enough_for_the_structure_that_needs_most() -> None:
    rng = np.random.default_rng(0)
    dark_m = rng.normal(-1.5, 0.3, 5000).astype(np.float32)
    like_white_m = rng.normal(-0.2, 0.2, 5000).astype(np.float32)
    for least in (0.0, 0.25):
        shift = white_matter_shift([dark_m, like_white_m], 99.0, least)
        contrast_m = shift - like_white_m.astype(np.float64)
        assert (contrast_m > least * contrast_m.mean()).mean() == pytest.approx(0.99, abs=2e-4)
        assert shift > 0
        # Where structures are brighter than white matter (T2), the level goes down as far.
        mirrored = white_matter_shift([-dark_m, -like_white_m], 99.0, least)
        assert mirrored == pytest.approx(-shift)
    assert white_matter_shift([dark_m], 99.0, 0.0) == 0.0


def test_a_structure_like_white_matter_is_kept_whole_and_stays_linear_in_the_mr() -> None:
    rng = np.random.default_rng(1)
    label_nzhw = rng.integers(0, 3, (2, 4, 20, 20)).astype(np.uint8)
    white_n = np.array([1.0, 1.2], np.float32)
    image_nzhw = (white_n[:, None, None, None] + rng.normal(0, 0.2, label_nzhw.shape)).astype(
        np.float32
    )
    image_nzhw[label_nzhw == 1] -= 1.5
    image_nzhw[label_nzhw == 2] -= 0.1
    kept = {}
    for percentile in (None, 99.0):
        code = fit_code(
            image_nzhw, label_nzhw, white_n, image_nzhw[:0], STRUCTURES, (0.0, 100.0), 100.0,
            percentile, 0.25,
        )  # fmt: skip
        _, contrast_kshw = code.decode(code.encode(image_nzhw, label_nzhw, white_n)[0])
        own_khw = (label_nzhw == 2).reshape(-1, 20, 20)
        value_m = contrast_kshw[:, 1][own_khw]
        kept[percentile] = (value_m > 0.25 * value_m.mean()).mean()
    assert kept[None] < 0.75
    assert kept[99.0] > 0.985
    below_level_m = (white_n[:, None, None, None] + code.white_matter_shift - image_nzhw).reshape(
        -1, 20, 20
    )[own_khw]
    above_m = below_level_m > 0
    np.testing.assert_allclose(value_m[above_m], below_level_m[above_m], atol=1e-5)
    assert code.sign_s == (-1, -1)

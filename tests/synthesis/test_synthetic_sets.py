import dataclasses
from pathlib import Path

import h5py
import numpy as np
import pytest

from gansfer.errors import UserError
from gansfer.synthesis.synthetic_sets import (
    SyntheticSet,
    concatenate,
    read_synthetic,
    write_synthetic,
)


def _set(n: int = 5, seed: int = 7) -> SyntheticSet:
    rng = np.random.default_rng(seed)
    return SyntheticSet(
        image_khw=rng.normal(size=(n, 4, 6)).astype(np.float16),
        label_khw=rng.integers(0, 8, (n, 4, 6)).astype(np.uint8),
        slice_index_k=np.arange(n, dtype=np.int32),
        score_k=np.linspace(1, 2, n, dtype=np.float32),
        kept_k=np.arange(n) % 2 == 0,
        latent_seed_k=np.full(n, 2**62 + seed, np.int64),
        latent_index_k=np.arange(n, dtype=np.int64) + 100,
    )


def _assert_equal(first: SyntheticSet, second: SyntheticSet) -> None:
    for field in dataclasses.fields(SyntheticSet):
        a, b = getattr(first, field.name), getattr(second, field.name)
        assert a.dtype == b.dtype, field.name
        np.testing.assert_array_equal(a, b, err_msg=field.name)


def test_what_is_written_is_read_rejected_slices_too(tmp_path: Path) -> None:
    written = _set()
    write_synthetic(tmp_path / "phase-2.h5", written, {"phase": 2, "units": "z-score"})
    _assert_equal(read_synthetic(tmp_path / "phase-2.h5", kept_only=False), written)
    with h5py.File(tmp_path / "phase-2.h5") as file:
        assert dict(file.attrs) == {"phase": 2, "units": "z-score"}
    assert [p.name for p in tmp_path.iterdir()] == ["phase-2.h5"]


def test_kept_only_is_the_default(tmp_path: Path) -> None:
    write_synthetic(tmp_path / "a.h5", _set(), {})
    assert read_synthetic(tmp_path / "a.h5").latent_index_k.tolist() == [100, 102, 104]


def test_empty_set_survives(tmp_path: Path) -> None:
    write_synthetic(tmp_path / "a.h5", _set(0), {})
    assert len(read_synthetic(tmp_path / "a.h5")) == 0


def test_union_keeps_order_and_origin() -> None:
    union = concatenate([_set(3, seed=1), _set(2, seed=2)])
    assert union.latent_index_k.tolist() == [100, 101, 102, 100, 101]
    assert (union.latent_seed_k - 2**62).tolist() == [1, 1, 1, 2, 2]
    np.testing.assert_array_equal(union.image_khw[3:], _set(2, seed=2).image_khw)
    with pytest.raises(ValueError, match="no synthetic sets"):
        concatenate([])


def test_kept_but_not_finite_is_refused_and_leaves_no_file(tmp_path: Path) -> None:
    bad = _set()
    bad.image_khw[2, 0, 0] = np.nan
    with pytest.raises(UserError, match="1 of 5 slices are kept but not finite"):
        write_synthetic(tmp_path / "a.h5", bad, {})
    assert not list(tmp_path.iterdir())
    rejected = _set()
    rejected.image_khw[1, 0, 0] = np.nan
    write_synthetic(tmp_path / "a.h5", rejected, {})


def test_columns_of_other_lengths_are_refused() -> None:
    with pytest.raises(ValueError, match="score_k has 4 entries for 5 slices"):
        dataclasses.replace(_set(), score_k=np.zeros(4, np.float32))
    with pytest.raises(ValueError, match="expected the same three axes"):
        dataclasses.replace(_set(), label_khw=np.zeros((5, 4, 5), np.uint8))


def test_damaged_files_are_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"gone\.h5: missing; run the stage synthesise again"):
        read_synthetic(tmp_path / "gone.h5")
    (tmp_path / "junk.h5").write_bytes(b"junk")
    with pytest.raises(UserError, match=r"junk\.h5: cannot be read"):
        read_synthetic(tmp_path / "junk.h5")
    with h5py.File(tmp_path / "other.h5", "w") as file:
        file["image"] = np.zeros((1, 2, 2))
    with pytest.raises(UserError, match=r"other\.h5: no label, slice_index"):
        read_synthetic(tmp_path / "other.h5")

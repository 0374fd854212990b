"""Damaged files end as one line."""

from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from gansfer.errors import UserError
from gansfer.readers.files.nifti import load_volume


def saved(path: Path, array: np.ndarray, affine: np.ndarray | None = None) -> Path:
    nib.save(nib.Nifti1Image(array, np.eye(4) if affine is None else affine), path)
    return path


def numbers(shape: tuple[int, ...] = (4, 5, 6)) -> np.ndarray:
    return np.arange(np.prod(shape), dtype=np.int16).reshape(shape)


def test_a_trailing_axis_of_one_is_dropped(tmp_path: Path) -> None:
    volume = load_volume(saved(tmp_path / "a.nii.gz", numbers()[..., None]))
    np.testing.assert_array_equal(volume.array_xyz, numbers())


def test_missing_file(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"a\.nii\.gz: no such file; is the download complete\?"):
        load_volume(tmp_path / "a.nii.gz")


@pytest.mark.parametrize("keep", [0, 20, 200, 0.6])
def test_truncated_gzip(tmp_path: Path, keep: float) -> None:
    noise = np.random.default_rng(0).integers(0, 999, (20, 20, 20)).astype(np.int16)
    path = saved(tmp_path / "a.nii.gz", noise)
    whole = path.read_bytes()
    path.write_bytes(whole[: int(keep if keep >= 1 or keep == 0 else keep * len(whole))])
    with pytest.raises(UserError, match=r"a\.nii\.gz: cannot be read \(.*\); download it again"):
        load_volume(path)


@pytest.mark.parametrize("name", ["a.nii.gz", "a.mgz"])
def test_a_flipped_bit_is_noticed_wherever_it_is(tmp_path: Path, name: str) -> None:
    noise = np.random.default_rng(0).integers(0, 999, (16, 16, 16)).astype(np.int16)
    kind = nib.MGHImage if name.endswith(".mgz") else nib.Nifti1Image
    nib.save(kind(noise, np.eye(4)), tmp_path / name)
    whole = (tmp_path / name).read_bytes()
    np.testing.assert_array_equal(load_volume(tmp_path / name).array_xyz, noise)
    for at in (*range(len(whole) // 9, len(whole) - 8, len(whole) // 9), len(whole) - 6):
        flipped = bytearray(whole)
        flipped[at] ^= 4  # the last place is in the checksum itself
        (tmp_path / name).write_bytes(flipped)
        with pytest.raises(UserError, match=rf"{name}: cannot be read \(.*\); download it again"):
            load_volume(tmp_path / name)


def test_truncated_without_compression(tmp_path: Path) -> None:
    path = saved(tmp_path / "a.nii", numbers())
    path.write_bytes(path.read_bytes()[:-10])
    with pytest.raises(UserError, match=r"a\.nii: cannot be read"):
        load_volume(path)


def test_another_kind_of_file(tmp_path: Path) -> None:
    path = tmp_path / "a.nii.gz"
    path.write_text("<html>404</html>")
    with pytest.raises(UserError, match=r"a\.nii\.gz: cannot be read"):
        load_volume(path)


@pytest.mark.parametrize(("shape", "said"), [((4, 5), "4 x 5"), ((4, 5, 6, 2), "4 x 5 x 6 x 2")])
def test_not_three_dimensions(tmp_path: Path, shape: tuple[int, ...], said: str) -> None:
    with pytest.raises(UserError, match=f"shape {said}.*, expected three dimensions"):
        load_volume(
            saved(tmp_path / "a.nii.gz", np.arange(np.prod(shape), dtype=np.int16).reshape(shape))
        )


def test_not_finite(tmp_path: Path) -> None:
    array = numbers().astype(np.float32)
    array[0, 0, :2] = np.nan, np.inf
    with pytest.raises(UserError, match=r"a\.nii: 2 voxels are not finite"):
        load_volume(saved(tmp_path / "a.nii", array))


def test_constant(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"a\.nii: every voxel is 3"):
        load_volume(saved(tmp_path / "a.nii", np.full((4, 4, 4), 3, np.int16)))


@pytest.mark.parametrize("name", ["a.nii", "a.nii.gz"])
@pytest.mark.parametrize("byte_order", ["<", ">"])
def test_nifti_2(tmp_path: Path, name: str, byte_order: str) -> None:
    header = nib.Nifti2Header(endianness=byte_order)
    header.set_data_dtype(np.int16)
    nib.save(nib.Nifti2Image(numbers(), np.diag([2.0, 2, 2, 1]), header), tmp_path / name)
    volume = load_volume(tmp_path / name)
    np.testing.assert_array_equal(volume.array_xyz, numbers())
    assert volume.affine_ras[0, 0] == 2
    assert volume.placed

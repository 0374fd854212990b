"""What may be named as new images, and what is said of what may not."""

from __future__ import annotations

from pathlib import Path

import pytest

from gansfer.errors import UserError
from jobs.application.new_images import new_images
from tests.readers.layouts import FOLDER_AFFINE, FOLDER_SHAPE, brain, write_bids, write_nifti


def ids(*paths: Path, masks: tuple[Path, ...] = (), table: Path | None = None) -> list[str]:
    source = new_images(paths, masks, table, in_common_space=True)
    return [one.id for one in source.subjects()]


def test_files_are_named_by_their_names(tmp_path: Path) -> None:
    names = ("sub-01_T1w.nii.gz", "b.mgz", "c.x.nii", "D.NII.GZ")
    assert ids(*(tmp_path / one for one in names)) == ["sub-01_T1w", "b", "c.x", "D"]


def test_masks_go_with_their_images_in_order(tmp_path: Path) -> None:
    paths = [
        write_nifti(tmp_path / f"{name}.nii.gz", brain(FOLDER_SHAPE, n), FOLDER_AFFINE)
        for n, name in enumerate("abcd")
    ]
    source = new_images(paths[:2], paths[2:], None, in_common_space=True)
    assert source.files("b") == (paths[1], paths[3])


def test_a_table_need_not_name_every_image_of_its_folder(tmp_path: Path) -> None:
    for n, name in enumerate("ab"):
        write_nifti(tmp_path / f"{name}.nii.gz", brain(FOLDER_SHAPE, n), FOLDER_AFFINE)
    (tmp_path / "people.csv").write_text("id,image\nfirst,a.nii.gz\n")
    assert ids(table=tmp_path / "people.csv") == ["first"]


def test_a_bids_folder_is_read_with_its_masks(tmp_path: Path) -> None:
    root = write_bids(tmp_path / "bids")
    masks = root / "derivatives" / "masks"
    source = new_images([root], [masks], None, in_common_space=True)
    assert [one.id for one in source.subjects()] == ["sub-01", "sub-02", "sub-03"]
    assert any("mask" in path.name for path in source.files("sub-01"))


def test_what_does_not_go_together_is_refused(tmp_path: Path) -> None:
    image, other = tmp_path / "a.nii.gz", tmp_path / "x" / "a.nii.gz"
    for given, said in (
        ({}, "no image: give files"),
        ({"paths": (image,), "table": tmp_path / "t.csv"}, "give no others beside it"),
        ({"paths": (image,), "masks": (image, image)}, "2 masks for 1 images"),
        ({"paths": (image, other)}, "id 'a' is given twice"),
        ({"paths": (image, tmp_path)}, "a folder among files"),
        ({"paths": (tmp_path,), "masks": (image,)}, "expected one folder, the derivative"),
        ({"paths": (tmp_path / "my brain.nii",)}, "id 'my brain' is no file name"),
    ):
        with pytest.raises(UserError, match=said):
            ids(*given.pop("paths", ()), **given)  # type: ignore[misc]

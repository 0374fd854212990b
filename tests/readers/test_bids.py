"""A BIDS dataset with derivatives, in miniature."""

from pathlib import Path

import numpy as np
import pytest

from gansfer.errors import UserError
from gansfer.readers.bids import Derivative, list_bids
from gansfer.readers.listed import ListedSource
from gansfer.readers.protocols import LabelProtocol
from tests.readers.layouts import FOLDER_AFFINE, FOLDER_SHAPE, brain, write_bids, write_nifti

STRUCTURES = ("hippocampus", "thalamus")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return write_bids(tmp_path / "data")


def source(root: Path, numbers: LabelProtocol | None = None) -> ListedSource:
    folder = root / "derivatives"
    manual = Derivative(folder / "manual", "*_dseg.nii*", numbers, STRUCTURES)
    listing = list_bids(root, masks=Derivative(folder / "masks", "*_mask.nii*"), labels=manual)
    return ListedSource(listing, in_common_space=False)


def with_sessions(root: Path) -> None:
    """sub-03 is scanned twice."""
    anat = root / "sub-03" / "anat"
    for session in ("ses-a", "ses-b"):
        name = f"sub-03_{session}_T1w.nii.gz"
        write_nifti(root / "sub-03" / session / "anat" / name, brain(FOLDER_SHAPE), FOLDER_AFFINE)
    next(anat.iterdir()).unlink()
    anat.rmdir()
    (root / "sub-03" / "sub-03_sessions.tsv").write_text(
        "session_id\tage\ncdr\nses-a\t70\nses-b\t72\n".replace("age\ncdr", "age")
    )


def test_people_masks_and_labels(root: Path) -> None:
    found = source(root)
    subjects = found.subjects()
    assert [one.id for one in subjects] == ["sub-01", "sub-02", "sub-03"]
    assert [one.labelled for one in subjects] == [True, True, False]
    assert (subjects[0].age_years, subjects[0].sex, subjects[0].cdr) == (60, "F", 0.5)
    assert subjects[1].cdr is None
    raw = found.load("sub-01")
    np.testing.assert_array_equal(raw.brain_mask, brain(FOLDER_SHAPE, 0) != 0)
    assert raw.label is not None and raw.white_matter_mask is not None
    assert np.bincount(raw.label.ravel())[1:].tolist() == [96, 48]
    assert not raw.in_common_space


def test_a_protocol_overrides_the_segmentations_own_table(root: Path) -> None:
    numbers = LabelProtocol.named("labels", {"hippocampus": [10], "thalamus": [53]}, STRUCTURES)
    raw = source(root, numbers).load("sub-01")
    assert raw.label is not None
    assert np.bincount(raw.label.ravel())[1:].tolist() == [24, 48]


def test_the_nearest_fitting_table_is_taken(root: Path) -> None:
    manual = root / "derivatives" / "manual"
    swapped = "index\tname\n10\tL Hippocampus\n53\tthalamus_R\n"
    (manual / "desc-manual_dseg.tsv").write_text(swapped)
    (manual / "desc-other_dseg.tsv").write_text("index\tname\n1\tnothing\n")
    raw = source(root).load("sub-01")
    assert raw.label is not None
    assert np.bincount(raw.label.ravel())[1:].tolist() == [24, 48]
    (manual / "dseg.tsv").unlink()
    (manual / "desc-manual_dseg.tsv").unlink()
    with pytest.raises(UserError, match=r"no dseg\.tsv beside it or in a folder above"):
        source(root).subjects()


def test_sessions_have_their_own_ages_and_repeat_the_first(root: Path) -> None:
    with_sessions(root)
    by_id = {one.id: one for one in source(root).subjects()}
    assert list(by_id)[2:] == ["sub-03_ses-a", "sub-03_ses-b"]
    assert [by_id[f"sub-03_ses-{s}"].age_years for s in "ab"] == [70, 72]
    assert by_id["sub-03_ses-b"].repeat_of == "sub-03_ses-a"


def test_unknown_sessions(root: Path) -> None:
    with_sessions(root)
    table = root / "sub-03" / "sub-03_sessions.tsv"
    table.write_text("session_id\tage\nses-a\t70\nses-c\t72\n")
    with pytest.raises(UserError) as caught:
        source(root).subjects()
    assert str(caught.value).splitlines() == [
        f"{table}: line 3: unknown session ses-c; there are ses-a, ses-b: add its folder, or drop "
        "the row",
        f"{root / 'sub-03' / 'ses-b'}: unknown session; it is in no row of {table}: add a row, or "
        "move the folder away",
    ]


@pytest.mark.parametrize(
    ("name", "plain"),
    [
        ("Left-Thalamus-Proper", "thalamus"),
        ("rightHippocampus", "hippocampus"),
        ("Left-Accumbens-area", "accumbens"),
        ("ctx-lh-insula", "insula"),
        ("amygdala_L", "amygdala"),
    ],
)
def test_names_of_tables(tmp_path: Path, name: str, plain: str) -> None:
    path = tmp_path / "dseg.tsv"
    path.write_text(f"index\tname\n7\t{name}\n")
    assert dict(LabelProtocol.from_table(path, (plain,)).value_of) == {7: 1}

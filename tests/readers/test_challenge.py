"""The labelled set, the references, and both combined with OASIS-1."""

from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from gansfer.errors import UserError
from gansfer.readers.challenge import ChallengeSource
from gansfer.readers.combined import CombinedSource
from gansfer.readers.oasis import OasisSource
from gansfer.readers.references import ReferenceFolder
from tests.readers.layouts import (
    T88_SHAPE,
    brain,
    lengthen_quaternion,
    write_challenge,
    write_nifti,
    write_t88,
)

STRUCTURES = ("hippocampus", "thalamus")
HEADER = "id,oasis_session,age_years,sex,cdr,part,repeat_of"
ROWS = [
    "1000,OAS1_0001_MR1,20,F,0,training,",
    "1001,OAS1_0002_MR1,68,M,0.5,training,",
    "1023,OAS1_0001_MR2,20,F,0,testing,1000",
]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write_challenge(tmp_path / "challenge", ROWS, HEADER)


def test_repeats_are_dropped(folder: Path) -> None:
    one, two = ChallengeSource(folder, STRUCTURES).subjects()
    assert (one.id, one.age_years, one.sex, one.cdr) == ("1000", 20, "F", 0)
    assert (two.id, two.cdr, two.labelled) == ("1001", 0.5, True)


@pytest.mark.parametrize(
    ("header", "rows"),
    [
        ("id,oasis_session", ["1000,OAS1_0001_MR1", "1001,OAS1_0002_MR1", "1023,OAS1_0001_MR2"]),
        ("id,Subject", ["1000,OAS1_0001", "1001,OAS1_0002", "1023,OAS1_0001"]),
    ],
)
def test_repeats_are_known_by_their_person_too(
    tmp_path: Path, header: str, rows: list[str]
) -> None:
    folder = write_challenge(tmp_path / "c", rows, header)
    survey = ChallengeSource(folder, STRUCTURES).survey()
    assert [one.id for one in survey.subjects] == ["1000", "1001"]
    assert survey.notes == (
        f"{folder}/demographics.csv: 1023 is of OAS1_0001, as 1000 is; the second scan is left out",
    )


def test_who_is_whose_must_be_known(tmp_path: Path) -> None:
    folder = write_challenge(tmp_path / "c", ["1000,20", "1001,68"], "id,age_years")
    with pytest.raises(UserError) as caught:
        ChallengeSource(folder, STRUCTURES).subjects()
    assert str(caught.value) == (
        f"{folder}/demographics.csv: no column of repeat_of, oasis_session, Subject, so that "
        "nobody knows which rows are one person; add repeat_of, blank for first scans"
    )


def test_people_without_a_session_are_counted(tmp_path: Path) -> None:
    folder = write_challenge(tmp_path / "c", ["1000,", "1001,", "1002,1000"], "id,repeat_of")
    survey = ChallengeSource(folder, STRUCTURES).survey()
    assert [one.id for one in survey.subjects] == ["1000", "1001"]
    assert survey.notes == (
        f"{folder}/demographics.csv: 2 of 2 labelled subjects have no OASIS session (1000 is the "
        "first); images of theirs in the pool cannot be kept out of training when they are tested",
    )


def test_label_numbers_become_ours_and_white_matter_is_found(folder: Path) -> None:
    raw = ChallengeSource(folder, STRUCTURES).load("1000")
    assert raw.label is not None and raw.white_matter_mask is not None
    assert np.bincount(raw.label.ravel())[1:].tolist() == [16, 16]
    assert (raw.label[8:10, 10:12, 10:12] == 1).all()
    assert (raw.label[8:12, 13:15, 10:12] == 2).all()
    assert raw.white_matter_mask.sum() == 16
    assert not raw.in_common_space


def test_too_long_quaternion_is_read_and_nibabel_is_left_as_it_was(folder: Path) -> None:
    for path in (*folder.glob("*/1000_3.nii.gz"), *folder.glob("*/1000_3_glm.nii.gz")):
        lengthen_quaternion(path)
        with pytest.raises(ValueError, match="w2 should be positive"):
            _ = nib.Nifti1Image.from_filename(path).affine
    before = nib.Nifti1Header.quaternion_threshold
    raw = ChallengeSource(folder, STRUCTURES).load("1000")
    np.testing.assert_allclose(np.diag(raw.image.affine_ras), [-1, 1, 1, 1], atol=1e-3)
    assert nib.Nifti1Header.quaternion_threshold == before


def test_the_other_table_of_names_is_read_too(tmp_path: Path) -> None:
    rows = ["1000,train,OAS1_0061,F,20"]
    folder = write_challenge(tmp_path / "c", rows, "id,group,Subject,Gender,Age")
    source = ChallengeSource(folder, STRUCTURES)
    (one,) = source.subjects()
    assert (one.age_years, one.sex, one.cdr) == (20, "F", None)
    assert source.session_of("1000") == "OAS1_0061_MR1"


def test_missing_label_file(folder: Path) -> None:
    next(folder.glob("*-labels/1001*")).unlink()
    with pytest.raises(UserError, match=r"0 files match \*-labels/1001_3_glm\.nii\*, expected one"):
        ChallengeSource(folder, STRUCTURES).subjects()


def test_wrong_protocol_and_unknown_structure(folder: Path) -> None:
    with pytest.raises(UserError, match=r"holds numbers 44, 47, 48.*none of 10, 17, 49, 53"):
        ChallengeSource(folder, STRUCTURES, "freesurfer").load("1000")
    with pytest.raises(UserError, match="protocol has no label for insula"):
        ChallengeSource(folder, ("insula",))
    with pytest.raises(UserError, match="no subject 7 in demographics"):
        ChallengeSource(folder, STRUCTURES).load("7")


def combined(folder: Path, sessions: list[str], with_references: bool = True) -> CombinedSource:
    root = folder.parent
    header = "ID,M/F,Age,CDR"
    lines = [f"{session},F,{30 + n},{n / 2}" for n, session in enumerate(sessions)]
    (root / "table.csv").write_text("\n".join([header, *lines]) + "\n")
    for n, session in enumerate(sessions):
        array_xyz = brain(T88_SHAPE, n)
        write_t88(root, session, array_xyz)
        if n % 2 == 0 and with_references:
            truth = np.zeros(T88_SHAPE, np.uint8)
            truth[20:24, 20:24, 20:24] = 19  # MALPEM's hippocampus
            write_nifti(root / "malpem" / f"{session}_mpr_n4_MALPEM.nii.gz", truth)
    references = ReferenceFolder(root / "malpem", STRUCTURES) if with_references else None
    return CombinedSource(
        OasisSource(root, root / "table.csv"), ChallengeSource(folder, STRUCTURES), references
    )


def test_pool_sessions_of_labelled_people_say_whose_they_are(folder: Path) -> None:
    source = combined(folder, ["OAS1_0001_MR1", "OAS1_0001_MR2", "OAS1_0007_MR1"])
    subjects = {one.id: one for one in source.subjects()}
    assert list(subjects)[-2:] == ["1000", "1001"]
    assert subjects["OAS1_0001_MR1"].labelled_as == "1000"
    assert subjects["OAS1_0001_MR2"].labelled_as == "1000"
    assert subjects["OAS1_0007_MR1"].labelled_as is None
    assert not subjects["1000"].in_pool  # through its own session
    assert subjects["1001"].in_pool  # its session is on no disc
    assert [one.id for one in subjects.values() if one.labelled] == ["1000", "1001"]
    assert subjects["1000"].age_years == 20  # its own table comes first


def test_what_is_read_for_a_subject(folder: Path) -> None:
    source = combined(folder, ["OAS1_0001_MR1", "OAS1_0007_MR1"])
    assert [path.name for path in source.tables()] == ["table.csv", "demographics.csv"]
    t88 = "OAS1_0001_MR1_mpr_n4_anon_111_t88_masked_gfc"
    own = [f"{t88}.hdr", f"{t88}.img"]
    assert [path.name for path in source.files("OAS1_0001_MR1")] == [
        *own,
        "OAS1_0001_MR1_mpr_n4_MALPEM.nii.gz",
    ]
    assert [path.name for path in source.files("1000")] == [
        "1000_3.nii.gz",
        "1000_3_glm.nii.gz",
        *own,
    ]
    assert not source.in_common_space("1000")
    assert source.in_common_space("OAS1_0007_MR1")


def test_a_labelled_subject_brings_its_own_session_to_be_aligned_with(folder: Path) -> None:
    source = combined(folder, ["OAS1_0001_MR1", "OAS1_0007_MR1"])
    own_copy = source.load("1000").own_copy
    assert own_copy is not None
    np.testing.assert_array_equal(own_copy.array_xyz, source.load("OAS1_0001_MR1").image.array_xyz)
    assert source.load("1001").own_copy is None  # its session is on no disc
    assert source.load("OAS1_0001_MR1").own_copy is None


def test_what_the_challenge_does_not_know_comes_from_the_session(tmp_path: Path) -> None:
    folder = write_challenge(tmp_path / "c", ["1000,OAS1_0007"], "id,Subject")
    source = combined(folder, ["OAS1_0001_MR1", "OAS1_0007_MR1"])
    one = source.subjects()[-1]
    assert (one.id, one.age_years, one.sex, one.cdr) == ("1000", 31, "F", 0.5)
    assert source.load("1000").subject == one


def test_references_belong_to_pool_images_only(folder: Path) -> None:
    source = combined(folder, ["OAS1_0001_MR1", "OAS1_0007_MR1"])
    raw = source.load("OAS1_0001_MR1")
    assert raw.reference is not None and raw.label is None
    assert np.bincount(raw.reference.ravel())[1:].tolist() == [64]
    assert source.load("OAS1_0007_MR1").reference is None
    assert source.load("1000").reference is None
    assert combined_without(folder).load("OAS1_0001_MR1").reference is None


def combined_without(folder: Path) -> CombinedSource:
    root = folder.parent
    return CombinedSource(
        OasisSource(root, root / "table.csv"), ChallengeSource(folder, STRUCTURES)
    )


def test_references_that_do_not_fit(folder: Path) -> None:
    source = combined(folder, ["OAS1_0001_MR1"])
    extra = folder.parent / "malpem" / "OAS1_0001_MR1_mpr_n3_MALPEM.nii.gz"
    write_nifti(extra, np.ones((3, 3, 3), np.uint8))
    with pytest.raises(UserError, match=r"2 files match OAS1_0001_MR1\*_MALPEM"):
        source.load("OAS1_0001_MR1")
    with pytest.raises(UserError, match="no such folder; where are the references"):
        ReferenceFolder(folder / "nowhere", STRUCTURES)
    with pytest.raises(UserError, match=r"lacks \{id\}; try"):
        ReferenceFolder(folder, STRUCTURES, pattern="*.nii")


def test_the_real_challenge_has_thirty_people(tmp_path: Path) -> None:
    folder = Path(__file__).parents[3] / "shared" / "data" / "miccai-2012"
    if not folder.is_dir():
        pytest.skip("the real challenge data are not beside the project")
    from gansfer.structures import PAPER_STRUCTURES

    source = ChallengeSource(folder, PAPER_STRUCTURES)
    subjects = source.subjects()
    assert len(subjects) == 30
    assert sum(one.sex == "F" for one in subjects) == 20
    assert [source.session_of(one.id) for one in subjects if one.cdr] == ["OAS1_0300_MR1"]
    raw = source.load(max(subjects, key=lambda one: one.age_years or 0).id)
    assert raw.label is not None
    assert set(np.unique(raw.label)) == set(range(8))

"""OASIS-1's folders and table, in miniature and (where it is at hand) the real table."""

from pathlib import Path

import numpy as np
import pytest

from gansfer.errors import UserError
from gansfer.readers.oasis import OasisSource, t88_affine
from tests.readers.layouts import T88_SHAPE, brain, write_t88

HEADER = "ID,M/F,Hand,Age,Educ,SES,MMSE,CDR,eTIV,nWBV,ASF,Delay"
ROWS = [
    "OAS1_0001_MR1,F,R,74,2,3,29,0.5,1344,0.743,1.306,N/A",
    "OAS1_0002_MR1,M,R,20,,,,,1147,0.81,1.531,N/A",
    "OAS1_0002_MR2,M,R,20,,,,,1147,0.81,1.531,40",
    "OAS1_0004_MR1,M,R,28,,,,,1588,0.803,1.105,N/A",
]


@pytest.fixture
def discs(tmp_path: Path) -> Path:
    (tmp_path / "table.csv").write_text("\n".join([HEADER, *ROWS]) + "\n")
    write_t88(tmp_path, "OAS1_0001_MR1", brain(T88_SHAPE, 1))
    write_t88(tmp_path, "OAS1_0002_MR1", brain(T88_SHAPE, 2), disc=2)
    write_t88(tmp_path, "OAS1_0002_MR2", brain(T88_SHAPE, 3), disc=2)
    return tmp_path


def source(folder: Path) -> OasisSource:
    return OasisSource(folder, folder / "table.csv")


def test_sessions_with_ages_and_a_blank_cdr_as_zero(discs: Path) -> None:
    one, two, again = source(discs).subjects()
    assert (one.id, one.age_years, one.sex, one.cdr) == ("OAS1_0001_MR1", 74, "F", 0.5)
    assert (two.cdr, two.repeat_of, two.in_pool, two.labelled) == (0.0, None, True, False)
    assert (again.id, again.repeat_of) == ("OAS1_0002_MR2", "OAS1_0002_MR1")


def test_a_session_on_no_disc_is_left_out_and_named(discs: Path) -> None:
    assert source(discs).missing == ("OAS1_0004_MR1",)


def test_image_is_squeezed_and_placed_from_the_commissure(discs: Path) -> None:
    raw = source(discs).load("OAS1_0001_MR1")
    np.testing.assert_array_equal(raw.image.array_xyz, brain(T88_SHAPE, 1))
    assert raw.in_common_space
    assert raw.label is None


def test_the_commissure_of_a_1_mm_volume_is_where_the_atlas_has_it() -> None:
    affine = t88_affine((176, 208, 176))
    np.testing.assert_allclose(affine @ [88, 123, 75, 1], [0, 0, 0, 1], atol=1e-9)
    np.testing.assert_allclose(np.diag(affine), [-1, 1, 1, 1])
    coarse = t88_affine((88, 104, 88))  # a 2 mm voxel lies amid eight of 1 mm
    np.testing.assert_allclose(coarse @ [10, 11, 12, 1], affine @ [20.5, 22.5, 24.5, 1], atol=1e-9)


def test_missing_doubled_and_unknown_images(discs: Path) -> None:
    folder = discs / "disc1/OAS1_0001_MR1/PROCESSED/MPRAGE/T88_111"
    found = next(folder.glob("*.hdr"))
    (folder / found.name.replace("_n4_", "_n3_")).write_bytes(found.read_bytes())
    with pytest.raises(UserError, match=r"T88_111: 2 files match .*masked_gfc\.hdr, expected one"):
        source(discs).load("OAS1_0001_MR1")
    for path in folder.glob("*.hdr"):
        path.unlink()
    with pytest.raises(UserError, match="T88_111: 0 files match"):
        source(discs).load("OAS1_0001_MR1")
    with pytest.raises(UserError, match="no session OAS1_0004_MR1 in discs and table"):
        source(discs).load("OAS1_0004_MR1")


def test_truncated_image(discs: Path) -> None:
    path = next(discs.glob("disc1/*/PROCESSED/MPRAGE/T88_111/*.img"))
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(UserError, match=r"masked_gfc\.hdr: cannot be read"):
        source(discs).load("OAS1_0001_MR1")


def test_image_of_another_space(discs: Path) -> None:
    path = write_t88(discs, "OAS1_0004_MR1", brain((40, 40, 40)))
    header = bytearray(path.read_bytes())
    header[80:92] = np.array([1, 1, 1.25], ">f4").tobytes()
    path.write_bytes(header)
    with pytest.raises(UserError, match="is not the T88 volume of 176 x 208 x 176 mm"):
        source(discs).load("OAS1_0004_MR1")


def test_session_on_two_discs_or_in_no_table(discs: Path) -> None:
    write_t88(discs, "OAS1_0001_MR1", brain(T88_SHAPE), disc=3)
    with pytest.raises(UserError, match=r"the session is also at .*disc1"):
        source(discs).subjects()


def test_session_in_no_table(discs: Path) -> None:
    write_t88(discs, "OAS1_0009_MR1", brain(T88_SHAPE))
    with pytest.raises(UserError, match=r"OAS1_0009_MR1: session is not in .*table\.csv"):
        source(discs).subjects()


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("M/F", "Sex", r"table\.csv: no column 'M/F'; it has ID, Sex, Hand"),
        (",74,", ",old,", r"table\.csv: line 2: Age is 'old', expected a number"),
        (
            "OAS1_0004_MR1",
            "OAS1_0001_MR1",
            r"table\.csv: line 5: ID 'OAS1_0001_MR1' is given twice",
        ),
        ("OAS1_0004_MR1", "0004", r"line 5: ID '0004' is not like OAS1_0001_MR1"),
    ],
)
def test_damaged_table(discs: Path, old: str, new: str, said: str) -> None:
    table = discs / "table.csv"
    table.write_text(table.read_text().replace(old, new))
    with pytest.raises(UserError, match=said):
        source(discs).subjects()


def test_absent_folder_and_table(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no such table; is the download complete"):
        source(tmp_path).subjects()
    (tmp_path / "table.csv").write_text(HEADER + "\n")
    with pytest.raises(UserError, match="no session folder such as disc1/OAS1_0001_MR1"):
        source(tmp_path).subjects()
    with pytest.raises(UserError, match=r"nowhere: no such folder; where are disc1"):
        OasisSource(tmp_path / "nowhere", tmp_path / "table.csv").subjects()


def test_the_real_table_has_the_papers_counts(tmp_path: Path) -> None:
    table = Path(__file__).parents[3] / "shared" / "data" / "oasis_cross-sectional.csv"
    if not table.is_file():
        pytest.skip("the real OASIS-1 table is not beside the project")
    ids = [line.split(",")[0] for line in table.read_text().splitlines()[1:]]
    for session in ids:
        (tmp_path / "disc1" / session).mkdir(parents=True)
    subjects = OasisSource(tmp_path, table).subjects()
    assert len(subjects) == 436
    first = [one for one in subjects if one.repeat_of is None]
    assert [sum(one.cdr == cdr for one in first) for cdr in (0, 0.5, 1, 2)] == [316, 70, 28, 2]

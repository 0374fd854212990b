"""The cohort on disk: round trips, separation of references, and damage."""

from pathlib import Path

import h5py
import numpy as np
import pytest

from gansfer.cohort.shards import Cohort
from gansfer.cohort.table import read_table
from gansfer.cohort.writing import write_cohort
from gansfer.errors import UserError
from gansfer.preprocessing.preprocess import PreparedSubject
from gansfer.settings import RoiSettings
from gansfer.subjects import Subject

ROI = RoiSettings(size_mm=(8, 8, 6), voxel_mm=2.0)
STRUCTURES = ("a", "b")


def prepared(n: int = 5) -> list[PreparedSubject]:
    """Subjects s0 ...; even ones are labelled, odd ones have a reference."""
    rng = np.random.default_rng(0)
    made = []
    for k in range(n):
        labelled = k % 2 == 0
        map_zhw = rng.integers(0, 3, ROI.shape_zhw).astype(np.uint8)
        subject = Subject(
            f"s{k}",
            age_years=None if k == 0 else 20.5 + k,
            sex="F" if k else None,
            cdr=0.5 if k == 1 else None,
            labelled=labelled,
            in_pool=not labelled,
            repeat_of="s1" if k == 3 else None,
            labelled_as="s0" if k == 1 else None,
        )
        made.append(
            PreparedSubject(
                subject=subject,
                image_zhw=rng.normal(0, 1, ROI.shape_zhw).astype(np.float32),
                label_zhw=map_zhw if labelled else None,
                reference_zhw=None if labelled else map_zhw,
                white_matter=1 / 3 + k,
                white_matter_source="labels" if labelled else "mixture",
                intensity_mean=1000 / 7,
                intensity_sd=100 / 3,
                n_label_voxels_outside_roi=k,
                registration_similarity=0.9 if labelled else None,
            )
        )
    return made


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_cohort(
        tmp_path,
        iter(prepared()),
        structures=STRUCTURES,
        roi=ROI,
        software="gansfer 0",
        subjects_per_shard=2,
    )
    return tmp_path


def test_few_files_and_nothing_left_behind(folder: Path) -> None:
    assert sorted(path.name for path in folder.iterdir()) == [
        "images-000.h5",
        "images-001.h5",
        "images-002.h5",
        "reference-000.h5",
        "reference-001.h5",
        "subjects.csv",
    ]


def test_everything_comes_back_in_the_order_asked_for(folder: Path) -> None:
    cohort, made = Cohort(folder), {one.subject.id: one for one in prepared()}
    assert cohort.subjects == tuple(one.subject for one in made.values())
    assert cohort.structures == STRUCTURES
    assert cohort.spacing_zhw_mm == (2.0, 2.0, 2.0)
    assert cohort.shape_zhw == (3, 4, 4)
    ids = ["s4", "s0", "s3"]
    image_nzhw = cohort.images(ids)
    assert image_nzhw.dtype == np.float32
    np.testing.assert_allclose(image_nzhw, [made[i].image_zhw for i in ids], atol=2e-3)
    np.testing.assert_array_equal(
        cohort.labels(["s4", "s0"]), [made["s4"].label_zhw, made["s0"].label_zhw]
    )
    np.testing.assert_array_equal(
        cohort.references(["s3", "s1"]), [made["s3"].reference_zhw, made["s1"].reference_zhw]
    )
    np.testing.assert_allclose(cohort.white_matter(["s2", "s1"]), [2 + 1 / 3, 1 + 1 / 3])
    assert cohort.images([]).shape == (0, 3, 4, 4)


def test_table_keeps_every_digit_and_hole(folder: Path) -> None:
    rows = read_table(folder / "subjects.csv")
    assert rows[3].white_matter == 1 / 3 + 3
    assert rows[0].intensity_mean == 1000 / 7
    assert [row.registration_similarity for row in rows[:2]] == [0.9, None]
    assert [row.subject.age_years for row in rows[:2]] == [None, 21.5]
    assert (rows[1].reference_shard, rows[1].reference_row) == ("reference-000.h5", 0)
    assert rows[0].reference_shard is None


def test_no_reference_and_no_unlabelled_map_in_the_training_shards(folder: Path) -> None:
    for path in folder.glob("images-*.h5"):
        with h5py.File(path) as file:
            assert "reference" not in file
            for row, has_label in enumerate(file["has_label"]):
                assert file["label"][row].any() == has_label


def test_shards_describe_themselves(folder: Path) -> None:
    with h5py.File(folder / "images-000.h5") as file:
        about = dict(file.attrs)
        assert file["image"].dtype == np.float16
        assert file["image"].chunks == (1, 1, 4, 4)
        assert np.isnan(file["age_years"][0])
    assert about["software"] == "gansfer 0"
    assert list(about["structures"]) == ["a", "b"]
    assert about["ras_from_zhw"].shape == (4, 4)


def test_two_writings_are_the_same_to_the_byte(folder: Path, tmp_path: Path) -> None:
    again = tmp_path / "again"
    write_cohort(
        again,
        prepared(),
        structures=STRUCTURES,
        roi=ROI,
        software="gansfer 0",
        subjects_per_shard=2,
    )
    for path in again.iterdir():
        assert path.read_bytes() == (folder / path.name).read_bytes()


def test_only_what_is_asked_for_is_read(folder: Path) -> None:
    (folder / "images-001.h5").unlink()
    (folder / "reference-000.h5").unlink()
    cohort = Cohort(folder)
    cohort.images(["s0", "s1", "s4"])
    with pytest.raises(UserError, match=r"images-001\.h5: missing; prepare the cohort again"):
        cohort.images(["s2"])


def test_a_label_or_reference_that_is_not_there_is_refused(folder: Path) -> None:
    cohort = Cohort(folder)
    with pytest.raises(UserError, match="s1: has no label map"):
        cohort.labels(["s0", "s1"])
    with pytest.raises(UserError, match="s0: has no reference"):
        cohort.references(["s0"])
    with pytest.raises(UserError, match="no subject zz in this cohort"):
        cohort.images(["zz"])


@pytest.mark.parametrize("name", ["image", "label"])
def test_a_changed_voxel_is_noticed(folder: Path, name: str) -> None:
    with h5py.File(folder / "images-000.h5", "r+") as file:
        file[name][0, 1, 1, 1] += 1
    cohort = Cohort(folder)
    with pytest.raises(UserError, match=rf"images-000\.h5: {name} of s0: checksum differs"):
        cohort.images(["s0"]) if name == "image" else cohort.labels(["s0"])
    cohort.images(["s1"])
    Cohort(folder, verify=False).images(["s0"])


def test_a_shard_of_another_cohort_is_noticed(folder: Path) -> None:
    (folder / "images-001.h5").rename(folder / "images-000.h5")
    with pytest.raises(UserError, match=r"image of s0: row 0 holds s2"):
        Cohort(folder).images(["s0"])


def test_a_truncated_shard_is_noticed(folder: Path) -> None:
    path = folder / "images-002.h5"
    path.write_bytes(path.read_bytes()[:2000])
    with pytest.raises(
        UserError, match=r"images-002\.h5: cannot be read \(.*truncated file.*\); prepare the"
    ):
        Cohort(folder).images(["s4"])


def test_a_damaged_table_is_noticed(folder: Path, tmp_path: Path) -> None:
    table = folder / "subjects.csv"
    text = table.read_text()
    table.write_text(text.replace("images-001.h5,0", "images-001.h5,x"))
    with pytest.raises(UserError, match=r"subjects\.csv: line 4: .*prepare the cohort again"):
        Cohort(folder)
    table.write_text(text.replace("white_matter,", "wm,", 1))
    with pytest.raises(UserError, match="column white_matter is missing"):
        Cohort(folder)
    with pytest.raises(UserError, match="no such table; prepare the cohort first"):
        Cohort(tmp_path / "nowhere")


def test_inconsistent_subjects_are_refused(tmp_path: Path) -> None:
    about = {"structures": STRUCTURES, "roi": ROI, "software": "gansfer 0"}
    one = prepared(1)[0]
    with pytest.raises(UserError, match="s0: comes twice in the cohort"):
        write_cohort(tmp_path, [one, one], **about)  # type: ignore[arg-type]
    from dataclasses import replace

    with pytest.raises(UserError, match="s0: labelled is True, but a label map is absent"):
        write_cohort(tmp_path, [replace(one, label_zhw=None)], **about)  # type: ignore[arg-type]
    assert not list(tmp_path.glob("*"))

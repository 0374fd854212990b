"""Files as people have them: odd, but to be taken rightly, with a note where it matters."""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest

from gansfer.errors import UserError
from gansfer.preprocessing.preprocess import prepare_subject
from gansfer.readers.files.nifti import load_volume
from gansfer.readers.files.tables import to_age
from gansfer.readers.label_maps import load_labels
from gansfer.readers.masks import above_background
from gansfer.settings import RoiSettings
from gansfer.subjects import RawSubject, Subject, Volume
from jobs.experiment.loading import parse_experiment
from jobs.inputs.input_check import InputReport, abridged, check_input
from jobs.inputs.sources import make_file_source
from tests.readers.layouts import (
    FOLDER_AFFINE,
    FOLDER_SHAPE,
    T88_SHAPE,
    bids_cohort,
    brain,
    experiment_values,
    folder_cohort,
    two_structures,
    write_bids,
    write_challenge,
    write_folder,
    write_nifti,
    write_t88,
)

VALUE_OF = {10: 1, 49: 1, 17: 2, 53: 2}


def checked(cohort: dict, storage: Path) -> InputReport:
    return check_input(parse_experiment(experiment_values(cohort, storage), "m.yaml"), n_workers=1)


def copied_by_macos(root: Path) -> None:
    """A ._ file beside each file, as macOS leaves them on a stick or a share."""
    for path in [path for path in root.rglob("*") if path.is_file()]:
        path.with_name("._" + path.name).write_bytes(b"\0\5\x16\7\0\2\0\0" + bytes(4000))


def write_oasis(root: Path) -> dict:
    sessions = [f"OAS1_000{n}_MR1" for n in (1, 2, 3)]
    root.mkdir()
    header = "ID,M/F,Hand,Age,Educ,SES,MMSE,CDR,eTIV,nWBV,ASF,Delay"
    rows = [f"{one},F,R,70,,,,0.5,1344,0.7,1.3,N/A" for one in sessions]
    (root / "table.csv").write_text("\n".join([header, *rows]) + "\n")
    for n, session in enumerate(sessions):
        write_t88(root, session, brain(T88_SHAPE, n))
    rows = ["1000,OAS1_0001_MR1,70,F,0.5,", "1001,OAS1_0002_MR1,71,F,0.5,"]
    write_challenge(root / "challenge", rows, "id,oasis_session,age_years,sex,cdr,repeat_of")
    for session in sessions:
        write_nifti(root / "ref" / f"{session}_MALPEM.nii.gz", two_structures(T88_SHAPE))
    return folder_cohort(root) | {
        "images": {"kind": "oasis", "discs": str(root), "table": str(root / "table.csv")},
        "labels": {"kind": "challenge", "folder": str(root / "challenge")},
        "references": {"kind": "malpem", "folder": str(root / "ref"), "protocol": "freesurfer"},
    }


def test_files_that_macos_adds_are_no_images(tmp_path: Path) -> None:
    cohorts = {
        "bids": bids_cohort(write_bids(tmp_path / "bids")),
        "folder": folder_cohort(write_folder(tmp_path / "folder")),
        "oasis": write_oasis(tmp_path / "oasis"),
    }
    before = {name: checked(cohort, tmp_path / "runs") for name, cohort in cohorts.items()}
    for name, cohort in cohorts.items():
        copied_by_macos(tmp_path / name)
        assert checked(cohort, tmp_path / "runs") == before[name], name
        source = make_file_source(
            parse_experiment(experiment_values(cohort, tmp_path / "runs"), "m.yaml").cohort
        )
        for subject in source.subjects():
            assert not [path for path in source.files(subject.id) if path.name.startswith("._")]


def image() -> Volume:
    return Volume(brain(FOLDER_SHAPE), FOLDER_AFFINE)


def values_of(path: Path) -> np.ndarray:
    opened: Any = nib.load(path)
    return np.asarray(opened.dataobj, np.float64)


def read(path: Path, notes: list[str]) -> np.ndarray:
    return load_labels(path, image(), "s0", VALUE_OF, notes)


def test_labels_written_with_a_slope_are_rounded(tmp_path: Path) -> None:
    """What nibabel does with labels held as floats: 48 x 0.2078 stands for 10."""
    new = nib.Nifti1Image(two_structures().astype(float), FOLDER_AFFINE)
    new.set_data_dtype(np.uint8)
    nib.save(new, tmp_path / "l.nii.gz")
    assert 9.9 < np.unique(values_of(tmp_path / "l.nii.gz"))[2] < 9.99
    notes: list[str] = []
    np.testing.assert_array_equal(read(tmp_path / "l.nii.gz", notes), two_structures())
    assert notes == [
        f"{tmp_path}/l.nii.gz: labels are scaled (slope 0.207843): the value 2.07843 is taken as "
        "2, and the others accordingly"
    ]


def scaled(path: Path, slope: float) -> Path:
    """Label numbers as they should be stored, under a slope that should not be there."""
    new = nib.Nifti1Image(two_structures(), FOLDER_AFFINE)
    new.header.set_slope_inter(slope, 0)
    new.to_filename(path)
    raw = bytearray(path.read_bytes())
    raw[112:116] = struct.pack("<f", slope)
    path.write_bytes(raw)
    return path


@pytest.mark.parametrize("slope", [0.1, 1 / 255, 2.0, 3.7])
def test_labels_under_a_needless_slope_are_those_stored(tmp_path: Path, slope: float) -> None:
    path = scaled(tmp_path / "l.nii", slope)
    np.testing.assert_allclose(values_of(path), two_structures() * slope, rtol=1e-6)
    notes: list[str] = []
    np.testing.assert_array_equal(read(path, notes), two_structures())
    assert len(notes) == 1
    assert f"labels are scaled (slope {slope:.6g}): the value {53 * slope:.6g} is" in notes[0]
    assert "is taken as 53, and the others accordingly" in notes[0]


def test_labels_divided_by_255_are_multiplied(tmp_path: Path) -> None:
    path = write_nifti(
        tmp_path / "l.nii.gz", (two_structures() / 255).astype(np.float32), FOLDER_AFFINE
    )
    notes: list[str] = []
    np.testing.assert_array_equal(read(path, notes), two_structures())
    assert len(notes) == 1


def test_labels_that_a_slope_has_spoilt_name_the_value_and_the_remedy(tmp_path: Path) -> None:
    new = nib.Nifti1Image(two_structures().astype(float) * 40, FOLDER_AFFINE)  # as 10 of 2,035
    new.set_data_dtype(np.uint8)
    nib.save(new, tmp_path / "l.nii.gz")
    with pytest.raises(UserError) as caught:
        read(tmp_path / "l.nii.gz", [])
    assert str(caught.value) == (
        f"{tmp_path}/l.nii.gz: the value 681.725 (stored as 82, slope 8.31373) is no label number "
        "(0, 1, 2 ...); write the labels again as integers, with slope 1"
    )


def placed(path: Path, sform_ras: np.ndarray) -> Path:
    new = nib.Nifti1Image(brain(FOLDER_SHAPE), None)
    new.set_qform(FOLDER_AFFINE, 4)
    new.set_sform(sform_ras, 4)
    nib.save(new, path)
    return path


def test_two_places_in_one_header_are_noted(tmp_path: Path) -> None:
    moved, mirrored = FOLDER_AFFINE.copy(), FOLDER_AFFINE.copy()
    moved[1, 3] += 20
    mirrored[0] *= -1
    remedy = (
        "the sform is used: see which is right, and copy it over the other (fslorient "
        "-copyqform2sform or -copysform2qform)"
    )
    for sform_ras, how in ((moved, "up to 10.0 voxels apart"), (mirrored, "mirror images of each")):
        notes: list[str] = []
        path = placed(tmp_path / "i.nii.gz", sform_ras)
        np.testing.assert_allclose(load_volume(path, notes).affine_ras, sform_ras)
        assert len(notes) == 1
        assert notes[0].startswith(f"{path}: the header's sform and qform disagree ({how}")
        assert notes[0].endswith(remedy)
    nearly = FOLDER_AFFINE.copy()
    nearly[1, 3] += 1.9  # of 2 mm
    assert load_volume(placed(tmp_path / "i.nii.gz", nearly)).notes == ()


def test_scaled_labels_are_noted_by_validate(tmp_path: Path) -> None:
    root = write_folder(tmp_path / "data")
    new = nib.Nifti1Image(two_structures().astype(float), FOLDER_AFFINE)
    new.set_data_dtype(np.uint8)
    nib.save(new, root / "labels/s0.nii.gz")
    report = checked(folder_cohort(root), tmp_path / "runs")
    assert report.problems == ()
    assert [note.split(" (")[0] for note in report.notes] == [
        f"{root}/labels/s0.nii.gz: labels are scaled"
    ]


def test_many_notes_of_one_kind_are_abridged() -> None:
    notes = [f"/d/s{n}.nii: {n}% of it is odd" for n in range(9)] + ["another"]
    assert abridged(notes) == (
        *notes[:3],
        "6 more notes such as the last, of other files",
        "another",
    )


def test_notes_of_files_are_told_by_validate(tmp_path: Path) -> None:
    root = write_folder(tmp_path / "data")
    moved = FOLDER_AFFINE.copy()
    moved[1, 3] += 4
    placed(root / "images/s3.nii.gz", moved)
    report = checked(folder_cohort(root), tmp_path / "runs")
    assert report.problems == ()
    assert [note.split(": ")[0] for note in report.notes] == [f"{root}/images/s3.nii.gz"]


def z_scored() -> tuple[np.ndarray, np.ndarray]:
    """An image of zero mean over its brain, 0 outside; and the brain."""
    array_xyz = brain(FOLDER_SHAPE).astype(np.float32)
    inside = array_xyz != 0
    array_xyz[inside] = (array_xyz[inside] - array_xyz[inside].mean()) / array_xyz[inside].std()
    return array_xyz, inside


def test_the_background_of_a_z_scored_image_is_dark(tmp_path: Path) -> None:
    array_xyz, inside = z_scored()
    root = write_folder(tmp_path / "data")
    write_nifti(root / "images/s3.nii.gz", array_xyz, FOLDER_AFFINE)
    cohort = parse_experiment(
        experiment_values(folder_cohort(root), tmp_path / "runs"), "m.yaml"
    ).cohort
    raw = make_file_source(cohort).load("s3")
    assert raw.brain_mask is not None
    np.testing.assert_array_equal(raw.brain_mask, inside)
    assert len(raw.notes) == 1
    assert (
        "of the brain's voxels are below 0, the background's value (is the image z-scored?)"
        in (raw.notes[0])
    )
    prepared = prepare_subject(raw, RoiSettings(voxel_mm=4.0))
    ordinary = prepare_subject(make_file_source(cohort).load("s2"), RoiSettings(voxel_mm=4.0))
    background, usual = prepared.image_zhw[0, 0, 0], ordinary.image_zhw[0, 0, 0]
    assert background == pytest.approx(np.percentile(array_xyz[inside], 0.1), abs=0.01)
    assert background < -1.7  # the noise is uniform: from -1.7 to 1.7
    assert usual < -1.7
    assert prepared.notes == raw.notes
    assert ordinary.notes == ()


def test_a_few_negative_voxels_leave_an_image_as_it_is() -> None:
    array_xyz = brain(FOLDER_SHAPE).astype(np.float32)
    array_xyz[20, 20, 10:20] = -3  # what interpolation leaves
    volume = Volume(array_xyz, FOLDER_AFFINE)
    assert above_background(Path("i"), volume, array_xyz != 0) is volume


def test_an_outlier_does_not_say_how_dark_the_background_is() -> None:
    array_xyz, inside = z_scored()
    array_xyz[20, 22, 18] = -80
    volume = above_background(Path("i"), Volume(array_xyz, FOLDER_AFFINE), inside)
    lifted_xyz = np.asarray(volume.array_xyz)
    assert (lifted_xyz[inside] > 0).all()
    assert not lifted_xyz[~inside].any()
    assert lifted_xyz.max() < 4


def test_89_plus_is_89_years() -> None:
    assert to_age(Path("t"), 2, "age", "89+") == 89
    with pytest.raises(UserError, match=r"age is '\+', expected a number"):
        to_age(Path("t"), 2, "age", "+")


@pytest.mark.parametrize("kind", ["bids", "folder"])
def test_89_plus_is_noted(tmp_path: Path, kind: str) -> None:
    if kind == "bids":
        root, name, column = write_bids(tmp_path / "d"), "participants.tsv", "age"
        cohort, old = bids_cohort(root), "\t62\t"
    else:
        root, name, column = write_folder(tmp_path / "d"), "people.csv", "age_years"
        cohort, old = folder_cohort(root), ",50,"
    table = root / name
    table.write_text(table.read_text().replace(old, old[0] + "89+" + old[-1]))
    report = checked(cohort, tmp_path / "runs")
    assert report.problems == ()
    assert report.notes == (
        f"{table}: line 4: {column} is 89+, 89 or older; it is taken as 89 years",
    )
    assert 89.0 in [one.age_years for one in report.subjects]


def test_notes_of_a_prepared_subject_are_those_of_its_files() -> None:
    raw = RawSubject(Subject(id="s"), Volume(brain(FOLDER_SHAPE), FOLDER_AFFINE), notes=("a",))
    assert prepare_subject(raw, RoiSettings(voxel_mm=4.0)).notes == ("a",)

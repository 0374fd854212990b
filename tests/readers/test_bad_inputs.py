"""Damaged and odd inputs, made from good ones: each is refused in one line, or read all the same.

Every case changes one thing in a good miniature cohort. What is refused must be told by `gansfer
validate` in exactly the line that stands here (where, what was found, what was wanted, what to do)
and leave nothing behind; what is merely odd must be read.
"""

from __future__ import annotations

import gzip
import os
import shutil
import struct
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from gansfer.atomic import replacing, write_text
from gansfer.errors import UserError
from jobs.experiment.loading import parse_experiment
from jobs.inputs.input_check import check_input
from tests.readers.layouts import (
    FOLDER_AFFINE,
    FOLDER_SHAPE,
    T88_SHAPE,
    bids_cohort,
    brain,
    experiment_values,
    folder_cohort,
    head_volume,
    lengthen_quaternion,
    two_structures,
    write_bids,
    write_challenge,
    write_folder,
    write_nifti,
    write_t88,
)

IMAGE, LABEL = "images/s0.nii.gz", "labels/s0.nii.gz"
OASIS_HEADER = "ID,M/F,Hand,Age,Educ,SES,MMSE,CDR,eTIV,nWBV,ASF,Delay"
SESSIONS = ("OAS1_0001_MR1", "OAS1_0002_MR1", "OAS1_0003_MR1")
T88 = "disc1/OAS1_0001_MR1/PROCESSED/MPRAGE/T88_111"
T88_FILE = f"{T88}/OAS1_0001_MR1_mpr_n4_anon_111_t88_masked_gfc"


@dataclass(frozen=True)
class Case:
    """One change and what is said of it.

    Attributes:
        name: of the test.
        damage: changes the good cohort in this folder.
        lines: exactly what is said, {0} for the cohort's folder; none: it is read.
        cohort: which good cohort: folder, bids or oasis.
    """

    name: str
    damage: Callable[[Path], object]
    lines: tuple[str, ...] = ()
    cohort: str = "folder"


def write_oasis(root: Path) -> Path:
    rows = [f"{s},F,R,{70 + n},,,,0.5,1344,0.7,1.3,N/A" for n, s in enumerate(SESSIONS)]
    root.mkdir()
    (root / "table.csv").write_text("\n".join([OASIS_HEADER, *rows]) + "\n")
    for n, session in enumerate(SESSIONS):
        write_t88(root, session, brain(T88_SHAPE, n))
    challenge = ["1000,OAS1_0001_MR1,70,F,0.5,", "1001,OAS1_0002_MR1,71,F,0.5,"]
    write_challenge(root / "challenge", challenge, "id,oasis_session,age_years,sex,cdr,repeat_of")
    return root


def oasis_cohort(root: Path) -> dict:
    return folder_cohort(root) | {
        "images": {"kind": "oasis", "discs": str(root), "table": str(root / "table.csv")},
        "labels": {"kind": "challenge", "folder": str(root / "challenge")},
    }


COHORTS: dict[str, tuple[Callable[[Path], Path], Callable[[Path], dict]]] = {
    "folder": (write_folder, folder_cohort),
    "bids": (write_bids, bids_cohort),
    "oasis": (write_oasis, oasis_cohort),
}


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    top = tmp_path_factory.mktemp("good")
    return {name: write(top / name) for name, (write, _) in COHORTS.items()}


# ---------------------------------------------------------------- how things get damaged


def cut(name: str, keep: float) -> Callable[[Path], object]:
    def damage(root: Path) -> None:
        whole = (root / name).read_bytes()
        (root / name).write_bytes(whole[: int(keep * len(whole))])

    return damage


def text(name: str, old: str, new: str) -> Callable[[Path], object]:
    def damage(root: Path) -> None:
        before = (root / name).read_text()
        assert old in before
        (root / name).write_text(before.replace(old, new, 1))

    return damage


def volume(
    name: str, array: np.ndarray, affine: np.ndarray = FOLDER_AFFINE
) -> Callable[[Path], object]:
    return lambda root: write_nifti(root / name, array, affine)


def header(name: str, offset: int, packed: bytes) -> Callable[[Path], object]:
    def damage(root: Path) -> None:
        raw = bytearray(gzip.decompress((root / name).read_bytes()))
        raw[offset : offset + len(packed)] = packed
        (root / name).write_bytes(gzip.compress(bytes(raw)))

    return damage


def lengthen_quaternions(root: Path) -> None:
    for path in (root / "challenge").glob("*/1000_3*.nii.gz"):
        lengthen_quaternion(path)


def both(*damages: Callable[[Path], object]) -> Callable[[Path], object]:
    return lambda root: [damage(root) for damage in damages]


def swapped(root: Path) -> None:
    image = nib.Nifti1Image.from_filename(root / IMAGE)
    header = image.header.as_byteswapped()
    nib.save(nib.Nifti1Image(np.asanyarray(image.dataobj), FOLDER_AFFINE, header), root / IMAGE)
    assert nib.Nifti1Image.from_filename(root / IMAGE).header.endianness == ">"


def as_nifti_2(root: Path) -> None:
    array_xyz = np.asanyarray(nib.Nifti1Image.from_filename(root / IMAGE).dataobj)
    nib.save(nib.Nifti2Image(array_xyz, FOLDER_AFFINE), root / IMAGE)


def colours(root: Path) -> None:
    rgb = np.zeros(FOLDER_SHAPE, [("R", "u1"), ("G", "u1"), ("B", "u1")])
    nib.save(nib.Nifti1Image(rgb, FOLDER_AFFINE), root / IMAGE)


def not_a_number(root: Path) -> None:
    array_xyz = brain(FOLDER_SHAPE).astype(np.float32)
    array_xyz[20, 20, 20:23] = np.nan
    write_nifti(root / IMAGE, array_xyz, FOLDER_AFFINE)


def renamed(root: Path) -> None:
    folder = root / "Köpfe mit Leerzeichen"
    (root / "images").rename(folder)
    text("people.csv", "images/s0", "Köpfe mit Leerzeichen/s0")(root)
    table = root / "people.csv"
    table.write_text(table.read_text().replace("images/", "Köpfe mit Leerzeichen/"))


def loop(root: Path) -> None:
    (root / IMAGE).unlink()
    (root / IMAGE).symlink_to(root / IMAGE)


def without(name: str) -> Callable[[Path], object]:
    return lambda root: (root / name).unlink()


def semicolons(root: Path) -> None:
    table = root / "people.csv"
    table.write_text(table.read_text().replace(",", ";"))


def byte_order_mark(root: Path) -> None:
    table = root / "people.csv"
    table.write_bytes(b"\xef\xbb\xbf" + table.read_bytes())


def shifted(right_mm: float = 6) -> np.ndarray:
    affine = FOLDER_AFFINE.copy()
    affine[0, 3] += right_mm
    return affine


def other_names(root: Path) -> None:
    table = root / "derivatives/manual/dseg.tsv"
    table.write_text(table.read_text().replace("Hippocampus", "Insula"))


def as_it_is(root: Path) -> None:
    """The real files are odd already."""
    origin = (root / f"{T88_FILE}.hdr").read_bytes()[253:262]
    assert origin == b" " * 9


REFUSED = (
    Case(
        "truncated gz",
        cut(IMAGE, 0.6),
        (
            "{0}/images/s0.nii.gz: cannot be read (Compressed file ended before the end-of-stream "
            "marker was reached); download it again",
        ),
    ),
    Case(
        "empty file",
        cut(IMAGE, 0),
        ("{0}/images/s0.nii.gz: cannot be read (the file has 0 bytes); download it again",),
    ),
    Case(
        "wrong magic",
        header(IMAGE, 344, b"abcd"),
        (
            "{0}/images/s0.nii.gz: cannot be read (magic string 'abcd' is not valid); "
            "download it again",
        ),
    ),
    Case(
        "web page in place of an image",
        lambda root: (root / IMAGE).write_text("<html>404</html>"),
        ("{0}/images/s0.nii.gz: cannot be read (Not a gzipped file (b'<h')); download it again",),
    ),
    Case(
        "two dimensions",
        volume(IMAGE, brain((40, 44))),
        (
            "{0}/images/s0.nii.gz: shape 40 x 44, expected three dimensions; is this a slice or a "
            "series?",
        ),
    ),
    Case(
        "one slice",
        volume(IMAGE, brain((40, 44, 3))[..., 1:2]),
        (
            "{0}/images/s0.nii.gz: shape 40 x 44 x 1, expected three dimensions; is this a slice "
            "or a series?",
        ),
    ),
    Case(
        "two frames",
        volume(IMAGE, brain((*FOLDER_SHAPE, 2))),
        (
            "{0}/images/s0.nii.gz: shape 40 x 44 x 36 x 2, expected three dimensions; is this a "
            "slice or a series?",
        ),
    ),
    Case(
        "colours",
        colours,
        (
            "{0}/images/s0.nii.gz: holds colours (RGB), expected one intensity a voxel; convert "
            "it to grey",
        ),
    ),
    Case(
        "complex numbers",
        volume(IMAGE, brain(FOLDER_SHAPE).astype(np.complex64)),
        ("{0}/images/s0.nii.gz: holds complex numbers, expected intensities; take the magnitude",),
    ),
    Case(
        "not a number",
        not_a_number,
        ("{0}/images/s0.nii.gz: 3 voxels are not finite; repair or exclude the image",),
    ),
    Case(
        "constant",
        volume(IMAGE, np.full(FOLDER_SHAPE, 7, np.int16)),
        ("{0}/images/s0.nii.gz: every voxel is 7; is the file empty?",),
    ),
    Case(
        "a mask in place of an image",
        volume(IMAGE, (brain(FOLDER_SHAPE) != 0).astype(np.int16)),
        ("s0: every brain voxel is 1; is this a mask, not an image?",),
    ),
    Case(
        "header of a larger image",
        header(IMAGE, 40, struct.pack("<4h", 3, 40, 44, 72)),
        (
            "{0}/images/s0.nii.gz: cannot be read (Expected 253440 bytes, got 126720 bytes from "
            "{0}/images/s0.nii.gz - could the file be damaged?); download it again",
        ),
    ),
    Case(
        "header of a smaller image",
        header(IMAGE, 40, struct.pack("<4h", 3, 40, 44, 18)),
        (
            "{0}/images/s0.nii.gz: the header asks for 63712 bytes, the file holds 127072; do "
            "header and data belong together?",
        ),
    ),
    Case(
        "affine without volume",
        header(IMAGE, 280, struct.pack("<12f", *([0.0] * 4), 0, 2, 0, -54, 0, 0, 2, -35)),
        ("{0}/images/s0.nii.gz: the header's affine has no volume; repair the header",),
    ),
    Case(
        "a head without a mask",
        volume(IMAGE, head_volume(FOLDER_SHAPE)),
        (
            "{0}/images/s0.nii.gz: no mask, and the image is not brain-extracted (0% of its voxels "
            "are 0, expected a background of 0); strip the skull with SynthStrip, HD-BET or BET, "
            "or give a mask",
        ),
    ),
    Case(
        "an image in another place",
        volume("images/s3.nii.gz", brain(FOLDER_SHAPE), shifted(300)),
        (
            "s3: brain fills 0.0% of the region of interest, expected at least 1%; look at the "
            "origin in the image's header, at the registration and at roi.centre_mm",
        ),
    ),
    Case(
        "an image that does not say where it lies",
        header("images/s3.nii.gz", 252, struct.pack("<2h", 0, 0)),
        (
            "{0}/images/s3.nii.gz: the header does not say where the image lies (no qform and no "
            "sform), expected its place in the common space; set one, or register the images "
            "(in_common_space: false, and a template)",
        ),
    ),
    Case(
        "a head in air of 0",
        both(
            volume(IMAGE, brain(FOLDER_SHAPE), FOLDER_AFFINE @ np.diag([4.0, 4, 4, 1])),
            volume(LABEL, two_structures(), FOLDER_AFFINE @ np.diag([4.0, 4, 4, 1])),
        ),
        (
            "{0}/images/s0.nii.gz: no mask, and the image is not brain-extracted (5.6 l are not 0, "
            "a brain has at most 2.2 l); strip the skull with SynthStrip, HD-BET or BET, or give a "
            "mask",
        ),
    ),
    Case(
        "link that leads to itself",
        loop,
        ("{0}/images/s0.nii.gz: is a link that leads nowhere; put the file itself there",),
    ),
    Case(
        "row without an image",
        without(IMAGE),
        ("{0}/images/s0.nii.gz: no such file; is the download complete?",),
    ),
    Case(
        "image without a row",
        volume("images/s9.nii.gz", brain(FOLDER_SHAPE)),
        ("{0}/images/s9.nii.gz: is in no row of {0}/people.csv; add a row, or move the file away",),
    ),
    Case(
        "row that names no image",
        text("people.csv", "images/s3.nii.gz", ""),
        (
            "{0}/people.csv: line 5: s3 has no image; name one, or drop the row",
            "{0}/images/s3.nii.gz: is in no row of {0}/people.csv; add a row, or move the file "
            "away",
        ),
    ),
    Case(
        "labels that are no numbers",
        volume(LABEL, two_structures().astype(np.float32) + 0.5),
        (
            "{0}/labels/s0.nii.gz: the value 0.5 is no label number (0, 1, 2 ...); is this an "
            "image?",
        ),
    ),
    Case(
        "negative labels",
        volume(LABEL, two_structures() - 1),
        ("{0}/labels/s0.nii.gz: the value -1 is no label number (0, 1, 2 ...); is this an image?",),
    ),
    Case(
        "labels of another shape",
        volume(LABEL, two_structures()[:-1]),
        (
            "{0}/labels/s0.nii.gz: shape 39 x 44 x 36, expected 40 x 44 x 36 as the image of s0; "
            "set resample: true to bring it to the image's grid, or give labels on that grid",
        ),
    ),
    Case(
        "labels in another place",
        volume(LABEL, two_structures(), shifted()),
        (
            "{0}/labels/s0.nii.gz: its header places it 3.0 voxels off the image of s0; set "
            "resample: true to bring it to the image's grid, or give labels on that grid",
        ),
    ),
    Case(
        "labels of another protocol",
        volume(LABEL, np.where(two_structures() > 0, 47, 0).astype(np.int16)),
        (
            "{0}/labels/s0.nii.gz: holds numbers 47 ..., none of 10, 17, 49, 53 ...; is the "
            "protocol right?",
        ),
    ),
    Case(
        "a structure is missing",
        volume(LABEL, np.where(np.isin(two_structures(), (10, 49)), 0, two_structures())),
        (
            "{0}/labels/s0.nii.gz: no voxel of thalamus (numbers 10, 49); label it, exclude the "
            "subject, or leave it out of cohort.structures",
        ),
    ),
    Case(
        "labels of another brain",
        volume(LABEL, np.roll(two_structures(), 20, axis=2)),
        (
            "{0}/labels/s0.nii.gz: only 0% of the labels lie in the image's brain; do the label "
            "map and the image belong together?",
        ),
    ),
    Case(
        "table without a column",
        text("people.csv", "image,mask", "file,mask"),
        (
            "{0}/people.csv: no column 'image'; it has id, person, file, mask, label, reference, "
            "age_years, sex, cdr, in_pool",
        ),
    ),
    Case(
        "table without the labels' column",
        text("people.csv", "label,", "manual,"),
        (
            "{0}/people.csv: no column 'label'; it has id, person, image, mask, manual, reference, "
            "age_years, sex, cdr, in_pool",
        ),
    ),
    Case(
        "table in another encoding",
        lambda root: (root / "people.csv").write_bytes(
            (root / "people.csv").read_bytes().replace(b"s3,", b"s\xfc,")
        ),
        (
            "{0}/people.csv: not a CSV file in UTF-8 ('utf-8' codec can't decode byte 0xfc in "
            "position 194: invalid start byte); export it again",
        ),
    ),
    Case(
        "cell too many",
        text("people.csv", ",60,", ",60,5,"),
        (
            "{0}/people.csv: line 5: more cells than the 10 columns; put a value that holds the "
            "separator into quotes",
        ),
    ),
    Case(
        "id given twice",
        text("people.csv", "s3,,", "s0,,"),
        ("{0}/people.csv: line 5: id 's0' is given twice; give every session its own",),
    ),
    Case(
        "one image for two people",
        text("people.csv", "images/s3", "images/s2"),
        (
            "{0}/people.csv: line 5: images/s2.nii.gz is s2's image already; give each its own",
            "{0}/images/s3.nii.gz: is in no row of {0}/people.csv; add a row, or move the file "
            "away",
        ),
    ),
    Case(
        "id that is no file name",
        text("people.csv", "s3,,", "a/b,,"),
        (
            "{0}/people.csv: line 5: id 'a/b' is no file name; use letters, digits, dots, dashes "
            "and underscores",
        ),
    ),
    Case(
        "age in words",
        text("people.csv", ",60,", ",old,"),
        (
            "{0}/people.csv: line 5: age_years is 'old', expected a number such as 74.5; "
            "correct the row",
        ),
    ),
    Case(
        "age of nobody",
        text("people.csv", ",60,", ",600,"),
        ("{0}/people.csv: line 5: age_years is 600, expected 0 to 120 years; correct the row",),
    ),
    Case(
        "CDR 0.7",
        text("people.csv", "F,1,", "F,0.7,"),
        ("{0}/people.csv: line 4: cdr is 0.7, expected 0, 0.5, 1, 2 or 3; correct the row",),
    ),
    Case(
        "sex in other letters",
        text("people.csv", "60,M", "60,W"),
        ("{0}/people.csv: line 5: sex is 'W', expected F or M; correct the row",),
    ),
    Case(
        "a row with everything wrong, and its files",
        both(
            text("people.csv", "40,M,0.5,", "old,W,0.7,perhaps"),
            cut("images/s1.nii.gz", 0),
            cut("labels/s1.nii.gz", 0),
        ),
        (
            "{0}/people.csv: line 3: age_years is 'old', expected a number such as 74.5; correct "
            "the row",
            "{0}/people.csv: line 3: sex is 'W', expected F or M; correct the row",
            "{0}/people.csv: line 3: cdr is 0.7, expected 0, 0.5, 1, 2 or 3; correct the row",
            "{0}/people.csv: line 3: in_pool is 'perhaps', expected yes or no; correct the row",
            "{0}/images/s1.nii.gz: cannot be read (the file has 0 bytes); download it again",
            "{0}/labels/s1.nii.gz: cannot be read (the file has 0 bytes); download it again",
        ),
    ),
    Case(
        "a participant with two wrong facts",
        text("participants.tsv", "61\tM", "old\tW"),
        (
            "{0}/participants.tsv: line 3: age is 'old', expected a number such as 74.5; correct "
            "the row",
            "{0}/participants.tsv: line 3: sex is 'W', expected F or M; correct the row",
        ),
        "bids",
    ),
    Case(
        "two wrong facts in each table, and files of the challenge",
        both(
            text("table.csv", "F,R,70,,,,0.5", "W,R,old,,,,0.5"),
            text("challenge/demographics.csv", "71,F,0.5", "71,W,0.7"),
            cut("challenge/training-images/1000_3.nii.gz", 0),
            cut("challenge/training-labels/1000_3_glm.nii.gz", 0),
        ),
        (
            "{0}/table.csv: line 2: Age is 'old', expected a number such as 74.5; correct the row",
            "{0}/table.csv: line 2: M/F is 'W', expected F or M; correct the row",
            "{0}/challenge/demographics.csv: line 3: sex is 'W', expected F or M; correct the row",
            "{0}/challenge/demographics.csv: line 3: cdr is 0.7, expected 0, 0.5, 1, 2 or 3; "
            "correct the row",
            "{0}/challenge/training-images/1000_3.nii.gz: cannot be read (the file has 0 bytes); "
            "download it again",
            "{0}/challenge/training-labels/1000_3_glm.nii.gz: cannot be read (the file has 0 "
            "bytes); download it again",
        ),
        "oasis",
    ),
    Case(
        "perhaps in the pool",
        text("people.csv", "M,2,", "M,2,perhaps"),
        ("{0}/people.csv: line 5: in_pool is 'perhaps', expected yes or no; correct the row",),
    ),
    Case(
        "too few labelled",
        both(text("people.csv", "labels/s1.nii.gz", ""), without("labels/s1.nii.gz")),
        (
            "cohort.labels: 1 labelled subjects of kind table, expected at least one for each of "
            "grid.folds 2; add labels, or make fewer folds",
        ),
    ),
    Case(
        "person without a folder",
        lambda root: shutil.rmtree(root / "sub-03"),
        ("{0}/participants.tsv: line 4: sub-03 has no folder {0}/sub-03; add it, or drop the row",),
        "bids",
    ),
    Case(
        "folder without a row",
        text("participants.tsv", "sub-03\t62\tF\tn/a\n", ""),
        (
            "{0}/sub-03: sub-03 is in no row of {0}/participants.tsv; add a row, or move the "
            "folder away",
        ),
        "bids",
    ),
    Case(
        "two images of a person",
        lambda root: shutil.copy(
            root / "sub-03/anat/sub-03_T1w.nii.gz", root / "sub-03/anat/sub-03_run-2_T1w.nii.gz"
        ),
        (
            "{0}/sub-03/anat: 2 files match *_T1w.nii* (sub-03_T1w.nii.gz, "
            "sub-03_run-2_T1w.nii.gz), expected one; make cohort.images.pattern narrower",
        ),
        "bids",
    ),
    Case(
        "no image of a person",
        without("sub-03/anat/sub-03_T1w.nii.gz"),
        ("{0}/sub-03/anat: 0 files match *_T1w.nii*, expected one; add the image",),
        "bids",
    ),
    Case(
        "a mask on another grid",
        volume(
            "derivatives/masks/sub-01/anat/sub-01_desc-brain_mask.nii.gz",
            np.ones((40, 44, 30), np.uint8) * (brain((40, 44, 30)) != 0),
        ),
        (
            "{0}/derivatives/masks/sub-01/anat/sub-01_desc-brain_mask.nii.gz: shape 40 x 44 x 30, "
            "expected 40 x 44 x 36 as the image; give a mask on the image's grid",
        ),
        "bids",
    ),
    Case(
        "a head whose mask is missing",
        without("derivatives/masks/sub-03/anat/sub-03_desc-brain_mask.nii.gz"),
        (
            "{0}/sub-03/anat/sub-03_T1w.nii.gz: no mask, and the image is not brain-extracted (0% "
            "of its voxels are 0, expected a background of 0); strip the skull with SynthStrip, "
            "HD-BET or BET, or give a mask",
        ),
        "bids",
    ),
    Case(
        "dseg.tsv that names other structures",
        other_names,
        (
            "{0}/derivatives/manual/dseg.tsv: names no hippocampus; write a mapping of label "
            "numbers as the protocol instead",
        ),
        "bids",
    ),
    Case(
        "dseg.tsv with a word for a number",
        text("derivatives/manual/dseg.tsv", "17\t", "x17\t"),
        (
            "{0}/derivatives/manual/dseg.tsv: line 2: index is 'x17', expected a whole number of "
            "at most 1000000; correct the row",
        ),
        "bids",
    ),
    Case(
        "dseg.tsv with two names for a number",
        text("derivatives/manual/dseg.tsv", "10\t", "17\t"),
        (
            "{0}/derivatives/manual/dseg.tsv: line 4: index 17 is Left-Thalamus-Proper, but was "
            "Left-Hippocampus before; give each number one name",
        ),
        "bids",
    ),
    Case(
        "unknown session on a disc",
        lambda root: write_t88(root, "OAS1_0009_MR1", brain(T88_SHAPE)),
        ("{0}/disc1/OAS1_0009_MR1: session is not in {0}/table.csv; is the table complete?",),
        "oasis",
    ),
    Case(
        "session on two discs",
        lambda root: write_t88(root, "OAS1_0001_MR1", brain(T88_SHAPE), disc=2),
        ("{0}/disc2/OAS1_0001_MR1: the session is also at {0}/disc1/OAS1_0001_MR1; remove one",),
        "oasis",
    ),
    Case(
        "two volumes of a session",
        lambda root: shutil.copy(
            root / f"{T88_FILE}.hdr", root / f"{T88_FILE.replace('_n4_', '_n3_')}.hdr"
        ),
        (
            "{0}/" + T88 + ": 2 files match OAS1_0001_MR1_mpr_n*_anon_111_t88_masked_gfc.hdr, "
            "expected one; unpack the disc again",
        ),
        "oasis",
    ),
    Case(
        "truncated Analyze volume",
        cut(f"{T88_FILE}.img", 0.9),
        (
            "{0}/"
            + T88_FILE
            + ".hdr: cannot be read (Expected 201344 bytes, got 181209 bytes from "
            "{0}/" + T88_FILE + ".img - could the file be damaged?); download it again",
        ),
        "oasis",
    ),
    Case(
        "CDR 0.7 in the table of OASIS-1",
        text("table.csv", ",0.5,", ",0.7,"),
        ("{0}/table.csv: line 2: CDR is 0.7, expected 0, 0.5, 1, 2 or 3; correct the row",),
        "oasis",
    ),
    Case(
        "labels of a labelled person are missing",
        without("challenge/training-labels/1000_3_glm.nii.gz"),
        (
            "{0}/challenge: 0 files match *-labels/1000_3_glm.nii*, expected one; unpack the "
            "challenge's folders again",
        ),
        "oasis",
    ),
)
ODD = (
    Case("swapped byte order", swapped),
    Case("one frame", volume(IMAGE, brain(FOLDER_SHAPE)[..., None])),
    Case("a table with a byte order mark", byte_order_mark),
    Case("semicolons", semicolons),
    Case("paths by way of another folder", text("people.csv", "images/", "labels/../images/")),
    Case("NIfTI-2", as_nifti_2),
    Case("age N/A", text("people.csv", ",60,", ",N/A,")),
    Case("spaces and umlauts", renamed),
    Case(
        "a link to a file",
        both(
            lambda root: (root / IMAGE).rename(root / "elsewhere"),
            lambda root: (root / IMAGE).symlink_to(root / "elsewhere"),
        ),
    ),
    Case(
        "other axes",
        volume(
            IMAGE,
            brain(FOLDER_SHAPE)[::-1],
            FOLDER_AFFINE @ np.array([[-1.0, 0, 0, 39], [0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]]),
        ),
    ),
    Case("origin of blanks", as_it_is, cohort="oasis"),
    Case(
        "quaternion a rounding error too long",
        lengthen_quaternions,
        cohort="oasis",
    ),
    Case("age blank and CDR blank", text("table.csv", ",70,,,,0.5,", ",,,,,,"), cohort="oasis"),
    Case(
        "participants of a person without sub-",
        text("participants.tsv", "sub-01", "01"),
        cohort="bids",
    ),
)


def problems_of(root: Path, cohort: dict, storage: Path) -> list[str]:
    """What validation says, and that it leaves every file as it was and writes none."""
    before = snapshot(root)
    experiment = parse_experiment(experiment_values(cohort, storage), "mini.yaml")
    found = check_input(experiment, n_workers=1).problems
    assert snapshot(root) == before
    assert not storage.exists()
    return list(found)


def snapshot(root: Path) -> dict[Path, int]:
    return {path: path.lstat().st_mtime_ns for path in root.rglob("*") if not path.is_dir()}


def copy_of(good: dict[str, Path], cohort: str, target: Path) -> Path:
    shutil.copytree(good[cohort], target)
    return target


@pytest.mark.parametrize("case", REFUSED, ids=lambda case: case.name)
def test_refused_in_a_line(case: Case, good: dict[str, Path], tmp_path: Path) -> None:
    root = copy_of(good, case.cohort, tmp_path / "data")
    case.damage(root)
    found = problems_of(root, COHORTS[case.cohort][1](root), tmp_path / "runs")
    assert found == [line.format(root) for line in case.lines]


@pytest.mark.parametrize("case", ODD, ids=lambda case: case.name)
def test_odd_but_read(case: Case, good: dict[str, Path], tmp_path: Path) -> None:
    root = copy_of(good, case.cohort, tmp_path / "data")
    case.damage(root)
    assert problems_of(root, COHORTS[case.cohort][1](root), tmp_path / "runs") == []


def test_there_are_at_least_forty() -> None:
    assert len(REFUSED) + len(ODD) + 4 >= 40
    assert len({case.name for case in REFUSED + ODD}) == len(REFUSED) + len(ODD)


def test_everything_is_told_together(good: dict[str, Path], tmp_path: Path) -> None:
    root = copy_of(good, "folder", tmp_path / "data")
    wanted: set[str] = set()
    for name, image in (("truncated gz", "s0"), ("constant", "s1")):
        case = next(case for case in REFUSED if case.name == name)
        case.damage(root)
        wanted |= {line.format(root).replace("s0", image) for line in case.lines}
        if image == "s0":
            (root / IMAGE).rename(root / "kept")
            (root / "images/s1.nii.gz").rename(root / IMAGE)
    (root / IMAGE).rename(root / "images/s1.nii.gz")
    (root / "kept").rename(root / IMAGE)
    for name in ("CDR 0.7", "age in words", "image without a row"):
        case = next(case for case in REFUSED if case.name == name)
        case.damage(root)
        wanted |= {line.format(root) for line in case.lines}
    found = problems_of(root, folder_cohort(root), tmp_path / "runs")
    assert set(found) == wanted
    assert len(found) == 5


def test_labels_outside_the_region_propose_the_box_that_fits(
    good: dict[str, Path], tmp_path: Path
) -> None:
    root = copy_of(good, "folder", tmp_path / "data")
    label_xyz = two_structures()
    label_xyz[18:22, 30:33, 16:20] = 10  # the third row lies at y = 10 mm
    write_nifti(root / LABEL, label_xyz, FOLDER_AFFINE)
    roi = {"size_mm": [40, 40, 40], "centre_mm": [-0.5, -10.5, 0.5], "voxel_mm": 4}
    values = experiment_values(folder_cohort(root, roi=roi), tmp_path / "runs")
    values["gan"]["fmaps"] = [8, 8]
    found = check_input(parse_experiment(values, "mini.yaml"), n_workers=1).problems
    assert found == (
        "s0: 16 of 192 labelled voxels (8.3%) are outside the region of interest, at most 1.0% may "
        "be; every label fits into cohort.roi: {size_mm: [40, 40, 40], "
        "centre_mm: [-0.5, -2.5, 0.5], voxel_mm: 4}",
    )
    roi["centre_mm"] = [-0.5, -2.5, 0.5]
    values["cohort"]["roi"] = roi
    assert check_input(parse_experiment(values, "mini.yaml"), n_workers=1).problems == ()


def test_an_unreadable_file(good: dict[str, Path]) -> None:
    if os.name != "posix":
        pytest.skip("needs POSIX permissions")
    import tempfile

    with tempfile.TemporaryDirectory() as name:  # pytest's own folders are closed to others
        Path(name).chmod(0o755)
        root = copy_of(good, "folder", Path(name) / "data")
        (root / IMAGE).chmod(0)
        user = os.geteuid()
        if user == 0:  # for whom nothing is unreadable
            os.seteuid(65534)
        try:
            found = problems_of(root, folder_cohort(root), Path(name) / "runs")
        finally:
            os.seteuid(user)
        assert found == [
            f"{root}/images/s0.nii.gz: Permission denied; make the file readable to you"
        ]


def test_a_full_disk(tmp_path: Path) -> None:
    """The writer's own error becomes a line, and what was written aside is gone."""
    if not Path("/dev/full").exists():
        pytest.skip("there is no /dev/full here")
    path = tmp_path / "images-000.h5"
    with (
        pytest.raises(UserError) as caught,
        replacing(path),
        Path("/dev/full").open("w") as file,
    ):
        file.write("x" * 100_000)
    assert str(caught.value) == (
        f"{path}: cannot be written (No space left on device); free space there, or set storage "
        "to a folder with room"
    )
    assert list(tmp_path.iterdir()) == []


def test_a_limit_on_the_size_of_files(tmp_path: Path) -> None:
    resource = pytest.importorskip("resource")
    import signal

    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    ignored = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, before[1]))
    try:
        with pytest.raises(UserError, match=r"a\.csv: cannot be written \(File too large\)"):
            write_text(tmp_path / "a.csv", "x" * 2000)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, ignored)
    assert list(tmp_path.iterdir()) == []

"""`gansfer init`: what it writes on folders as people have them, and that it validates."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from gansfer.phantom.phantom_source import PhantomSource
from gansfer.settings import RoiSettings
from jobs.experiment.loading import load_experiment
from jobs.experiment.model import Experiment
from jobs.starting.shipped import shipped
from tests.jobs.conftest import Asked
from tests.jobs.experiments import ROOT
from tests.readers.layouts import (
    FOLDER_AFFINE,
    FOLDER_SHAPE,
    brain,
    write_bids,
    write_challenge,
    write_folder,
    write_nifti,
    write_t88,
)

Gansfer = Callable[..., Asked]


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("GANSFER_STORAGE", raising=False)
    monkeypatch.chdir(tmp_path)


@pytest.fixture(scope="module")
def phantoms(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six people of the built-in cohort as files, four of them with labels, and no table."""
    folder = tmp_path_factory.mktemp("phantoms")
    source = PhantomSource(4, 2, seed=0, roi=RoiSettings(voxel_mm=4.0))
    for subject in source.subjects():
        raw = source.load(subject.id)
        affine = raw.image.affine_ras.copy()
        affine[:3, 3] -= 4.0 * 6  # air round the head, as a scanner's field of view has
        image_xyz = np.pad(raw.image.array_xyz, 6)
        write_nifti(folder / "scans" / f"{subject.id}.nii.gz", image_xyz, affine)
        if raw.label is not None:
            label_xyz = np.pad(raw.label, 6)
            write_nifti(folder / "manual" / f"{subject.id}_seg.nii.gz", label_xyz, affine)
    return folder


def test_a_folder_of_images_and_labels_becomes_an_experiment_that_validates(
    phantoms: Path, tmp_path: Path, gansfer: Gansfer
) -> None:
    data = tmp_path / "data"
    shutil.copytree(phantoms, data)
    asked = gansfer("init", "folder", "--images", "data/scans", "--labels", "data/manual")
    assert asked.code == 0, asked.err
    files = [data / name for name in ("scans-people.csv", "scans.yaml", "gansfer-schema.json")]
    assert asked.out.splitlines()[:4] == [
        *(f"wrote {file}" for file in files),
        f"next: gansfer validate {data}/scans.yaml",
    ]
    text = files[1].read_text()
    assert text.startswith("# yaml-language-server: $schema=gansfer-schema.json\n")
    assert json.loads(files[2].read_text())["properties"].keys() == Experiment.model_fields.keys()
    assert "protocol: gansfer" in text and "    folder: scans\n" in text, "relative to the file"
    experiment = load_experiment(files[1])
    assert experiment.grid.folds == 4 and experiment.grid.label_counts == (1, 3)
    assert experiment.storage == f"{data}/runs"
    asked = gansfer("validate", files[1], "--workers", "1")
    assert asked.code == 0, asked.err
    assert "6 images, 4 labelled" in asked.out


def test_the_shorter_schedule_of_the_comments_is_valid(
    phantoms: Path, tmp_path: Path, gansfer: Gansfer
) -> None:
    out = tmp_path / "mine.yaml"
    arguments = ("--images", phantoms / "scans", "--labels", phantoms / "manual", "--out", out)
    assert gansfer("init", *arguments).code == 0
    text = out.read_text()
    uncommented = re.sub(r"^# ?(gan:|synthesis:|  +\w+:|  use_folds)", r"\1", text, flags=re.M)
    assert uncommented.count("\ngan:\n  latent_size: 128\n") == 1
    (tmp_path / "short.yaml").write_text(uncommented)
    short = load_experiment(tmp_path / "short.yaml")
    assert short.gan.phase_2.images == 20000 and short.segmenter.epochs == 5
    assert short.gan.phase_3.learning_rate == 2e-3
    assert short.name == "mine" and short.cohort.places()


def test_a_table_that_is_there_is_used(tmp_path: Path, gansfer: Gansfer) -> None:
    write_folder(tmp_path / "brains", n_labelled=3)
    assert gansfer("init", "--images", tmp_path / "brains").code == 0
    cohort = load_experiment(tmp_path / "brains.yaml").cohort
    assert cohort.structures == ("hippocampus", "thalamus")
    assert dict((key, path) for key, path, _ in cohort.places())["images.table"] == (
        f"{tmp_path}/brains/people.csv"
    )
    assert cohort.labels.model_dump()["protocol"] == "freesurfer"
    assert gansfer("validate", tmp_path / "brains.yaml", "--workers", "1").code == 0


def test_a_bids_dataset_with_its_derivatives(tmp_path: Path, gansfer: Gansfer) -> None:
    write_bids(tmp_path / "study")
    asked = gansfer("init", "--images", "study")
    assert asked.code == 0, asked.err
    cohort = load_experiment(tmp_path / "study.yaml").cohort
    assert (cohort.images.kind, cohort.labels.kind) == ("bids", "bids")
    assert cohort.structures == ("hippocampus", "thalamus"), "by the derivative's dseg.tsv"
    asked = gansfer("validate", "study.yaml", "--workers", "1")
    assert asked.code == 0, asked.err


def test_oasis_with_the_challenges_labels(tmp_path: Path, gansfer: Gansfer) -> None:
    write_t88(tmp_path / "oasis", "OAS1_0001_MR1", brain((44, 52, 44)))
    table = tmp_path / "oasis" / "oasis_cross-sectional.csv"
    table.write_text("ID,M/F,Age,CDR\nOAS1_0001_MR1,F,74,0\n")
    rows = [
        f"{n},OAS1_{n}_MR1,{20 + n % 10},F,0,{part},{repeat}"
        for n, part, repeat in (
            (1000, "training", ""),
            (1001, "testing", ""),
            (1002, "training", ""),
            (1003, "testing", "1001"),
        )
    ]
    write_challenge(tmp_path / "ch", rows, "id,oasis_session,age_years,sex,cdr,part,repeat_of")
    asked = gansfer("init", "oasis", "--images", "oasis", "--labels", "ch", "--out", "x.yaml")
    assert asked.code == 0, asked.err
    experiment = load_experiment(tmp_path / "x.yaml")
    assert experiment.cohort.images.kind == "oasis" and experiment.grid.folds == 3


def test_the_built_in_cohort_needs_nothing(tmp_path: Path, gansfer: Gansfer) -> None:
    assert gansfer("init", "phantom").code == 0
    experiment = load_experiment(tmp_path / "phantom.yaml")
    assert experiment.cohort.images.kind == "phantom"
    assert experiment.storage == f"{tmp_path}/runs"
    assert gansfer("validate", "phantom.yaml").code == 0


def test_what_comes_along_is_listed_and_copied(tmp_path: Path, gansfer: Gansfer) -> None:
    names = {line.split()[0] for line in gansfer("init", "--list").out.splitlines()}
    assert names == {
        str(path.relative_to(ROOT / "configs").with_suffix(""))
        for path in (ROOT / "configs").rglob("*.yaml")
    }
    asked = gansfer("init", "--copy", "oasis", "--out", "new/paper.yaml")
    assert asked.code == 0, asked.err
    written = {str(path.relative_to(tmp_path)) for path in (tmp_path / "new").rglob("*.*")}
    assert written == {
        "new/paper.yaml",
        "new/gansfer-schema.json",
        "new/clusters/slurm-apptainer.yaml",
    }
    experiment = load_experiment(tmp_path / "new" / "paper.yaml")
    assert experiment.cluster.partition == "gpu" and experiment.storage == f"{tmp_path}/new/runs"
    asked = gansfer("init", "--copy", "clusters/slurm", "--out", "site.yaml")
    assert asked.out.splitlines() == [
        "wrote site.yaml",
        "next: set partition and account, and name it in an experiment: cluster: site.yaml",
    ]
    # A site's own changes stay.
    asked = gansfer("init", "--copy", "oasis", "--out", "new/again.yaml")
    assert asked.out.splitlines()[0] == "wrote new/again.yaml" and "clusters" not in asked.out


@pytest.mark.parametrize("there", ["data.yaml", "data-people.csv"])
def test_nothing_is_overwritten_and_nothing_is_half_written(
    phantoms: Path, tmp_path: Path, gansfer: Gansfer, there: str
) -> None:
    (tmp_path / there).write_text("mine")
    arguments = ("--images", phantoms / "scans", "--labels", phantoms / "manual")
    asked = gansfer("init", "folder", *arguments, "--out", tmp_path / "data.yaml")
    assert (asked.code, asked.out) == (2, "")
    assert asked.err == (
        f"error: {tmp_path}/{there}: is there already, and is left as it is; give another --out\n"
    )
    assert [path.name for path in tmp_path.iterdir()] == [there]
    assert (tmp_path / there).read_text() == "mine"


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ((), "init: which images? Give their folder as --images, or the kind phantom"),
        (("--images", "nowhere"), "nowhere: is not a folder; give that of the images as --images"),
        (("--images", "empty"), "empty: no image (.nii, .nii.gz, .mgz) and no table"),
        (("--images", "empty", "--labels", "no"), "no: is not a folder; give that of the labels"),
        (("--images", "empty", "--table", "t.csv"), "t.csv: is not a file; give it as --table"),
        (("bids", "--images", "empty"), "empty: no sub-*/[ses-*/]anat/*_T1w.nii*; is this the BI"),
        (("oasis", "--images", "empty"), "empty: no oasis_cross-sectional.csv here or in the fol"),
        (("phantom", "--images", "empty"), "init: phantom takes --out and no data; leave out"),
        (
            ("--copy", "oassis"),
            "--copy oassis: no such experiment or site profile; did you mean oa",
        ),
        (("--images", "few"), "few: no image has a label; name them in the table's column label"),
        (("--images", "few", "--labels", "other"), "other/zz.nii.gz: its name begins as that of n"),
        (("--images", "few", "--labels", "one"), "few: 1 subject has labels, expected at least 2"),
        (
            ("--images", "odd"),
            "odd/images: the images lie on different grids, so each is in its own space",
        ),
        (
            ("--images", "few", "--labels", "one", "--protocol", "mine"),
            "--protocol mine: expected one of gansfer, neuromorphometrics, malpem, freesurfer",
        ),
    ],
)
def test_a_mistake_is_one_line_and_leaves_no_file(
    tmp_path: Path, gansfer: Gansfer, arguments: tuple[str, ...], told: str
) -> None:
    (tmp_path / "empty").mkdir()
    label = np.pad(np.full((1, 1, 1), 1, np.uint8), [(0, size - 1) for size in FOLDER_SHAPE])
    label[1, 1, 1:7] = range(2, 8)
    for name in ("a", "b"):
        write_nifti(tmp_path / "few" / f"{name}.nii.gz", brain(FOLDER_SHAPE), FOLDER_AFFINE)
    write_nifti(tmp_path / "other" / "zz.nii.gz", label, FOLDER_AFFINE)
    write_nifti(tmp_path / "one" / "a.nii.gz", label, FOLDER_AFFINE)
    write_folder(tmp_path / "odd")
    write_nifti(tmp_path / "odd" / "images" / "s3.nii.gz", brain((9, 9, 9)), FOLDER_AFFINE)
    before = sorted(tmp_path.rglob("*"))
    asked = gansfer("init", *arguments)
    assert (asked.code, asked.out) == (2, "")
    assert told in asked.err and len(asked.err.splitlines()) == 1
    assert sorted(tmp_path.rglob("*")) == before


def test_the_shipped_files_are_those_of_the_wheel() -> None:
    """What pyproject.toml's package data name is what the command offers."""
    link = ROOT / "jobs" / "starting" / "configs"
    assert link.is_symlink() and link.resolve() == ROOT / "configs"
    assert {"smoke", "oasis", "clusters/slurm"} <= shipped().keys()

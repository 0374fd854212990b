"""`gansfer segment` and `gansfer package` as a user asks for them."""

from __future__ import annotations

import csv
import json
import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from PIL import Image

from gansfer.evaluation.predictions import read_predictions
from gansfer.preprocessing.roi_check import roi_affine
from gansfer.resampling import resample_labels
from gansfer.structures import PAPER_STRUCTURES
from jobs.application import array_job
from jobs.inputs.sources import make_source
from tests.jobs.conftest import Asked, Finished
from tests.jobs.experiments import RATIO, ROOT

Gansfer = Callable[..., Asked]


@pytest.fixture(scope="module")
def scans(finished: Finished, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The run's test subjects as files with masks, left-posterior-superior, and their table."""
    folder = tmp_path_factory.mktemp("scans")
    source = make_source(finished.plan.experiment)
    rows = ["id,image,mask"]
    for subject_id in read_predictions(finished.storage.files(finished.task(RATIO)).predictions):
        raw = source.load(subject_id)
        flipped = raw.image.affine_ras @ np.diag([-1.0, -1.0, 1.0, 1.0])
        shape = np.array(raw.image.array_xyz.shape)
        flipped[:3, 3] = (raw.image.affine_ras @ [shape[0] - 1, shape[1] - 1, 0, 1])[:3]
        assert raw.brain_mask is not None
        for name, array in ((subject_id, raw.image.array_xyz), ("mask", raw.brain_mask)):
            stem = subject_id if name == subject_id else f"{subject_id}_mask"
            image = nib.Nifti1Image(np.asarray(array, np.float32)[::-1, ::-1], flipped)
            nib.save(image, folder / f"{stem}.nii.gz")
        rows.append(f"{subject_id},{subject_id}.nii.gz,{subject_id}_mask.nii.gz")
    (folder / "people.csv").write_text("\n".join(rows) + "\n")
    return folder


def test_the_test_subjects_are_segmented_as_in_the_run(
    finished: Finished, scans: Path, gansfer: Gansfer, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    said = gansfer("segment", finished.config, "--table", scans / "people.csv", "--out", out)
    assert said.code == 0, said.err
    assert "cell  seed-0/fold-0/labels-01/ratio-2to1" in said.out
    files, roi = finished.storage.files(finished.task(RATIO)), finished.plan.experiment.cohort.roi
    own = read_predictions(files.predictions)
    for subject_id, run_zhw in own.items():
        written = nib.Nifti1Image.from_filename(out / f"{subject_id}_dseg.nii.gz")
        image = nib.Nifti1Image.from_filename(scans / f"{subject_id}.nii.gz")
        assert written.shape == image.shape and written.get_data_dtype() == np.uint8
        np.testing.assert_allclose(written.affine, image.affine, atol=1e-5)
        back = np.linalg.inv(written.affine) @ roi_affine(roi)
        again_zhw = resample_labels(np.asarray(written.dataobj), back, roi.shape_zhw)
        np.testing.assert_array_equal(again_zhw, run_zhw)
        with Image.open(out / f"{subject_id}_check.png") as picture:
            assert min(picture.size) > 80
    with (out / "volumes.tsv").open() as file:
        rows = {row["id"]: row for row in csv.DictReader(file, delimiter="\t")}
    assert rows.keys() == own.keys()
    for subject_id, run_zhw in own.items():
        in_mm3 = [float(rows[subject_id][f"{name}_mm3"]) for name in PAPER_STRUCTURES]
        assert in_mm3 == [80.0 * np.count_nonzero(run_zhw == n) for n in range(1, 8)]
    table = (out / "dseg.tsv").read_text().splitlines()
    assert table[:3] == ["index\tname", "0\tbackground", "1\taccumbens"]
    # What is done is not done again, and nothing else was left.
    again = gansfer("segment", finished.config, "--table", scans / "people.csv", "--out", out)
    assert again.code == 0 and f"{len(own)} done before" in again.out
    assert len(list(out.iterdir())) == 3 * len(own) + 2


def test_a_packaged_model_needs_no_run(
    finished: Finished, scans: Path, gansfer: Gansfer, tmp_path: Path
) -> None:
    copy = finished.copied(tmp_path / "elsewhere")
    model, cell = tmp_path / "x.gansfer", "fold-0/labels-01/baseline"
    made = gansfer("package", copy.config, model, "--cell", cell, "--licence", "mine")
    assert made.code == 0 and "seed-0/fold-0/labels-01/baseline (as asked)" in made.out, made.err
    images = sorted(scans.glob("*_mask.nii.gz"))
    masks = [part for one in images for part in ("--mask", one)]
    images = [one.with_name(one.name.replace("_mask", "")) for one in images]
    by_run = gansfer(
        "segment", copy.config, *images, *masks, "--cell", cell, "--out", tmp_path / "a"
    )
    shutil.rmtree(copy.config.parent)
    by_file = gansfer("segment", model, *images, *masks, "--out", tmp_path / "b")
    for option, value in (("--cell", cell), ("--set", "seed=1")):
        asked = gansfer("segment", model, *images, *masks, option, value, "--out", tmp_path / "c")
        assert asked.code == 2 and f"{option} {value}: " in asked.err
    assert (by_run.code, by_file.code) == (0, 0), by_run.err + by_file.err
    for path in (tmp_path / "a").glob("*"):
        assert path.read_bytes() == (tmp_path / "b" / path.name).read_bytes(), path.name


def test_what_segment_cannot_use_is_one_line_each_and_nothing_is_written(
    finished: Finished, scans: Path, gansfer: Gansfer, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    image = min(scans.glob("*[0-9].nii.gz"))
    mask = image.with_name(image.name.replace(".nii", "_mask.nii"))
    cut = tmp_path / "cut.nii.gz"
    cut.write_bytes(image.read_bytes()[:2000])
    (tmp_path / "file").write_text("")
    for arguments, said in (
        ([image], "no mask, and the image is not brain-extracted"),
        ([tmp_path / "none.nii.gz"], "no such file"),
        ([cut, image, "--mask", mask, "--mask", mask], "cut.nii.gz: cannot be read"),
        ([image, "--mask", mask, "--mask", mask], "2 masks for 1 images"),
        ([image, "--mask", mask, "--cell", "fold-9/labels-01/baseline"], "no such segmenter"),
        (["--table", tmp_path / "none.csv"], "none.csv"),
    ):
        asked = gansfer("segment", finished.config, *arguments, "--out", out)
        assert asked.code == 2 and said in asked.err, asked
        assert all(line.startswith("error: ") for line in asked.err.splitlines())
        assert not out.exists()
    asked = gansfer("segment", finished.config, image, "--mask", mask, "--out", tmp_path / "file")
    assert asked.code == 2 and "is a file; give a folder" in asked.err
    asked = gansfer("segment", tmp_path / "none.gansfer", image, "--out", out)
    assert asked.code == 2 and "give a model that gansfer package has written" in asked.err


def test_results_of_another_model_or_image_are_not_mixed(
    finished: Finished, scans: Path, gansfer: Gansfer, tmp_path: Path
) -> None:
    out, image = tmp_path / "out", tmp_path / "a.nii.gz"
    first = min(scans.glob("*[0-9].nii.gz"))
    mask = first.with_name(first.name.replace(".nii", "_mask.nii"))
    shutil.copy(first, image)
    arguments = (image, "--mask", mask, "--out", out)
    assert gansfer("segment", finished.config, *arguments).code == 0
    other = gansfer("segment", finished.config, *arguments, "--cell", "fold-0/labels-01/baseline")
    assert other.code == 2 and "is of another model or cell" in other.err
    image.write_bytes(image.read_bytes() + b"\0")
    other = gansfer("segment", finished.config, *arguments)
    assert other.code == 2 and "the image was changed since" in other.err
    record = json.loads((out / "a_dseg.json").read_text())
    assert record["cell"] == "seed-0/fold-0/labels-01/ratio-2to1"


def test_an_image_that_fails_later_leaves_the_others_whole(
    finished: Finished,
    scans: Path,
    gansfer: Gansfer,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A registration can fail that no check foresees."""
    from gansfer.errors import UserError
    from jobs.application import segment_images

    real, failing = segment_images.segment_image, min(scans.glob("*_mask.nii.gz")).name[:12]

    def sometimes(raw, model, **options):  # type: ignore[no-untyped-def]
        if raw.subject.id == failing:
            raise UserError(f"{failing}: registration: similarity 0.10")
        return real(raw, model, **options)

    monkeypatch.setattr(segment_images, "segment_image", sometimes)
    table, out = scans / "people.csv", tmp_path / "out"
    asked = gansfer("segment", finished.config, "--table", table, "--out", out)
    assert asked.code == 2 and f"error: {failing}: registration" in asked.err
    assert "1 segmented, 1 not" in asked.out
    assert not list(out.glob(f"{failing}*")) and len(list(out.glob("*_dseg.nii.gz"))) == 1


def test_an_array_segments_what_one_process_would(
    finished: Finished,
    scans: Path,
    gansfer: Gansfer,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The script that sbatch gets is run here, element by element, as SLURM would."""
    programs, script, out = tmp_path / "bin", tmp_path / "script", tmp_path / "out"
    programs.mkdir()
    for name, body in {
        "sbatch": f'cp "$1" {script}; echo "Submitted batch job 7"',
        "scontrol": 'echo "MaxArraySize = 1000"',
    }.items():
        (programs / name).write_text(f"#!/bin/bash\n{body}\n")
        (programs / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{programs}:{os.environ['PATH']}")
    monkeypatch.setattr(array_job, "IMAGES_OF_AN_ELEMENT", 1)
    table = ("--table", scans / "people.csv")
    site = ("--set", "cluster.partition=short", "--set", "resources.segment_cohort.time_h=0.5")
    asked = gansfer("segment", finished.config, *table, "--out", out, "--submit", *site)
    assert asked.code == 0 and "job 7: 2 images in 2 elements" in asked.out, asked
    options = [line for line in script.read_text().splitlines() if line.startswith("#SBATCH")]
    assert any("--array=0-1" in line for line in options), options
    assert "#SBATCH --partition=short" in options and "#SBATCH --time=30" in options
    assert not list(out.glob("*_dseg*"))
    for element in ("0", "1"):
        ran = subprocess.run(
            ["bash", str(script)],
            env={
                **os.environ,
                "PYTHONPATH": str(ROOT),
                "SLURM_JOB_ID": f"{7 + int(element)}",
                "SLURM_ARRAY_JOB_ID": "7",
                "SLURM_ARRAY_TASK_ID": element,
            },
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=False,
        )
        assert ran.returncode == 0, ran.stdout + ran.stderr
        assert len(list(out.glob("*_dseg.json"))) == 1 + int(element)
    here = tmp_path / "here"
    assert gansfer("segment", finished.config, *table, "--out", here).code == 0
    for path in here.glob("*.*"):
        assert path.read_bytes() == (out / path.name).read_bytes(), path.name
    again = gansfer("segment", finished.config, *table, "--out", out, "--submit")
    assert again.code == 0 and "2 done before" in again.out and "job" not in again.out


def test_what_cannot_be_submitted_is_one_line_and_leaves_nothing(
    finished: Finished,
    scans: Path,
    gansfer: Gansfer,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    model = tmp_path / "x.gansfer"
    assert gansfer("package", finished.config, model).code == 0
    table, out = ("--table", scans / "people.csv"), tmp_path / "out"
    asked = gansfer("segment", model, *table, "--out", out, "--submit")
    assert asked.code == 2 and "knows no cluster" in asked.err
    odd = tmp_path / "my results"
    asked = gansfer("segment", finished.config, *table, "--out", odd, "--submit")
    assert asked.code == 2 and "names the job" in asked.err
    asked = gansfer("segment", model, *table, "--out", out, "--part", "2/2")
    assert asked.code == 2 and "expected K/N" in asked.err
    assert not out.exists() and not odd.exists()
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "sbatch").write_text("#!/bin/bash\necho bad partition >&2; exit 1\n")
    (tmp_path / "bin" / "sbatch").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}/bin:{os.environ['PATH']}")
    asked = gansfer("segment", finished.config, *table, "--out", out, "--submit")
    assert asked.code == 2 and "sbatch refused: bad partition" in asked.err
    assert not list(out.glob("*_dseg*"))


def test_package_refuses_what_it_cannot_write(
    finished: Finished, gansfer: Gansfer, tmp_path: Path
) -> None:
    there = tmp_path / "there.gansfer"
    there.write_text("mine")
    for arguments, said in (
        ([tmp_path / "x.zip"], "ends in .gansfer"),
        ([there], "is there already"),
        ([tmp_path / "x.gansfer", "--cell", "fold-0/labels-01/p7"], "no such segmenter"),
    ):
        asked = gansfer("package", finished.config, *arguments)
        assert asked.code == 2 and said in asked.err, asked
    assert there.read_text() == "mine" and len(list(tmp_path.iterdir())) == 1
    absent = gansfer("package", tmp_path / "no.yaml", tmp_path / "x.gansfer")
    assert absent.code == 2 and "no.yaml" in absent.err


def test_a_damaged_model_of_a_run_is_not_used(
    finished: Finished, gansfer: Gansfer, tmp_path: Path
) -> None:
    copy = finished.copied(tmp_path / "copy")
    path = copy.storage.files(copy.task(RATIO)).model
    content = bytearray(path.read_bytes())
    content[-5] ^= 1
    path.write_bytes(content)
    asked = gansfer("package", copy.config, tmp_path / "x.gansfer")
    assert asked.code == 2 and "was damaged since it was written" in asked.err
    assert not (tmp_path / "x.gansfer").exists()

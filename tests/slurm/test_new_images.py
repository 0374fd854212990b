"""`gansfer segment --submit` on a real SLURM: the label maps are those of the command itself."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest
from nibabel.nifti1 import Nifti1Image

from gansfer.phantom.phantom_source import PhantomSource
from gansfer.settings import RoiSettings
from tests.slurm.throwaway import wait_until
from tests.slurm.trials import Trial

pytestmark = [pytest.mark.slurm, pytest.mark.slow]


def new_images(folder: Path, n: int) -> Path:
    """A table of so many new images in the common space."""
    source = PhantomSource(n, 0, seed=99, roi=RoiSettings(voxel_mm=4.0))
    table = folder / "people.csv"
    with table.open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(("id", "image", "mask"))
        for subject in source.subjects():
            raw = source.load(subject.id)
            given = {"image": raw.image.array_xyz, "mask": raw.brain_mask}
            files = [folder / f"{subject.id}-{what}.nii.gz" for what in given]
            for path, array_xyz in zip(files, given.values(), strict=True):
                picture = Nifti1Image(np.asarray(array_xyz, np.float32), raw.image.affine_ras)
                picture.to_filename(path)
            rows.writerow((subject.id, *files))
    return table


def label_maps(folder: Path) -> dict[str, np.ndarray]:
    return {
        path.name: np.asarray(Nifti1Image.from_filename(path).dataobj)
        for path in folder.rglob("*.nii.gz")
    }


def test_an_array_segments_what_the_command_does(undisturbed: Trial, tmp_path: Path) -> None:
    table = new_images(tmp_path, 10)  # more than one element's share
    here, there = tmp_path / "here", tmp_path / "there"
    options = ("--table", str(table), "--cell", "fold-0/labels-03/baseline")
    undisturbed.gansfer("segment", *options, "--out", str(here))
    said = undisturbed.gansfer("segment", *options, "--out", str(there), "--submit")
    assert "10 images in 2 elements" in said

    def ended() -> bool:
        return "there.segment" not in undisturbed.cluster.run("squeue", "-h", "-r", "-o", "%j")

    wait_until(ended, 300, "the end of the array", 1.0)
    mine, theirs = label_maps(here), label_maps(there)
    assert len(mine) == 10 and mine.keys() == theirs.keys()
    assert all(np.array_equal(mine[name], theirs[name]) for name in mine)
    assert any(labels.any() for labels in mine.values())
    again = undisturbed.gansfer("segment", *options, "--out", str(there), "--submit")
    assert "10 done before" in again and "job " not in again

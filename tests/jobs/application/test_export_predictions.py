"""Predictions of a run, exported, are what the run holds, where the region lies."""

from __future__ import annotations

import csv
from collections.abc import Callable
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from gansfer.cohort.shards import Cohort
from gansfer.evaluation.predictions import read_predictions
from gansfer.structures import PAPER_STRUCTURES
from tests.jobs.conftest import Asked, Finished
from tests.jobs.experiments import BASELINE, COHORT_BASELINE

Gansfer = Callable[..., Asked]


@pytest.mark.parametrize(
    ("task", "cell"),
    [(COHORT_BASELINE, "labels-01/baseline"), (BASELINE, "seed-0/fold-0/labels-01/baseline")],
)
def test_label_maps_and_volumes_are_those_of_the_run(
    finished: Finished, gansfer: Gansfer, tmp_path: Path, task: str, cell: str
) -> None:
    asked = gansfer(
        "export", finished.config, "--cell", cell, "--predictions", "--out", tmp_path / "out"
    )
    assert asked.code == 0, asked.err
    own = read_predictions(finished.storage.files(finished.task(task)).predictions)
    (folder,) = (tmp_path / "out").iterdir()
    assert folder.name == "seed-0_" + cell.removeprefix("seed-0/").replace("/", "_")
    with (folder / "volumes.tsv").open() as file:
        rows = {row["id"]: row for row in csv.DictReader(file, delimiter="\t")}
    assert rows.keys() == own.keys()
    ras_from_zhw = Cohort(finished.storage.cohort).ras_from_zhw
    for subject_id, label_zhw in own.items():
        image = nib.Nifti1Image.from_filename(folder / f"{subject_id}_dseg.nii.gz")
        label_xyz = np.asarray(image.dataobj)
        np.testing.assert_array_equal(label_xyz.transpose(2, 1, 0), label_zhw)
        np.testing.assert_allclose(image.affine @ [5, 3, 2, 1], ras_from_zhw @ [2, 3, 5, 1])
        in_mm3 = [float(rows[subject_id][f"{name}_mm3"]) for name in PAPER_STRUCTURES]
        assert in_mm3 == [80.0 * np.count_nonzero(label_zhw == n) for n in range(1, 8)]
    again = gansfer(
        "export", finished.config, "--cell", cell, "--predictions", "--out", folder.parent
    )
    assert again.code == 2 and "is there already" in again.err


def test_what_cannot_be_exported_is_named_and_nothing_is_written(
    finished: Finished, gansfer: Gansfer, tmp_path: Path
) -> None:
    copy = finished.copied(tmp_path / "copy")
    copy.undo(COHORT_BASELINE)
    path = copy.storage.files(copy.task(BASELINE)).predictions
    path.write_bytes(path.read_bytes()[:-1])
    for cell, said in {
        "labels-01/baseline": "is missing, expected done",
        "fold-0/labels-01/baseline": "was damaged",
        "fold-9/labels-01/baseline": "no predictions of this cell",
    }.items():
        asked = gansfer(
            "export", copy.config, "--cell", cell, "--predictions", "--out", tmp_path / "out"
        )
        assert asked.code == 2 and said in asked.err, asked
    asked = gansfer(
        "export",
        finished.config,
        "--cell",
        "labels-01/baseline",
        "--predictions",
        "--phase",
        "2",
        "--out",
        tmp_path / "out",
    )
    assert asked.code == 2 and "leave out" in asked.err
    assert not (tmp_path / "out").exists()

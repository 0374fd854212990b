"""What the stages of a finished experiment have written, and that the files agree."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import numpy.typing as npt
import pytest

from gansfer.cohort.shards import Cohort
from gansfer.cohort.training_data import Roles
from gansfer.evaluation.predictions import read_predictions
from gansfer.synthesis.synthetic_sets import read_synthetic
from gansfer.training.precision import settled_precision
from jobs.stages.inputs import roles_of
from tests.jobs.conftest import Finished
from tests.jobs.experiments import BASELINE, COHORT_BASELINE, GAN, RATIO, SYNTHESISE

Labels = npt.NDArray[np.uint8]


@pytest.fixture(scope="module")
def cohort(finished: Finished) -> Cohort:
    return Cohort(finished.storage.cohort)


@pytest.fixture(scope="module")
def roles(finished: Finished, cohort: Cohort) -> Roles:
    return roles_of(finished.plan.experiment, cohort, finished.task(GAN).cell)


def facts(finished: Finished, task_id: str) -> dict[str, Any]:
    manifest = finished.storage.read_manifest(finished.task(task_id))
    assert manifest is not None
    return dict(manifest["facts"])


def rows(path: Path) -> Iterator[dict[str, str]]:
    with path.open(newline="") as file:
        yield from csv.DictReader(file)


def metric(path: Path, subject: str, structure: str, name: str) -> float:
    (value,) = (
        row["value"]
        for row in rows(path)
        if (row["subject"], row["structure"], row["metric"]) == (subject, structure, name)
    )
    return float(value)


def test_the_cohort_holds_everybody(finished: Finished, cohort: Cohort) -> None:
    assert facts(finished, "prepare")["subjects"] == len(cohort.subjects) == 8
    assert facts(finished, "prepare")["labelled"] == 4
    assert cohort.images([one.id for one in cohort.subjects]).shape == (8, 12, 20, 20)
    assert not (finished.storage.cohort / ".parts").exists()


def test_who_trained_and_who_was_tested_is_on_record(finished: Finished, roles: Roles) -> None:
    found = facts(finished, GAN)
    assert found["training_subjects"] == list(roles.training_ids)
    assert (found["pool_subjects"], found["pool_holds_test_subjects"]) == (8, True)
    assert len(found["voxels_clipped_by_channel"]) == 8
    for task_id, training in ((RATIO, list(roles.training_ids)), (BASELINE, roles.training_ids)):
        assert facts(finished, task_id)["training_subjects"] == list(training)
        assert facts(finished, task_id)["test_subjects"] == list(roles.test_ids)
    synthetic_only = RATIO.replace("ratio-2to1", "synthetic")
    assert facts(finished, synthetic_only)["training_subjects"] == []


def test_an_arm_trains_on_what_was_kept_of_phases_2_and_3(finished: Finished) -> None:
    made = [read_synthetic(finished.folder(SYNTHESISE) / f"phase-{k}.h5") for k in (1, 2, 3)]
    assert facts(finished, RATIO)["synthetic_slices"] == len(made[1]) + len(made[2]) == 36
    assert facts(finished, BASELINE)["synthetic_slices"] == 0
    assert facts(finished, BASELINE)["achieved_real_per_synthetic"] is None
    assert 1.2 < facts(finished, RATIO)["achieved_real_per_synthetic"] < 3.5  # of 80 draws


def test_the_precision_that_a_segmenter_computed_in_is_on_record(finished: Finished) -> None:
    for task_id in (BASELINE, RATIO):
        assert facts(finished, task_id)["precision"] == settled_precision("auto", "cpu")


def test_the_same_latents_are_drawn_in_every_phase(finished: Finished) -> None:
    folder = finished.folder(SYNTHESISE)
    made = [read_synthetic(folder / f"phase-{k}.h5", kept_only=False) for k in (1, 2, 3)]
    assert all(len(one) == 24 for one in made)
    for one in made[1:]:
        assert np.array_equal(one.latent_seed_k, made[0].latent_seed_k)
        assert np.array_equal(one.latent_index_k, np.arange(24))
        assert not np.array_equal(one.image_khw, made[0].image_khw)
    with h5py.File(folder / "phase-2.h5") as file:
        assert (file.attrs["phase"], file.attrs["task"]) == (2, SYNTHESISE)


def test_metrics_are_those_of_the_predictions(
    finished: Finished, cohort: Cohort, roles: Roles
) -> None:
    predicted = read_predictions(finished.folder(RATIO) / "predictions.h5")
    assert list(predicted) == list(roles.test_ids)
    path = finished.folder(RATIO) / "metrics.csv"
    for subject, label_zhw in predicted.items():
        truth_zhw = cohort.labels([subject])[0]
        both = ((label_zhw > 0) & (truth_zhw > 0)).sum()
        overall = 2 * both / ((label_zhw > 0).sum() + (truth_zhw > 0).sum())
        assert metric(path, subject, "overall", "dsc") == pytest.approx(overall)
        putamen = 1 + cohort.structures.index("putamen")
        volume_mm3 = 80.0 * (label_zhw == putamen).sum()
        assert metric(path, subject, "putamen", "volume_mm3") == volume_mm3


def test_the_full_cohort_is_segmented_by_the_analysis_folds_model(
    finished: Finished, cohort: Cohort
) -> None:
    found = facts(finished, COHORT_BASELINE)
    assert (found["fold"], found["subjects"], found["references"]) == (0, 8, 8)
    predicted = read_predictions(finished.folder(COHORT_BASELINE) / "predictions.h5")
    assert list(predicted) == [one.id for one in cohort.subjects if one.in_pool]
    of_fold = read_predictions(finished.folder(BASELINE) / "predictions.h5")
    for subject, label_zhw in of_fold.items():  # the same model on the same images
        assert np.array_equal(predicted[subject], label_zhw)


def test_the_report_has_every_result_once_and_the_right_people(
    finished: Finished, cohort: Cohort, roles: Roles
) -> None:
    found = list(rows(finished.storage.report.table("metrics")))
    keys = [
        tuple(row[key] for key in ("arm", "set", "subject", "structure", "metric")) for row in found
    ]
    assert len(set(keys)) == len(keys)
    tested = {row["subject"] for row in found if row["set"] == "test"}
    assert tested == set(roles.test_ids)
    analysed = {row["subject"] for row in found if row["set"] == "cohort"}
    assert analysed == {one.id for one in cohort.subjects if not one.labelled}  # III.G
    assert {row["arm"] for row in found} == {"baseline", "ratio-2to1", "synthetic"}
    assert {(row["seed"], row["fold"], row["labels"]) for row in found} == {("0", "0", "1")}
    ages = {one.id: one.age_years for one in cohort.subjects}
    assert all(float(row["age_years"]) == ages[row["subject"]] for row in found)


def test_the_page_says_that_it_is_complete_and_of_what(finished: Finished) -> None:
    page = finished.storage.report.page.read_text()
    assert "Complete: all 6 planned results are here." in page
    assert (
        "the built-in phantom cohort at 4 mm in slices 5 mm apart, 4 labelled and 4 unlabelled "
        "subjects" in page
    )
    assert "As in the paper, the unlabelled pool holds the images (without labels)" in page
    assert facts(finished, "aggregate")["missing"] == []


@pytest.mark.parametrize("folder", ["phase-1", "phase-2", "phase-3"])
def test_every_phase_leaves_its_log_and_pictures(finished: Finished, folder: str) -> None:
    phase = finished.folder(GAN) / folder
    records = [json.loads(line) for line in (phase / "log.jsonl").read_text().splitlines()]
    steps = [record["step"] for record in records]
    assert steps == sorted(set(steps))
    for name in ("samples.png", "losses.png"):
        assert (phase / name).read_bytes().startswith(b"\x89PNG")
    assert not list(phase.glob("checkpoint-*"))

"""The report's pictures of segmentations, from the products of a finished experiment."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from gansfer.cohort.shards import Cohort
from gansfer.errors import UserError
from gansfer.report.viewer.shown_subjects import ShownSubject
from jobs.reporting.metric_files import metric_rows, subjects_by_id
from jobs.reporting.stored_segmentations import StoredSegmentations
from tests.jobs.conftest import Finished
from tests.jobs.experiments import BASELINE, RATIO, Trial


def _first_tested(trial: Trial) -> tuple[ShownSubject, float]:
    """A test subject of the baseline, and its overall Dice."""
    rows = metric_rows(trial.plan, trial.storage, trial.ledger(), subjects_by_id(trial.storage))
    rows = rows[(rows["set"] == "test") & (rows["arm"] == "baseline") & (rows["metric"] == "dsc")]
    row = rows[rows["structure"] == "overall"].iloc[-1]
    shown = ShownSubject("only", 1, 0, 0, row["subject"], "ratio-2to1", 0.0, 0.0, 1)
    return shown, float(row["value"])


def test_the_volumes_are_those_that_the_dice_was_measured_on(finished: Finished) -> None:
    shown, dsc = _first_tested(finished)
    volumes = StoredSegmentations(finished.plan, finished.storage).read(shown)
    cohort = Cohort(finished.storage.cohort)
    np.testing.assert_array_equal(volumes.image_zhw, cohort.images([shown.subject])[0])
    ours, theirs = volumes.baseline_zhw > 0, volumes.reference_zhw > 0
    overlap = 2 * np.sum(ours & theirs) / (ours.sum() + theirs.sum())
    assert float(overlap) == pytest.approx(dsc)
    assert (volumes.augmented_zhw != volumes.baseline_zhw).any()


def test_damaged_predictions_are_not_shown_and_their_task_runs_again(
    finished: Finished, tmp_path: Path
) -> None:
    trial = finished.copied(tmp_path)
    shown, _ = _first_tested(trial)
    path = trial.storage.files(trial.task(RATIO)).predictions
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(UserError, match=f"was damaged since it was written: {RATIO} has to be run"):
        StoredSegmentations(trial.plan, trial.storage).read(shown)
    assert not trial.ledger().done(trial.task(RATIO))
    assert trial.ledger().done(trial.task(BASELINE))


def test_a_subject_that_was_not_segmented_is_named(finished: Finished) -> None:
    tested = finished.storage.read_manifest(finished.task(BASELINE))
    assert tested is not None
    other = next(
        subject.id
        for subject in Cohort(finished.storage.cohort).subjects
        if subject.labelled and subject.id not in tested["facts"]["test_subjects"]
    )
    unknown = ShownSubject("only", 1, 0, 0, other, "ratio-2to1", 0.0, 0.0, 1)
    with pytest.raises(UserError, match=f"no segmentation of {other}, wanted one of"):
        StoredSegmentations(finished.plan, finished.storage).read(unknown)

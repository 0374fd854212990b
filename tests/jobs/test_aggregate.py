"""What the report is told of the plan and the people, from products that are only pretended."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from gansfer.cohort.subjects import Subject
from jobs import aggregate
from tests.jobs.experiments import COHORT_BASELINE, Trial


def test_every_labelled_person_counts_as_labelled() -> None:
    shared = {"sex": None, "in_pool": True}
    people = [
        Subject("a", age_years=20.0, cdr=0.0, labelled=True, **shared),
        Subject("b", age_years=None, cdr=None, labelled=True, **shared),
        Subject("c", age_years=70.0, cdr=1.0, labelled=False, **shared),
    ]
    table = aggregate._labelled(people)
    assert list(table["subject"]) == ["a", "b"]
    assert np.isnan(table["cdr"].iloc[1])


def test_the_analysis_fold_is_known_from_any_model_of_it(tmp_path: Path) -> None:
    trial = Trial.make(tmp_path, grid={"analysis_fold": "auto"})
    expected = aggregate._expected(trial.plan, trial.ledger())
    assert set(expected.loc[expected["set"] == "cohort", "fold"]) == {-1}
    trial.pretend(*(task.id for task in trial.plan.tasks))
    others = [task for task in trial.plan.of_stage("segment_cohort") if task.id != COHORT_BASELINE]
    for task in others:
        trial.undo(task.id)
    task = trial.task(COHORT_BASELINE)
    manifest = trial.storage.read_manifest(task)
    assert manifest is not None
    trial.storage.write_manifest(task, {**manifest, "facts": {"fold": 1}})
    expected = aggregate._expected(trial.plan, trial.ledger())
    assert list(expected.loc[expected["set"] == "cohort", "fold"]) == [1] * (1 + len(others))

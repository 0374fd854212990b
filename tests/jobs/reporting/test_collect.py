"""What the report is told of the plan and the people, from products that are only pretended."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from gansfer.subjects import Subject
from jobs.commands.results_table import results_table
from jobs.experiment.loading import parse_experiment
from jobs.reporting import collect as aggregate
from jobs.reporting.files import pictures_of, planned_files, quality_of
from tests.jobs.experiments import COHORT_BASELINE, SYNTHESISE, TINY, Trial


def test_every_labelled_person_counts_as_labelled() -> None:
    shared: dict[str, Any] = {"sex": None, "in_pool": True}
    people = [
        Subject("a", age_years=20.0, cdr=0.0, labelled=True, **shared),
        Subject("b", age_years=None, cdr=None, labelled=True, **shared),
        Subject("c", age_years=70.0, cdr=1.0, labelled=False, **shared),
    ]
    table = aggregate._labelled(people)
    assert list(table["subject"]) == ["a", "b"]
    assert np.isnan(table["cdr"].iloc[1])


def test_the_papers_data_are_known_by_what_they_are_and_not_by_name() -> None:
    oasis = {
        "images": {"kind": "oasis", "discs": "d", "table": "t.csv"},
        "labels": {"kind": "challenge", "folder": "c"},
        "references": {"kind": "none"},
        "roi": {"voxel_mm": 1.0},
    }
    labelled = [Subject(f"L{k}", labelled=True) for k in range(30)]
    pool = [Subject(f"U{k}", in_pool=True) for k in range(436)]
    paper = parse_experiment({**TINY, "name": "again", "cohort": oasis, "gan": {}}, "test")
    assert aggregate._is_paper_data(paper, [*labelled, *pool])
    assert aggregate._is_paper_data(paper, [])
    assert not aggregate._is_paper_data(paper, [*labelled, *pool[1:]])
    roi = paper.cohort.roi.model_copy(update={"voxel_mm": 4.0})
    coarse = paper.cohort.model_copy(update={"roi": roi})
    named = paper.model_copy(update={"name": "oasis", "cohort": coarse})
    assert not aggregate._is_paper_data(named, [*labelled, *pool])
    assert not aggregate._is_paper_data(parse_experiment(TINY, "test"), [*labelled, *pool])


def test_the_analysis_fold_is_known_from_any_model_of_it(tmp_path: Path) -> None:
    trial = Trial.make(tmp_path, grid={"analysis_fold": "auto"})
    expected = aggregate._expected(trial.plan, trial.ledger(), {})
    assert set(expected.loc[expected["set"] == "cohort", "fold"]) == {-1}
    trial.pretend(*(task.id for task in trial.plan.tasks))
    others = [task for task in trial.plan.of_stage("segment_cohort") if task.id != COHORT_BASELINE]
    for task in others:
        trial.undo(task.id)
    task = trial.task(COHORT_BASELINE)
    manifest = trial.storage.read_manifest(task)
    assert manifest is not None
    trial.storage.write_manifest(task, {**manifest, "facts": {"fold": 1}})
    expected = aggregate._expected(trial.plan, trial.ledger(), {})
    assert list(expected.loc[expected["set"] == "cohort", "fold"]) == [1] * (1 + len(others))


def test_the_first_cause_of_what_is_stale_is_given(tmp_path: Path) -> None:
    chosen = {"analysis_fold": 0}
    trial = Trial.make(tmp_path, grid=chosen)
    trial.pretend(*(task.id for task in trial.plan.tasks))
    now = trial.changed(grid=chosen, gan={"phase_3": {"images": 40}})
    expected = aggregate._expected(now.plan, now.ledger(), {0: 2}).set_index(["set", "arm"])[
        "stale"
    ]
    assert expected["test", "baseline"] == ""
    assert expected["test", "ratio-2to1"] == "gan.phase_3.images was 24, is 40"
    assert expected["cohort", "ratio-2to1"] == "gan.phase_3.images was 24, is 40"


def test_every_file_of_a_gan_is_planned_and_looked_for(tmp_path: Path) -> None:
    trial = Trial.make(tmp_path)
    trial.pretend(*(task.id for task in trial.plan.tasks))
    folder = trial.folder(SYNTHESISE)
    (folder / "latents.png").touch()
    (folder / "quality.csv").write_text("phase,measure\n1,recall\n")
    files = planned_files(trial.plan, trial.storage, trial.ledger())
    assert set(files["file"]) == {
        *(f"phase-{phase}/{kind}.png" for phase in (1, 2, 3) for kind in ("samples", "losses")),
        *(f"{name}.png" for name in ("latents", "embedding", "postprocessing", "nearest")),
        "rejected.png",
        "quality.csv",
    }
    assert set(files.loc[files["there"], "file"]) == {"latents.png", "quality.csv"}
    (picture,) = pictures_of(files)
    assert (picture.kind, picture.phase, picture.labels) == ("latents", None, 1)
    assert list(quality_of(files)["labels"]) == [1]


def test_a_filter_that_keeps_all_has_no_picture_of_rejected_slices(tmp_path: Path) -> None:
    trial = Trial.make(tmp_path)
    trial.pretend(*(task.id for task in trial.plan.tasks))
    task = trial.task(SYNTHESISE)
    manifest = trial.storage.read_manifest(task)
    assert manifest is not None
    facts = {"phase_3": {"slices": 24, "kept": 24}}
    trial.storage.write_manifest(task, {**manifest, "facts": facts})
    files = planned_files(trial.plan, trial.storage, trial.ledger())
    assert "rejected.png" not in set(files["file"])


def test_the_plan_knows_how_many_people_a_fold_tests(tmp_path: Path) -> None:
    trial = Trial.make(tmp_path)
    people = [Subject(f"p{i}", labelled=i < 7) for i in range(9)]
    found = aggregate._subjects_by_fold(trial.plan, people)
    assert sorted(found.values()) == [3, 4]
    assert aggregate._subjects_by_fold(trial.plan, []) == {}
    expected = aggregate._expected(trial.plan, trial.ledger(), found)
    assert set(expected.loc[expected["set"] == "test", "planned"]) == {found[0]}


def test_the_console_has_a_dash_for_an_arm_that_lacks_people(tmp_path: Path) -> None:
    lines = "labels,arm,n_subjects,n_planned,mean_dsc\n1,baseline,30,30,0.8\n1,ratio-2to1,24,30,\n"
    path = tmp_path / "dsc_by_ratio.csv"
    path.write_text(lines)
    (column,) = [column for column in results_table(path).columns if column.header == "N = 1"]
    assert list(column.cells) == ["0.800 (30)", "- (24 of 30)"]

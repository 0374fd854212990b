from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from jobs.experiment.grid import GridSettings
from jobs.experiment.loading import load_experiment
from jobs.experiment.model import Experiment
from jobs.experiment.plan import Plan, make_plan

ROOT = Path(__file__).resolve().parents[3]
BASE: dict[str, Any] = {
    "name": "x",
    "cohort": {"images": {"kind": "phantom", "labelled": 30}, "roi": {"voxel_mm": 2.0}},
}


def plan_of(**sections: Any) -> Plan:
    return make_plan(Experiment.model_validate({**BASE, **sections}))


@pytest.fixture(scope="module")
def paper() -> Plan:
    return make_plan(load_experiment(ROOT / "configs" / "oasis.yaml"))


def test_the_paper_has_45_gans_nine_a_fold(paper: Plan) -> None:
    gans = paper.of_stage("train_gan")
    assert len(gans) == 45
    for fold in range(5):
        groups = [int(task.cell.labels or 0) for task in gans if task.cell.fold == fold]
        assert sorted(groups) == [1, 3, 6, 12, 12, 24, 24, 24, 24]


def test_the_ablation_cell_has_every_row_of_table_i(paper: Plan) -> None:
    arms = {
        task.cell.arm.name
        for task in paper.of_stage("train_segmenter")
        if (task.cell.fold, task.cell.labels) == (0, 1) and task.cell.arm
    }
    table_i = {"baseline", "p1", "p1+", "p2", "p2+", "p3", "p3+", "synthetic", "ratio-2to1"}
    assert arms == table_i | {"ratio-100to1", "ratio-10to1", "ratio-1to1"}


def test_cohorts_from_before_slices_had_a_distance_are_taken_as_they_are() -> None:
    def roi(**sizes: float) -> dict[str, Any]:
        plan = plan_of(cohort={**BASE["cohort"], "roi": {"voxel_mm": 2.0, **sizes}})
        return dict(plan.of_stage("prepare")[0].settings["cohort"]["roi"])

    assert "slice_mm" not in roi()
    assert roi(slice_mm=1.0)["slice_mm"] == 1.0


def test_table_i_is_of_the_first_fold_that_runs() -> None:
    plan = plan_of(grid={"use_folds": [2, 3]})
    arms = [task.cell for task in plan.of_stage("train_segmenter")]
    of_phase_1 = {cell.fold for cell in arms if cell.arm and cell.arm.name == "p1"}
    assert of_phase_1 == {2}


def test_a_gan_whose_phases_have_no_rate_of_their_own_is_known_as_before_they_could() -> None:
    def phases(**change: Any) -> dict[str, Any]:
        task = plan_of(gan={"phase_3": change}).of_stage("train_gan")[0]
        return {name: task.settings["gan"][name] for name in ("phase_2", "phase_3")}

    assert all("learning_rate" not in settings for settings in phases().values())
    assert phases(learning_rate=0.5)["phase_3"]["learning_rate"] == 0.5


def test_an_ablation_ratio_that_is_no_arm_gets_one() -> None:
    plan = plan_of(grid={"ratios": ["10:1"], "ablation": {"ratio": "3:1"}})
    names = {task.cell.arm.name for task in plan.tasks if task.cell.arm}
    assert "ratio-3to1" in names


def test_every_task_comes_after_what_it_needs(paper: Plan) -> None:
    seen: set[str] = set()
    for task in paper.tasks:
        assert set(task.needs) <= seen
        seen.add(task.id)
    assert len(seen) == len(paper.tasks)


def test_arms_need_the_synthetic_sets_of_all_groups_and_a_baseline_none(paper: Plan) -> None:
    needs = paper.by_id["train_segmenter/seed-0/fold-2/labels-24/ratio-1to1"].needs
    groups = {f"synthesise/seed-0/fold-2/labels-24/group-{group}" for group in range(4)}
    assert set(needs) == groups | {"prepare"}
    assert paper.by_id["train_segmenter/seed-0/fold-2/labels-24/baseline"].needs == ("prepare",)


def test_arrays_are_one_for_each_stage_and_label_count(paper: Plan) -> None:
    arrays = paper.arrays()
    assert len({(stage, labels) for stage, labels, _ in arrays}) == len(arrays) == 25
    assert sum(len(tasks) for _, _, tasks in arrays) == len(paper.tasks)


def _stages_that_change(before: Plan, after: Plan) -> set[str]:
    return {
        task.stage
        for task in after.tasks
        if task.id not in before.by_id or before.by_id[task.id].fingerprint != task.fingerprint
    }


DOWN_FROM = {
    "prepare": {
        "prepare",
        "train_gan",
        "synthesise",
        "train_segmenter",
        "segment_cohort",
        "aggregate",
    },
    "train_gan": {"train_gan", "synthesise", "train_segmenter", "segment_cohort", "aggregate"},
    "synthesise": {"synthesise", "train_segmenter", "segment_cohort", "aggregate"},
    "train_segmenter": {"train_segmenter", "segment_cohort", "aggregate"},
    "aggregate": {"aggregate"},
}


@pytest.mark.parametrize(
    ("change", "stage"),
    [
        ({"seed": 1}, "prepare"),
        ({"gan": {"phase_3": {"images": 2_000_000}}}, "train_gan"),
        ({"gan": {"labelled_copies": 8}}, "train_gan"),
        ({"gan": {"penalty_every": 2}}, "train_gan"),
        ({"gan": {"phase_2": {"learning_rate": 0.002}}}, "train_gan"),
        ({"gan": {"phase_3": {"learning_rate": 0.002}}}, "train_gan"),
        ({"synthesis": {"keep_percentile": 50}}, "synthesise"),
        ({"segmenter": {"epochs": 3}}, "train_segmenter"),
        ({"analysis": {"significance": 0.01}}, "aggregate"),
    ],
)
def test_a_changed_setting_changes_its_dependents_only(change: dict[str, Any], stage: str) -> None:
    assert _stages_that_change(plan_of(), plan_of(**change)) == DOWN_FROM[stage]


@pytest.mark.parametrize(
    "change",
    [
        {"run": {"device": "cpu", "checkpoint_every_s": 3}},
        {"resources": {"train_gan": {"gpus": 4}}},
        {"storage": "/elsewhere"},
        {"name": "other"},
        {"gan": {"max_skipped_fraction": 0.5}},
        {"augmentation": {"scale_sd": 0.2}},  # nothing is deformed
    ],
)
def test_what_does_not_change_results_changes_no_fingerprint(change: dict[str, Any]) -> None:
    assert _stages_that_change(plan_of(), plan_of(**change)) == set()


def test_copies_of_the_labelled_slices_depend_on_how_slices_are_deformed() -> None:
    gan = {"labelled_copies": 8}
    deformed = plan_of(gan=gan, augmentation={"scale_sd": 0.2})
    assert _stages_that_change(plan_of(gan=gan), deformed) == DOWN_FROM["train_gan"]
    assert _stages_that_change(plan_of(), plan_of(gan={"labelled_copies": 0})) == set()


def test_a_baseline_does_not_depend_on_the_gan() -> None:
    before, after = plan_of(), plan_of(gan={"drift": 0.01})
    for task in after.of_stage("train_segmenter"):
        assert task.cell.arm is not None
        same = task.fingerprint == before.by_id[task.id].fingerprint
        assert same == (task.cell.arm.name == "baseline")


def test_another_ratio_leaves_the_others_alone() -> None:
    before, after = plan_of(), plan_of(grid={"ratios": ["100:1", "10:1", "2:1", "1:1", "5:1"]})
    changed = {
        task.cell.arm.name
        for task in after.tasks
        if task.cell.arm and before.by_id.get(task.id) != task
    }
    assert changed == {"ratio-5to1"}


RIVAL_ARMS = {"classical", "self-training", "classical+ratio-2to1", "self-training+ratio-2to1"}
BOTH = {"rival_arms": ["classical", "self_training"]}


def _names(plan: Plan, stage: str) -> set[str]:
    return {task.cell.arm.name for task in plan.of_stage(stage) if task.cell.arm}


def _arms_that_change(before: Plan, after: Plan) -> set[str]:
    return {
        task.cell.arm.name
        for task in after.tasks
        if task.cell.arm and before.by_id.get(task.id) != task
    }


def test_rival_arms_come_to_every_cell_and_leave_the_others_alone() -> None:
    before, after = plan_of(), plan_of(grid=BOTH)
    assert not _names(before, "train_segmenter") & RIVAL_ARMS
    assert _arms_that_change(before, after) == RIVAL_ARMS
    assert _names(after, "segment_cohort") == _names(before, "segment_cohort") | RIVAL_ARMS
    new = len(after.of_stage("train_segmenter")) - len(before.of_stage("train_segmenter"))
    assert new == 4 * 5 * 5
    assert all(before.by_id[task.id] == task for task in before.tasks if task.stage != "aggregate")


def test_what_is_not_asked_for_is_not_there() -> None:
    grid = {"rival_arms": ["self_training", "self_training"], "rival_ratio": None}
    plan = plan_of(grid=grid)
    assert _names(plan, "train_segmenter") & RIVAL_ARMS == {"self-training"}
    other = plan_of(grid={**BOTH, "rival_ratio": "4:2", "self_training_ratio": "5:1"})
    assert _names(other, "train_segmenter") & RIVAL_ARMS == RIVAL_ARMS
    arm = other.by_id["train_segmenter/seed-0/fold-0/labels-01/self-training"].cell.arm
    assert arm is not None and (arm.ratio, arm.phases) == ("5:1", ())


def test_self_training_needs_its_teacher_of_its_own_cell() -> None:
    plan = plan_of(grid=BOTH)
    cell = "train_segmenter/seed-0/fold-3/labels-06"
    assert plan.by_id[f"{cell}/self-training"].needs == ("prepare", f"{cell}/baseline")
    together = plan.by_id[f"{cell}/self-training+ratio-2to1"].needs
    synthesise = cell.replace("train_segmenter", "synthesise")
    assert together == ("prepare", f"{synthesise}/group-0", f"{cell}/ratio-2to1")
    assert plan.by_id[f"{cell}/classical"].needs == ("prepare",)
    # Arms with generated slices were trained otherwise before these were deformed, too.
    deforms = {
        name: plan.by_id[f"{cell}/{name}"].settings["arm"].get("deforms") for name in RIVAL_ARMS
    }
    assert {name for name, what in deforms.items() if what is True} == {"classical"}
    assert {name for name, what in deforms.items() if what == "all"} == {"classical+ratio-2to1"}
    seen: set[str] = set()
    for task in plan.tasks:
        assert set(task.needs) <= seen
        seen.add(task.id)


def test_a_teacher_that_nobody_asked_for_is_an_arm() -> None:
    grid = {**BOTH, "ratios": ["10:1"], "rival_ratio": "3:1", "ablation": {"ratio": "3:1"}}
    plan = plan_of(grid=grid)
    cell = "train_segmenter/seed-0/fold-0/labels-01"
    assert plan.by_id[f"{cell}/self-training+ratio-3to1"].needs[-1] == f"{cell}/ratio-3to1"
    assert "ratio-3to1" in _names(plan, "segment_cohort")
    alone = plan_of(grid={**grid, "rival_arms": ["classical"], "ablation": None})
    assert "ratio-3to1" not in _names(alone, "train_segmenter")


@pytest.mark.parametrize(
    ("change", "arms"),
    [
        ({"augmentation": {"gamma_sd": 0.3}}, {"classical", "classical+ratio-2to1"}),
        (
            {"cohort": {**BASE["cohort"], "exclude_test_from_unlabelled": True}},
            RIVAL_ARMS - {"classical"},
        ),
    ],
)
def test_an_arm_depends_on_what_it_uses(change: dict[str, Any], arms: set[str]) -> None:
    changed = _arms_that_change(plan_of(grid=BOTH), plan_of(grid=BOTH, **change))
    assert changed & RIVAL_ARMS == arms and "baseline" not in changed


def test_a_name_without_a_seed_is_of_the_first() -> None:
    grid = GridSettings(seeds=(3, 1))
    for given in ("fold-0/labels-06", "/fold-0/labels-06/", "seed-3/fold-0/labels-06"):
        assert grid.with_seed(given) == "seed-3/fold-0/labels-06"
    assert grid.with_seed("seed-1/fold-0") == "seed-1/fold-0"

"""`--only`: which tasks are meant, what they need, and what is said where none is."""

from __future__ import annotations

import pytest

from gansfer.errors import UserError
from jobs.experiment.loading import parse_experiment
from jobs.experiment.plan import Plan, make_plan
from jobs.experiment.selection import names_chosen, tasks_chosen, with_needs


@pytest.fixture(scope="module")
def plan() -> Plan:
    grid = {"folds": 2, "label_counts": [1, 3], "ratios": ["2:1"], "ablation": None}
    values = {"name": "one", "cohort": {"images": {"kind": "phantom"}}, "grid": grid}
    return make_plan(parse_experiment(values, "test"))


def chosen(plan: Plan, *given: str) -> set[str]:
    return {task.id for task in tasks_chosen(plan, given)}


def test_a_name_is_chosen_by_its_parts_in_their_order(plan: Plan) -> None:
    of_cell = chosen(plan, "fold-1/labels-01")
    assert len(of_cell) == 5  # a GAN, its slices and three segmenters
    assert of_cell == {one for one in plan.by_id if "/fold-1/labels-01/" in one}
    assert chosen(plan, "train_gan/fold-1") == {
        "train_gan/seed-0/fold-1/labels-01/group-0",
        "train_gan/seed-0/fold-1/labels-03/group-0",
    }
    (one,) = chosen(plan, "train_segmenter/seed-0/fold-0/labels-03/baseline/")
    assert one == "train_segmenter/seed-0/fold-0/labels-03/baseline"
    assert chosen(plan, "prepare", "aggregate") == {"prepare", "aggregate"}
    assert chosen(plan) == plan.by_id.keys()


def test_a_part_is_a_whole_part() -> None:
    names = ["a/group-1", "a/group-10"]
    assert names_chosen(names, ["group-1"]) == {"a/group-1"}


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ("fold-2/labels-01", "has fold-2 in its name; there are fold-0, fold-1"),
        ("labels-1", "has labels-1 in its name; there are labels-01, labels-03"),
        ("train_gam", "has train_gam in its name; there are train_gan"),
        ("telepathy", "has telepathy in its name; gansfer plan --json lists all"),
        (
            "labels-01/fold-0",
            "no task's name has labels-01 and then fold-0; of fold-0 there",
        ),
        ("", "expected a task or a beginning of tasks' names"),
        ("/", "expected a task or a beginning of tasks' names"),
    ],
)
def test_what_fits_no_task_is_one_line_with_near_ones(plan: Plan, given: str, told: str) -> None:
    with pytest.raises(UserError) as caught:
        tasks_chosen(plan, ["prepare", given])
    said = str(caught.value)
    assert said.startswith(f"{given or repr(given)}: ") and told in said and "\n" not in said


def test_a_stage_that_an_experiment_lacks_is_no_mistake(plan: Plan) -> None:
    assert chosen(plan, "propagate") == set()


def test_what_a_task_needs_comes_with_it_where_it_is_not_done(plan: Plan) -> None:
    ratio = "train_segmenter/seed-0/fold-0/labels-01/ratio-2to1"
    gan = "train_gan/seed-0/fold-0/labels-01/group-0"
    slices = gan.replace("train_gan", "synthesise")
    tasks = tasks_chosen(plan, [ratio])
    assert with_needs(plan, tasks, lambda task: False) == {ratio, slices, gan, "prepare"}
    done = {"prepare", gan}
    assert with_needs(plan, tasks, lambda task: task.id in done) == {ratio, slices}
    assert with_needs(plan, tasks, lambda task: task.id == slices) == {ratio, "prepare"}


def test_the_report_brings_no_task_but_the_cohort(plan: Plan) -> None:
    report = tasks_chosen(plan, ["aggregate"])
    assert with_needs(plan, report, lambda task: False) == {"aggregate", "prepare"}

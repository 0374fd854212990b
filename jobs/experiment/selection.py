"""Some of an experiment's tasks, chosen by beginnings of their names. Pure.

A name is parts: train_gan/seed-0/fold-2/labels-01/group-0. What is given is some of its parts in
their order, and those between may be left out: fold-2/labels-01, train_gan/fold-2, baseline.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Collection, Sequence

from gansfer.errors import UserError
from jobs.experiment.plan import Plan, Task
from jobs.experiment.resources import STAGES

_MOST_NEAR = 3


def names_chosen(names: Collection[str], given: Sequence[str]) -> set[str]:
    """Those of the names that one of the given beginnings fits.

    Args:
        names: of tasks.
        given: each must fit at least one, or be a stage.

    Raises:
        UserError: one fits none; it says which are near.
    """
    chosen: set[str] = set()
    for one in given:
        parts = [part for part in one.split("/") if part]
        fitting = {name for name in names if parts and _fits(parts, name.split("/"))}
        if not fitting and one not in STAGES:  # this experiment may have no task of a stage
            raise UserError(f"{one or repr(one)}: {_why_none(names, parts)}")
        chosen |= fitting
    return chosen


def tasks_chosen(plan: Plan, given: Sequence[str]) -> tuple[Task, ...]:
    """The tasks that one of the given beginnings fits, in the plan's order; all where none is.

    Raises:
        UserError: one fits none.
    """
    if not given:
        return plan.tasks
    chosen = names_chosen(plan.by_id.keys(), given)
    return tuple(task for task in plan.tasks if task.id in chosen)


def with_needs(plan: Plan, tasks: Sequence[Task], done: Callable[[Task], bool]) -> set[str]:
    """Ids of the tasks and of what they need that is not done, needs of needs included.

    The report needs nothing but the cohort: it is made of what is there.
    """
    found: set[str] = set()
    waiting = list(tasks)
    while waiting:
        task = waiting.pop()
        if task.id in found:
            continue
        found.add(task.id)
        needs = (plan.by_id[need] for need in task.needs)
        waiting += [
            need
            for need in needs
            if not done(need) and (task.stage != "aggregate" or need.stage == "prepare")
        ]
    return found


def _fits(given: Sequence[str], parts: Sequence[str]) -> bool:
    """Whether all that is given comes in the parts, in this order."""
    rest = iter(parts)
    return all(part in rest for part in given)


def _why_none(names: Collection[str], given: Sequence[str]) -> str:
    if not given:
        return "expected a task or a beginning of tasks' names, such as fold-0/labels-01"
    known = list(dict.fromkeys(part for name in names for part in name.split("/")))
    for part in given:
        if part in known:
            continue
        kind = part.rpartition("-")[0]
        alike = [one for one in known if kind and one.rpartition("-")[0] == kind]
        near = alike or difflib.get_close_matches(part, known, n=_MOST_NEAR)
        hint = "gansfer plan --json lists all"
        if near:
            more = ", ..." if len(near) > _MOST_NEAR else ""
            hint = f"there are {', '.join(near[:_MOST_NEAR])}{more}"
        return f"no task of this experiment has {part} in its name; {hint}"
    near = [name for name in names if given[-1] in name.split("/")][:_MOST_NEAR]
    return (
        f"no task's name has {' and then '.join(given)}; of {given[-1]} there are {', '.join(near)}"
    )

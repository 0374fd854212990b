"""Which tasks are submitted together, and which arrays an array waits for. Pure.

An array is one stage, label count and fold, so that a fold waits for nothing of another one's.
Where the experiment has a cap on its GPUs, an array that uses them is a whole stage, as many of
its tasks run at once as the cap allows, and it waits for every such array that was sent before it.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field

from jobs.experiment.model import Experiment
from jobs.experiment.plan import Plan, Task
from jobs.experiment.resources import StageName, StageResources


@dataclass(frozen=True)
class Scale:
    """What the next attempt of tasks may take, measured by the last.

    Attributes:
        tasks: ids of those that get more.
        time: how many times what the last attempt had.
        memory: the same.
        last: hours and GB that each task's last attempt had; where the experiment asks for more
            by now, that counts.
    """

    tasks: frozenset[str] = frozenset()
    time: float = 1.0
    memory: float = 1.0
    last: Mapping[str, tuple[float, float]] = field(default_factory=dict)

    def hours_and_gb(self, task: Task, asked: StageResources) -> tuple[float, float]:
        """The task's time limit and memory, where the experiment asks for `asked`."""
        last_h, last_gb = self.last.get(task.id, (0.0, 0.0))
        time_h, memory_gb = max(asked.time_h, last_h), max(asked.memory_gb, last_gb)
        if task.id not in self.tasks:
            return time_h, memory_gb
        return time_h * self.time, memory_gb * self.memory


@dataclass(frozen=True)
class Array:
    """Tasks of one stage, label count and fold (None: of all) that are submitted together."""

    stage: StageName
    labels: int | None
    fold: int | None
    tasks: tuple[Task, ...]
    ask: StageResources

    @property
    def name(self) -> str:
        """What it holds, such as `train_gan.labels-01.fold-0`."""
        labels = "" if self.labels is None else f".labels-{self.labels:02d}"
        return self.stage + labels + ("" if self.fold is None else f".fold-{self.fold}")


def arrays_to_submit(
    plan: Plan, wanted: Collection[str], array_size: int, scale: Scale | None = None
) -> list[Array]:
    """The wanted tasks as arrays, in the plan's order.

    Args:
        plan: the experiment's tasks.
        wanted: ids of those to submit.
        array_size: the most elements an array may have; longer ones are cut into chunks.
        scale: tasks that get more time and memory than the experiment says; each array's alike.
    """
    scale = scale or Scale()
    together: dict[tuple[StageName, int | None, int | None], list[Task]] = {}
    for task in plan.tasks:
        if task.id in wanted:
            capped = _is_capped(plan.experiment, task.stage)
            of = (None, None) if capped else (task.cell.labels, task.cell.fold)
            together.setdefault((task.stage, *of), []).append(task)
    arrays = []
    for (stage, labels, fold), tasks in together.items():
        asked = plan.experiment.stage_resources(stage)
        alike: dict[tuple[bool, float, float], list[Task]] = {}
        for task in tasks:
            key = (_needs_its_stage(task), *scale.hours_and_gb(task, asked))
            alike.setdefault(key, []).append(task)
        # Elements of one array start in any order, so those that wait for others come in their own.
        in_turn = sorted(alike.items(), key=lambda item: item[0][0])
        for (_, time_h, memory_gb), chosen in in_turn:
            ask = asked.model_copy(update={"time_h": time_h, "memory_gb": memory_gb})
            for start in range(0, len(chosen), array_size):
                chunk = tuple(chosen[start : start + array_size])
                arrays.append(Array(stage, labels, fold, chunk, ask))
    return arrays


def _needs_its_stage(task: Task) -> bool:
    """It needs another task of its own stage, as self-training needs the baseline."""
    return any(need.startswith(f"{task.stage}/") for need in task.needs)


def tasks_at_once(experiment: Experiment, ask: StageResources) -> int:
    """Tasks of one array that may run at once."""
    cap, at_once = experiment.cluster.max_gpus, experiment.cluster.array_parallelism
    return min(at_once, cap // ask.gpus) if cap is not None and ask.gpus else at_once


def jobs_before(
    tasks: Sequence[Task], plan: Plan, queued: Mapping[str, str], job: str | None = None
) -> list[str]:
    """Arrays in the queue that must have ended before `tasks` run.

    Those that hold what they need; under a cap on GPUs also those that use some and were sent
    before, down to the first that waits for `tasks` itself: from there on all wait anyway.

    Args:
        tasks: of one array.
        plan: the experiment's tasks.
        queued: for each task in the queue, the array that it is in.
        job: the array of `tasks`, if it has been sent.
    """
    needed = set(jobs_needed(tasks, queued))
    if _is_capped(plan.experiment, tasks[0].stage):
        waiting = {int(queued[one]) for one in _that_need(tasks, plan) if one in queued}
        first = min(waiting | ({int(job)} if job else set()), default=math.inf)
        needed |= {
            array
            for one, array in queued.items()
            if int(array) < first and _is_capped(plan.experiment, plan.by_id[one].stage)
        }
        needed -= {queued[task.id] for task in tasks if task.id in queued}
    return sorted(needed, key=int)


def _is_capped(experiment: Experiment, stage: StageName) -> bool:
    return experiment.cluster.max_gpus is not None and experiment.stage_resources(stage).gpus > 0


def _that_need(tasks: Sequence[Task], plan: Plan) -> set[str]:
    """Ids of all tasks that need one of `tasks`, or one that needs it."""
    found = {task.id for task in tasks}
    for task in plan.tasks:  # each comes after those that it needs
        if not found.isdisjoint(task.needs):
            found.add(task.id)
    return found - {task.id for task in tasks}


def jobs_needed(tasks: Sequence[Task], queued: Mapping[str, str]) -> list[str]:
    """Arrays in the queue that hold a task which one of `tasks` needs."""
    own = {queued.get(task.id) for task in tasks}
    needed = {queued[need] for task in tasks for need in task.needs if need in queued}
    return sorted(needed - own, key=int)

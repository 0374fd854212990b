"""Which tasks are submitted together: arrays of one stage and label count, in chunks. Pure."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field

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
    """Tasks of one stage and label count that are to be submitted together."""

    stage: StageName
    labels: int | None
    tasks: tuple[Task, ...]
    ask: StageResources

    @property
    def gpu_hours(self) -> float:
        """At most: every task uses its whole time limit."""
        return len(self.tasks) * self.ask.time_h * self.ask.gpus


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
    arrays = []
    for stage, labels, tasks in plan.arrays():
        asked = plan.experiment.stage_resources(stage)
        alike: dict[tuple[float, float], list[Task]] = {}
        for task in tasks:
            if task.id in wanted:
                alike.setdefault(scale.hours_and_gb(task, asked), []).append(task)
        for (time_h, memory_gb), chosen in alike.items():
            ask = asked.model_copy(update={"time_h": time_h, "memory_gb": memory_gb})
            for start in range(0, len(chosen), array_size):
                chunk = tuple(chosen[start : start + array_size])
                arrays.append(Array(stage, labels, chunk, ask))
    return arrays


def jobs_needed(tasks: Sequence[Task], queued: dict[str, str]) -> list[str]:
    """Arrays in the queue that hold a task which one of `tasks` needs."""
    own = {queued.get(task.id) for task in tasks}
    needed = {queued[need] for task in tasks for need in task.needs if need in queued}
    return sorted(needed - own, key=int)

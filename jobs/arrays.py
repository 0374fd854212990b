"""Which tasks are sent together: arrays of one stage and label count, in chunks. Pure."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from jobs.plan import Plan, Task
from jobs.spec import StageName, StageResources


@dataclass(frozen=True)
class Scale:
    """By how much the next attempt of these tasks may take more than the last."""

    tasks: frozenset[str] = frozenset()
    time: float = 1.0
    memory: float = 1.0


@dataclass(frozen=True)
class Array:
    """Tasks of one stage and label count that are to be sent together."""

    stage: StageName
    labels: int | None
    tasks: tuple[Task, ...]
    ask: StageResources

    @property
    def gpu_hours(self) -> float:
        """At most: every task uses its whole time limit."""
        return len(self.tasks) * self.ask.time_h * self.ask.gpus


def arrays_to_send(
    plan: Plan, wanted: Collection[str], array_size: int, scale: Scale | None = None
) -> list[Array]:
    """The wanted tasks as arrays, in the plan's order.

    Args:
        plan: the experiment's tasks.
        wanted: ids of those to send.
        array_size: the most elements an array may have; longer ones are cut into chunks.
        scale: tasks that get more time and memory than the experiment says.
    """
    scale = scale or Scale()
    arrays = []
    for stage, labels, tasks in plan.arrays():
        asked = plan.experiment.stage_resources(stage)
        more = asked.model_copy(
            update={
                "time_h": asked.time_h * scale.time,
                "memory_gb": asked.memory_gb * scale.memory,
            }
        )
        chosen = [task for task in tasks if task.id in wanted]
        for ask, scaled in ((asked, False), (more, True)):
            alike = [task for task in chosen if (task.id in scale.tasks) == scaled]
            for start in range(0, len(alike), array_size):
                chunk = tuple(alike[start : start + array_size])
                arrays.append(Array(stage, labels, chunk, ask))
    return arrays


def jobs_needed(tasks: Sequence[Task], queued: dict[str, str]) -> list[str]:
    """Arrays in the queue that hold a task which one of `tasks` needs."""
    own = {queued.get(task.id) for task in tasks}
    needed = {queued[need] for task in tasks for need in task.needs if need in queued}
    return sorted(needed - own, key=int)

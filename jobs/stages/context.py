"""What a stage is given, and what it gives back."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import torch

from gansfer.errors import UserError
from gansfer.progress import Watch
from gansfer.seeds import seed_for
from jobs.experiment.model import Experiment
from jobs.experiment.plan import Plan, Task
from jobs.experiment.resources import DEFAULT_RESOURCES, StageName
from jobs.store.storage import Storage
from jobs.store.task_files import TaskFiles


def chosen_device(asked: str) -> str:
    """Where the networks of a task run on this machine: `cpu` or `cuda`.

    Args:
        asked: `run.device` of the experiment; `auto`: CUDA where there is one.

    Raises:
        UserError: CUDA is asked for and there is none.
    """
    if asked == "cuda" and not torch.cuda.is_available():
        raise UserError(
            "run.device is cuda, but this machine has no CUDA device that torch can use; "
            "set it to auto or cpu, or ask for a GPU (resources.<stage>.gpus, container.nv)"
        )
    device = "cpu" if asked == "cpu" or not torch.cuda.is_available() else "cuda"
    torch.backends.cudnn.benchmark = device == "cuda"  # shapes stay the same for long
    return device


@dataclass(frozen=True)
class Outcome:
    """What a stage has made.

    Attributes:
        products: names of files in the task's folder, which other tasks read and its digest
            covers.
        facts: what the manifest should say beside them.
        shown: names of files that the report shows and no task reads: the manifest keeps the digest
            of each, and that of the products does not cover them.
    """

    products: tuple[str, ...]
    facts: dict[str, Any] = field(default_factory=dict)
    shown: tuple[str, ...] = ()


@dataclass(frozen=True)
class Context:
    """One task: which, where its products lie, and who is told of its progress.

    Only the files of this folder, and a notebook that does as they do, see it; the science is given
    arrays and settings.
    """

    plan: Plan
    storage: Storage
    task: Task
    watch: Watch

    @property
    def experiment(self) -> Experiment:
        """The experiment."""
        return self.plan.experiment

    @property
    def files(self) -> TaskFiles:
        """The task's products, and what lies beside them."""
        return self.storage.files(self.task)

    def files_needed(self, stage: StageName) -> list[TaskFiles]:
        """The files of each needed task of this stage."""
        prefix = f"{stage}/"
        needed = (self.plan.by_id[need] for need in self.task.needs if need.startswith(prefix))
        return [self.storage.files(task) for task in needed]

    @cached_property
    def device(self) -> str:
        """`cpu` or `cuda`.

        Raises:
            UserError: the experiment asks for CUDA and there is none.
        """
        if DEFAULT_RESOURCES[self.task.stage].gpus == 0:
            return "cpu"  # a stage without anything for a GPU to do
        return chosen_device(self.experiment.run.device)

    def seed_for(self, *what: str | int) -> int:
        """A seed by the task's identity, and by what is drawn."""
        return seed_for(self.experiment.seed, self.task.id, *what)

    @cached_property
    def identity(self) -> str:
        """Hash of the task's settings and of its inputs as they are: what a kept state is of."""
        inputs = [self.storage.digest(self.plan.by_id[need]) for need in self.task.needs]
        return hashlib.sha256("\n".join([self.task.fingerprint, *inputs]).encode()).hexdigest()

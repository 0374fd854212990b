"""What a stage is given, and what it gives back."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import torch

from gansfer.checkpoint import CheckpointStore
from gansfer.cohort.shards import Cohort
from gansfer.errors import UserError
from gansfer.gan.networks import Generator, build_generator
from gansfer.progress import Watch
from gansfer.seeds import seed_for
from jobs.experiment.model import Experiment
from jobs.experiment.plan import Cell, Plan, Task
from jobs.experiment.resources import DEFAULT_RESOURCES, StageName
from jobs.stages.training_data import CellData
from jobs.store.scratch import cohort_folder
from jobs.store.storage import Storage
from jobs.store.task_files import TaskFiles


@dataclass(frozen=True)
class Outcome:
    """What a stage has made.

    Attributes:
        products: names of files in the task's folder, which other tasks read and its digest
            covers.
        facts: what the manifest should say beside them.
    """

    products: tuple[str, ...]
    facts: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Context:
    """One task, with everything that its stage needs to know."""

    plan: Plan
    storage: Storage
    task: Task
    watch: Watch

    @property
    def experiment(self) -> Experiment:
        """The experiment."""
        return self.plan.experiment

    @property
    def cell(self) -> Cell:
        """The task's cell."""
        return self.task.cell

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
        asked = self.experiment.run.device
        if asked == "cuda" and not torch.cuda.is_available():
            raise UserError(
                "run.device is cuda, but this machine has no CUDA device that torch can use; "
                "set it to auto or cpu, or ask for a GPU (resources.<stage>.gpus, container.nv)"
            )
        device = "cpu" if asked == "cpu" or not torch.cuda.is_available() else "cuda"
        torch.backends.cudnn.benchmark = device == "cuda"  # shapes stay the same for long
        return device

    @cached_property
    def cohort(self) -> Cohort:
        """The prepared shards."""
        return Cohort(cohort_folder(self.plan, self.storage))

    @cached_property
    def data(self) -> CellData:
        """What the task's cell may learn from."""
        return CellData(self.experiment, self.cohort, self.cell)

    def seed_for(self, *what: str | int) -> int:
        """A seed by the task's identity, and by what is drawn."""
        return seed_for(self.experiment.seed, self.task.id, *what)

    def generator(self, state: dict[str, torch.Tensor]) -> Generator:
        """The experiment's generator with these weights, on the CPU."""
        made = build_generator(
            self.experiment.gan, self.experiment.slice_px, self.experiment.n_channels
        )
        made.load_state_dict(state)
        return made

    def input_digest(self, task_id: str) -> str:
        """Digest of a needed task's products, as they are now."""
        manifest = self.storage.read_manifest(self.plan.by_id[task_id])
        assert manifest is not None, f"{task_id} was done when this task began"
        return str(manifest["digest"])

    @cached_property
    def identity(self) -> str:
        """Hash of the task's settings and of its inputs as they are: what a kept state is of."""
        inputs = [self.input_digest(need) for need in self.task.needs]
        return hashlib.sha256("\n".join([self.task.fingerprint, *inputs]).encode()).hexdigest()

    def store(self, name: str, identity: str) -> CheckpointStore:
        """Checkpoints of one training run of the task."""
        every_s = self.experiment.run.checkpoint_every_s
        return CheckpointStore(self.files.folder / name, identity, every_s)

"""The products of a run as a notebook may read them: done, of these settings, and undamaged."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from gansfer.cohort.shards import Cohort
from gansfer.cohort.table import TABLE_NAME
from gansfer.errors import UserError
from gansfer.progress import Silent
from jobs.experiment.plan import Plan, Task
from jobs.stages.context import Context
from jobs.store.integrity import withdraw_damaged
from jobs.store.ledger import Ledger
from jobs.store.storage import Storage


@dataclass(frozen=True)
class Products:
    """Where a run's products are, and what the user calls the run.

    Attributes:
        plan: the experiment's tasks.
        storage: where their products are.
        given: the experiment's file or run folder, as the user gave it.
    """

    plan: Plan
    storage: Storage
    given: Path

    def check(self, task: Task, *paths: Path) -> None:
        """Let some products of a task be read: it is done, and they are as they were written.

        Args:
            task: whose they are.
            paths: those that will be read.

        Raises:
            UserError: the task is not done, or a product is damaged.
        """
        finding = Ledger(self.plan, self.storage).finding(task)
        if finding.state != "done":
            why = f" ({finding.why})" if finding.why else ""
            raise UserError(
                f"{self.given}: {task.id} is {finding.state}{why}, expected done; run "
                f"gansfer run {self.given}, or gansfer submit on a cluster"
            )
        try:
            said = withdraw_damaged(self.storage, task, self.storage.files(task).relative(*paths))
        except OSError as error:
            raise UserError(
                f"{self.storage.folder(task)}: a product was damaged since it was written, and the "
                f"folder cannot be written to, to say so ({error.strerror}); let its owner open it"
            ) from error
        if said is not None:
            raise UserError(said)

    def cohort(self) -> Cohort:
        """The prepared cohort; it checks each image as it reads it.

        Raises:
            UserError: it is not prepared, or its table is damaged.
        """
        self.check(self.plan.of_stage("prepare")[0], self.storage.cohort / TABLE_NAME)
        return Cohort(self.storage.cohort)

    def context(self, task: Task) -> Context:
        """What the stage of a task is given."""
        return Context(self.plan, self.storage, task, Silent())

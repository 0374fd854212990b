"""What lies beside a cell's synthetic slices: pictures and `quality.csv`, in the report later.

They are no products: no task reads them and no digest covers them. So a task that was done by an
earlier version gets them afterwards (`gansfer pictures`), and nothing becomes stale.
"""

from __future__ import annotations

from collections.abc import Iterator

from gansfer.progress import Watch
from jobs.experiment.plan import Plan, Task
from jobs.stages.context import Context
from jobs.stages.labelling import Labelling
from jobs.stages.synthesis_pictures import draw_pictures, read_sets
from jobs.stages.synthesis_quality import write_quality
from jobs.store.ledger import Ledger
from jobs.store.storage import Storage


def describe_synthesis(context: Context, labelling: Labelling) -> None:
    """Draw and measure the slices that a task of the stage `synthesise` has written.

    Raises:
        StopRequested: the watch asked to stop.
    """
    sets = read_sets(context)
    draw_pictures(context, sets, labelling)
    write_quality(context, sets)


def describe_again(plan: Plan, storage: Storage, watch: Watch) -> Iterator[Task]:
    """Draw and measure for every such task that is done, whatever is there; yield each."""
    ledger = Ledger(plan, storage)
    for task in plan.of_stage("synthesise"):
        if ledger.done(task):
            context = Context(plan, storage, task, watch)
            describe_synthesis(context, Labelling.of_cell(context))
            yield task

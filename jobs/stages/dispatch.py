"""One function a stage: read products, call gansfer, write products.

Here the rooms of `gansfer` meet. Legend: N subjects, K slices, S structures, Z H W as everywhere.
"""

from __future__ import annotations

from collections.abc import Callable

from jobs.experiment.resources import StageName
from jobs.stages.aggregate import aggregate
from jobs.stages.context import Context, Outcome
from jobs.stages.prepare import prepare
from jobs.stages.propagate import propagate_labels
from jobs.stages.segment_cohort import segment_cohort
from jobs.stages.synthesise import synthesise
from jobs.stages.train_gan import train_gan
from jobs.stages.train_segmenter import train_segmenter


def run_stage(context: Context) -> Outcome:
    """Run the task's stage."""
    stages: dict[StageName, Callable[[Context], Outcome]] = {
        "prepare": prepare,
        "train_gan": train_gan,
        "synthesise": synthesise,
        "train_segmenter": train_segmenter,
        "propagate": propagate_labels,
        "segment_cohort": segment_cohort,
        "aggregate": aggregate,
    }
    return stages[context.task.stage](context)

"""Volumes of test subjects for the report, from the products of their tasks."""

from __future__ import annotations

from functools import cached_property

from gansfer.cohort.shards import Cohort
from gansfer.errors import UserError
from gansfer.evaluation.predictions import read_predictions
from gansfer.report.viewer.segmentation_section import Labels, SegmentedSubject
from gansfer.report.viewer.shown_subjects import ShownSubject
from jobs.experiment.plan import Plan, Task
from jobs.store.integrity import withdraw_damaged
from jobs.store.storage import Storage


class StoredSegmentations:
    """Reads what the cohort and the segmenters' tasks hold of a subject, when it is asked for.

    Products are checked as they are read: those of the few subjects that the report shows, where
    its numbers take a file of every task.
    """

    def __init__(self, plan: Plan, storage: Storage) -> None:
        """Take the experiment's tasks, and where their products are."""
        self._plan = plan
        self._storage = storage

    def read(self, shown: ShownSubject) -> SegmentedSubject:
        """MR, both segmentations and the reference of a subject.

        Raises:
            UserError: a product is missing or damaged, or lacks the subject.
        """
        ids = [shown.subject]
        return SegmentedSubject(
            image_zhw=self._cohort.images(ids)[0],
            baseline_zhw=self._segmentation(shown, "baseline"),
            augmented_zhw=self._segmentation(shown, shown.augmented),
            reference_zhw=self._cohort.labels(ids)[0],
            spacing_zhw_mm=self._cohort.spacing_zhw_mm,
        )

    @cached_property
    def _cohort(self) -> Cohort:
        return Cohort(self._storage.cohort)

    @cached_property
    def _tasks(self) -> dict[tuple[int | None, int | None, int | None, str], Task]:
        return {
            (task.cell.seed, task.cell.fold, task.cell.labels, task.cell.arm.name): task
            for task in self._plan.of_stage("train_segmenter")
            if task.cell.arm is not None
        }

    def _segmentation(self, shown: ShownSubject, arm: str) -> Labels:
        task = self._tasks[shown.seed, shown.fold, shown.labels, arm]
        files = self._storage.files(task)
        path = files.predictions
        damage = withdraw_damaged(self._storage, task, files.relative(path))
        if damage is not None:
            raise UserError(damage)
        found = read_predictions(path, only=[shown.subject]).get(shown.subject)
        if found is None or found.shape != self._cohort.shape_zhw:
            what = "no segmentation" if found is None else f"one of shape {found.shape}"
            raise UserError(
                f"{path}: {what} of {shown.subject}, wanted one of {self._cohort.shape_zhw}; "
                f"{task.id} has to be run again"
            )
        return found

"""What one cell may learn from: its labelled subjects, its unlabelled pool, its channel code.

This is the wall between training and test: everything that a cell trains on, masks with or sets a
threshold by comes through here, and no label of a test subject of its fold does.

Legend: N subjects, Z slices, C channels, S structures, K = N * Z.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from gansfer.cohort.encode import ChannelCode, fit_code
from gansfer.cohort.shards import Cohort
from gansfer.cohort.splits import Fold, folds, groups
from jobs.experiment.model import Experiment
from jobs.experiment.plan import Cell

Floats = npt.NDArray[np.float32]


@dataclass(frozen=True)
class CellData:
    """The data of one cell (seed, fold, label count and perhaps group).

    Attributes:
        experiment: whose grid it is.
        cohort: the prepared shards.
        cell: which cell; `fold` and `labels` are set.
    """

    experiment: Experiment
    cohort: Cohort
    cell: Cell

    @cached_property
    def fold(self) -> Fold:
        """The cell's fold."""
        assert self.cell.fold is not None
        return all_folds(self.experiment, self.cohort)[self.cell.fold]

    @property
    def training_ids(self) -> tuple[str, ...]:
        """The N labelled subjects that are available (III.D)."""
        assert self.cell.labels is not None
        return self.fold.training_set(self.cell.labels)

    @property
    def group_ids(self) -> tuple[str, ...]:
        """Those of them that this group's GAN is trained on (III.F)."""
        assert self.cell.group is not None
        return groups(self.training_ids, self.experiment.grid.group_size)[self.cell.group]

    @property
    def pool_ids(self) -> tuple[str, ...]:
        """Subjects whose images, without labels, are the unlabelled pool (III.A)."""
        kept_out: set[str] = set()
        if self.experiment.cohort.exclude_test_from_unlabelled:
            kept_out = set(self.fold.test_ids)
        return tuple(
            subject.id
            for subject in self.cohort.subjects
            if subject.in_pool and kept_out.isdisjoint({subject.id, subject.labelled_as})
        )

    @cached_property
    def training_images_nzhw(self) -> Floats:
        """Z-scored images of the available labelled subjects."""
        return self.cohort.images(self.training_ids)

    @cached_property
    def training_labels_nzhw(self) -> npt.NDArray[np.uint8]:
        """Their label maps, 0 background and 1..S."""
        return self.cohort.labels(self.training_ids)

    @cached_property
    def pool_images_nzhw(self) -> Floats:
        """Z-scored images of the unlabelled pool."""
        return self.cohort.images(self.pool_ids)

    @cached_property
    def known_images_khw(self) -> Floats:
        """Every slice of the pool and of the available labelled subjects, z-scored."""
        known = [as_slices(self.pool_images_nzhw), as_slices(self.training_images_nzhw)]
        return np.concatenate(known)

    @cached_property
    def code(self) -> ChannelCode:
        """How this group's slices become GAN channels (III.A)."""
        encoding = self.experiment.cohort.encoding
        return fit_code(
            self.cohort.images(self.group_ids),
            self.cohort.labels(self.group_ids),
            self.cohort.white_matter(self.group_ids),
            self.pool_images_nzhw,
            self.cohort.structures,
            encoding.mr_percentiles,
            encoding.label_percentile,
            encoding.level_percentile,
            encoding.least_contrast,
        )

    def encoded_group(self) -> tuple[Floats, list[int]]:
        """The group's labelled slices [K, C, H, W], and voxels clipped in each channel."""
        channels_kchw, clipped_c = self.code.encode(
            self.cohort.images(self.group_ids),
            self.cohort.labels(self.group_ids),
            self.cohort.white_matter(self.group_ids),
        )
        return channels_kchw, [int(count) for count in clipped_c]

    def encoded_pool(self) -> Floats:
        """The unlabelled slices [K, 1, H, W]."""
        return self.code.encode_images(self.pool_images_nzhw)


def as_slices(volume_nzhw: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """[N, Z, H, W] -> [N * Z, H, W], without a copy where there is no need."""
    return volume_nzhw.reshape(-1, *volume_nzhw.shape[2:])


def all_folds(experiment: Experiment, cohort: Cohort) -> tuple[Fold, ...]:
    """The folds over the cohort's labelled subjects (repeats are not among them)."""
    labelled = [subject.id for subject in cohort.subjects if subject.labelled]
    return folds(labelled, experiment.grid.folds, experiment.seed)

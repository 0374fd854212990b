"""What one cell may learn from: its labelled subjects, its unlabelled pool, its channel code.

This is the wall between training and test: everything that a cell trains on, masks with or sets a
threshold by comes through here, and no label of a test subject of its fold does.

Legend: N subjects, M images of the pool, Z slices, C channels, S structures, K = N * Z.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from gansfer.cohort.encode import ChannelCode, fit_code
from gansfer.cohort.shards import Cohort
from gansfer.cohort.splits import Fold, folds, groups
from gansfer.settings import EncodingSettings
from gansfer.subjects import Subject
from gansfer.volumes import as_slices

Floats = npt.NDArray[np.float32]
Labels = npt.NDArray[np.uint8]


@dataclass(frozen=True)
class Roles:
    """Who does what in one cell, by subject id.

    Attributes:
        test_ids: labelled subjects that are only segmented.
        training_ids: the N labelled subjects that are available (III.D).
        group_ids: those of them that this group's GAN is trained on (III.F).
        pool_ids: subjects whose images, without labels, are the unlabelled pool (III.A).
    """

    test_ids: tuple[str, ...]
    training_ids: tuple[str, ...]
    group_ids: tuple[str, ...]
    pool_ids: tuple[str, ...]


def roles_in_cell(
    subjects: Sequence[Subject],
    fold: Fold,
    n_labels: int,
    group: int | None,
    *,
    group_size: int,
    exclude_test_from_pool: bool,
) -> Roles:
    """Give every subject of the cohort its part in one cell.

    Args:
        subjects: everybody, in the cohort's order.
        fold: the cell's fold.
        n_labels: N, its label count.
        group: which group of the training set; None: all of it.
        group_size: most labelled subjects of one GAN.
        exclude_test_from_pool: keep test subjects out of the pool, under any of their ids.

    Raises:
        UserError: the fold has fewer training subjects.
    """
    training_ids = fold.training_set(n_labels)
    kept_out = set(fold.test_ids) if exclude_test_from_pool else set[str]()
    return Roles(
        test_ids=fold.test_ids,
        training_ids=training_ids,
        group_ids=training_ids if group is None else groups(training_ids, group_size)[group],
        pool_ids=tuple(
            subject.id
            for subject in subjects
            if subject.in_pool and kept_out.isdisjoint({subject.id, subject.labelled_as})
        ),
    )


def labelled_folds(subjects: Sequence[Subject], n_folds: int, seed: int) -> tuple[Fold, ...]:
    """The folds over the cohort's labelled subjects (repeats are not among them)."""
    return folds([subject.id for subject in subjects if subject.labelled], n_folds, seed)


@dataclass(frozen=True)
class LabelledVolumes:
    """Labelled subjects as arrays.

    Attributes:
        image_nzhw: [N, Z, H, W] z-scored images.
        label_nzhw: [N, Z, H, W] their label maps, 0 background and 1..S.
        white_matter_n: [N] their white-matter intensities, z-score units.
    """

    image_nzhw: Floats
    label_nzhw: Labels
    white_matter_n: Floats

    def encoded(self, code: ChannelCode) -> tuple[Floats, list[int]]:
        """Their slices [K, C, H, W] for the GAN, and voxels clipped in each channel."""
        channels_kchw, clipped_c = code.encode(
            self.image_nzhw, self.label_nzhw, self.white_matter_n
        )
        return channels_kchw, [int(count) for count in clipped_c]


def fit_group_code(
    group: LabelledVolumes,
    pool_image_mzhw: Floats,
    structures: Sequence[str],
    encoding: EncodingSettings,
) -> ChannelCode:
    """How a group's slices become GAN channels (III.A); errors as of `fit_code`.

    Args:
        group: the labelled subjects that the GAN is trained on.
        pool_image_mzhw: [M, Z, H, W] z-scored images of the unlabelled pool.
        structures: names, in the order of label values.
        encoding: the percentiles, and how far the white-matter level is raised.
    """
    return fit_code(
        group.image_nzhw,
        group.label_nzhw,
        group.white_matter_n,
        pool_image_mzhw,
        structures,
        encoding.mr_percentiles,
        encoding.label_percentile,
        encoding.level_percentile,
        encoding.least_contrast,
    )


@dataclass(frozen=True)
class TrainingData:
    """The arrays of one cell, each read when it is first asked for.

    Attributes:
        cohort: the prepared shards.
        roles: of `roles_in_cell`.
    """

    cohort: Cohort
    roles: Roles

    @cached_property
    def training_images_nzhw(self) -> Floats:
        """Z-scored images of the available labelled subjects."""
        return self.cohort.images(self.roles.training_ids)

    @cached_property
    def training_labels_nzhw(self) -> Labels:
        """Their label maps, 0 background and 1..S."""
        return self.cohort.labels(self.roles.training_ids)

    @cached_property
    def pool_images_mzhw(self) -> Floats:
        """Z-scored images of the unlabelled pool."""
        return self.cohort.images(self.roles.pool_ids)

    @cached_property
    def known_images_khw(self) -> Floats:
        """Every slice of the pool and of the available labelled subjects, z-scored.

        "The full dataset" that a generated slice must be near to (III.B).
        """
        known = [as_slices(self.pool_images_mzhw), as_slices(self.training_images_nzhw)]
        return np.concatenate(known)

    @cached_property
    def group(self) -> LabelledVolumes:
        """The labelled subjects of this group's GAN."""
        ids = self.roles.group_ids
        return LabelledVolumes(
            self.cohort.images(ids), self.cohort.labels(ids), self.cohort.white_matter(ids)
        )

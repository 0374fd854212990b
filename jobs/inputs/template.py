"""What native images are registered to, and the files that a cohort is read from."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from gansfer.errors import UserError
from gansfer.preprocessing.registration import mean_template, template_members
from gansfer.readers.files.nifti import load_volume
from gansfer.readers.masks import above_background, brain_only, skull_signs
from gansfer.subjects import Source, Subject, Volume
from jobs.experiment.cohort_section import BidsImages, CohortSpec, FolderImages
from jobs.store.source_files import Stamp, stamps_of


def input_stamps(cohort: CohortSpec, source: Source) -> dict[str, Stamp]:
    """What the tables and the files of all subjects are like now, to notice a later change."""
    subjects = source.subjects()
    paths = [*source.tables(), *(path for one in subjects for path in source.files(one.id))]
    return stamps_of(dict.fromkeys([*paths, *template_files(cohort, source, subjects)]))


def template_files(cohort: CohortSpec, source: Source, subjects: Sequence[Subject]) -> list[Path]:
    """The files that `cohort_template` is made from."""
    images = cohort.images
    if isinstance(images, BidsImages | FolderImages) and images.template is not None:
        return [Path(images.template)]
    return [path for one in template_members(subjects) for path in source.files(one)]


def cohort_template(cohort: CohortSpec, source: Source, subjects: Sequence[Subject]) -> Volume:
    """What native images are registered to: a file, or the mean of the pool's own images.

    Raises:
        UserError: the file is damaged or shows a skull, or no image is in the common space.
    """
    images = cohort.images
    if isinstance(images, BidsImages | FolderImages) and images.template is not None:
        path = Path(images.template)
        template = load_volume(path)
        brain_xyz = np.asarray(template.array_xyz) != 0
        why = skull_signs(brain_xyz, template.affine_ras)
        if not template.placed:
            raise UserError(
                f"{path}: the header does not say where the template lies (no qform and no sform), "
                "expected its place in the common space; set one"
            )
        if why:
            raise UserError(
                f"{path}: the template is not brain-extracted ({why}); give one without a skull"
            )
        return above_background(path, template, brain_xyz)
    members = (source.load(one) for one in template_members(subjects))
    return mean_template(brain_only(one.image, one.brain_mask) for one in members)

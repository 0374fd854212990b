"""The subjects of a cohort, and what one subject's files hold, before any processing.

Axes legend: x y z are RAS voxel or millimetre axes of a file; Z H W are slices (inferior to
superior), rows (anterior to posterior) and columns (patient's right to left: radiological view)
of everything after preprocessing.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from gansfer.errors import UserError

if TYPE_CHECKING:  # a login node reads who is in a cohort without numpy
    from pathlib import Path

    import numpy as np
    import numpy.typing as npt


# An id names files and folders: letters, digits, dots, dashes and underscores, no path.
SAFE_ID = re.compile(r"\w[\w.-]*")


@dataclass(frozen=True)
class Subject:
    """One imaging session of one person.

    Attributes:
        id: unique in the cohort, safe in a file name.
        age_years: age at the session, or None where unknown.
        sex: "F", "M" or None.
        cdr: Clinical Dementia Rating (0, 0.5, 1, 2, 3), or None where unknown.
        labelled: has manual labels and may be in a fold.
        in_pool: belongs to the unlabelled pool (the paper: every OASIS-1 image).
        repeat_of: id of the first session of the same person, or None.
        labelled_as: id of the labelled subject who is the same person, for pool images of labelled
            subjects, so that a fold's test subjects can be kept out; or None.
    """

    id: str
    age_years: float | None = None
    sex: str | None = None
    cdr: float | None = None
    labelled: bool = False
    in_pool: bool = False
    repeat_of: str | None = None
    labelled_as: str | None = None


def people_of(subjects: Sequence[Subject]) -> dict[str, str]:
    """Subject id -> one name for all sessions of the same person."""
    by_id = {subject.id: subject for subject in subjects}

    def person(subject: Subject) -> str:
        if subject.labelled_as is not None:
            return subject.labelled_as
        return person(by_id[subject.repeat_of]) if subject.repeat_of in by_id else subject.id

    return {subject.id: person(subject) for subject in subjects}


@dataclass(frozen=True)
class Volume:
    """A 3-D array with its place in the world.

    Attributes:
        array_xyz: voxels, in the file's own axis order.
        affine_ras: [4, 4] voxel index -> RAS millimetres.
        placed: the file's header says where it lies; Analyze's cannot, and some NIfTI do not.
        slope, intercept: values are slope times what the file stores, plus intercept.
        notes: what is odd with the file, though it can be used; one line each.
    """

    array_xyz: npt.NDArray[np.generic]
    affine_ras: npt.NDArray[np.float64]
    placed: bool = True
    slope: float = 1.0
    intercept: float = 0.0
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class RawSubject:
    """One subject as read, label numbers already mapped to ours (0 background, 1..S).

    Attributes:
        subject: whose files.
        image: T1-weighted intensities.
        brain_mask: non-zero inside the brain; None: the image's non-zero voxels are the brain.
        label: label map on the image's grid, or None.
        white_matter_mask: non-zero in labelled white matter (image's grid), or None.
        reference: label map for measuring only (true labels of a simulated cohort, or MALPEM's
            output), on the image's grid, or None. No training stage may read it.
        in_common_space: the image is already in the common space; no registration.
        own_copy: the same brain in the common space, where the pool has it: the registration ends
            there, so that labelled and unlabelled images are aligned alike; or None.
        notes: what is odd with the subject's files, though they can be used; one line each.
    """

    subject: Subject
    image: Volume
    brain_mask: npt.NDArray[np.bool_] | None = None
    label: npt.NDArray[np.uint8] | None = None
    white_matter_mask: npt.NDArray[np.bool_] | None = None
    reference: npt.NDArray[np.uint8] | None = None
    in_common_space: bool = True
    own_copy: Volume | None = None
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Survey:
    """What tables and folders say, before any image is opened.

    Attributes:
        subjects: sessions that can be used.
        problems: what the user must mend, one line each.
        notes: what the user should know, one line each.
    """

    subjects: tuple[Subject, ...]
    problems: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    def checked(self) -> tuple[Subject, ...]:
        """Give the subjects of a survey without problems.

        Raises:
            UserError: the problems, a line each.
        """
        if self.problems:
            raise UserError("\n".join(self.problems))
        return self.subjects


class Source(Protocol):
    """A reader of one kind of cohort. Reading is by subject, from any process."""

    def subjects(self) -> Sequence[Subject]:
        """Every session of the cohort, in a fixed order."""

    def tables(self) -> Sequence[Path]:
        """Files that say who is in the cohort."""

    def files(self, subject_id: str) -> Sequence[Path]:
        """Files that `load` reads for a subject, whether they are there or not.

        Raises:
            UserError: it cannot be said which.
        """

    def in_common_space(self, subject_id: str) -> bool:
        """The subject's image needs no registration."""

    def load(self, subject_id: str) -> RawSubject:
        """One subject's arrays.

        Raises:
            UserError: the files are missing or damaged.
        """


class FileSource(Source, Protocol):
    """A source that reads files, in which there can be much to mend."""

    def survey(self) -> Survey:
        """Every usable session and every problem of the tables and folders, in one pass."""

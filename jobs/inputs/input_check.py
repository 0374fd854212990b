"""Everything that is wrong with the cohort's files, collected in one pass.

Tables and folders first, then every image, mask and segmentation, each subject by a process that
holds no other. Nothing is written.
"""

from __future__ import annotations

import multiprocessing
import re
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass

import numpy as np

from gansfer.errors import UserError
from gansfer.preprocessing.brain import brain_of, check_brain_in_region
from gansfer.preprocessing.roi_check import (
    LabelExtent,
    label_extent,
    roi_affine,
    roi_problems,
)
from gansfer.readers.files.tables import collected
from gansfer.settings import RoiSettings
from gansfer.subjects import FileSource, Subject
from jobs.experiment.cohort_section import BidsImages, FolderImages, PhantomImages
from jobs.experiment.model import Experiment
from jobs.inputs.sources import make_file_source, make_source
from jobs.inputs.template import cohort_template
from jobs.store.processes import end_with_parent

MOST_NOTES_OF_A_KIND = 3
_FILE_OR_NUMBER = re.compile(r"\S*/\S*|[0-9.]+")


@dataclass(frozen=True)
class InputReport:
    """Result of a pass over the input.

    Attributes:
        problems: what the user must mend, one line each.
        notes: what the user should know, one line each.
        subjects: those that can be used.
    """

    problems: tuple[str, ...]
    notes: tuple[str, ...] = ()
    subjects: tuple[Subject, ...] = ()


@dataclass(frozen=True)
class Findings:
    """What one subject's files hold.

    Attributes:
        problems: what the user must mend, one line each.
        extent: where the labels lie, where that is known.
        notes: what the user should know, one line each.
    """

    problems: tuple[str, ...]
    extent: LabelExtent | None = None
    notes: tuple[str, ...] = ()


def check_input(
    experiment: Experiment, n_workers: int, on_subject: Callable[[int, int], None] | None = None
) -> InputReport:
    """Read every file of the cohort once.

    Args:
        experiment: whose cohort section is read; the phantom cohort has no files.
        n_workers: processes; 1 reads in this one.
        on_subject: told how many subjects of how many are read.
    """
    cohort = experiment.cohort
    if isinstance(cohort.images, PhantomImages):
        try:
            make_source(experiment)
        except UserError as error:
            return InputReport(tuple(str(error).splitlines()))
        return InputReport(())
    problems: list[str] = []
    source: FileSource | None = None
    with collected(problems):
        source = make_file_source(cohort)
    if source is None:
        return InputReport(tuple(problems))
    survey = source.survey()
    problems += survey.problems
    notes = list(survey.notes)
    if isinstance(cohort.images, BidsImages | FolderImages) and cohort.images.template:
        with collected(problems):
            cohort_template(cohort, source, ())
    extents = []
    ids = [subject.id for subject in survey.subjects]
    for n, findings in enumerate(findings_of(source, cohort.roi, ids, n_workers), start=1):
        problems += findings.problems
        notes += findings.notes
        if findings.extent is not None:
            extents.append(findings.extent)
        if on_subject is not None:
            on_subject(n, len(ids))
    problems += roi_problems(extents, cohort.roi, cohort.max_outside_roi)
    if not problems:
        problems += _count_problems(experiment, survey.subjects)
    return InputReport(tuple(dict.fromkeys(problems)), abridged(notes), survey.subjects)


def abridged(notes: Sequence[str]) -> tuple[str, ...]:
    """Notes without repetition: of those that differ in files and numbers alone, a few and a count.

    What is odd with one image is often odd with all of them.
    """
    kinds: dict[str, list[str]] = {}
    for note in dict.fromkeys(notes):
        kinds.setdefault(_FILE_OR_NUMBER.sub("", note), []).append(note)
    lines: list[str] = []
    for kind in kinds.values():
        lines += kind[:MOST_NOTES_OF_A_KIND]
        n_more = len(kind) - MOST_NOTES_OF_A_KIND
        if n_more > 0:
            lines.append(f"{n_more} more notes such as the last, of other files")
    return tuple(lines)


def _count_problems(experiment: Experiment, subjects: Sequence[Subject]) -> list[str]:
    """Whether there are enough labelled subjects for the grid, and any for the pool."""
    grid, labels = experiment.grid, experiment.cohort.labels
    n_labelled = sum(subject.labelled for subject in subjects)
    problems = []
    if n_labelled < grid.folds:
        problems.append(
            f"cohort.labels: {n_labelled} labelled subjects of kind {labels.kind}, expected at "
            f"least one for each of grid.folds {grid.folds}; add labels, or make fewer folds"
        )
    else:
        n_training = n_labelled - -(-n_labelled // grid.folds)
        if max(grid.label_counts) > n_training:
            problems.append(
                f"grid.label_counts: asks for {max(grid.label_counts)} labelled subjects, but "
                f"{grid.folds} folds of {n_labelled} leave {n_training} to train on; ask for fewer"
            )
    if not any(subject.in_pool for subject in subjects):
        problems.append("cohort.images: no image is in the pool; set in_pool for some")
    return problems


def findings_of(
    source: FileSource, roi: RoiSettings, ids: Sequence[str], n_workers: int
) -> Iterable[Findings]:
    """What each subject's files hold, read once, in the order of `ids`.

    Args:
        source: their reader.
        roi: the region of interest.
        ids: of the subjects.
        n_workers: processes; 1 reads in this one.

    Raises:
        UserError: a process was killed.
    """
    if n_workers == 1:
        yield from (_check_subject(source, roi, subject_id) for subject_id in ids)
        return
    context = multiprocessing.get_context("forkserver")
    with ProcessPoolExecutor(
        n_workers, mp_context=context, initializer=_begin, initargs=(source, roi)
    ) as pool:
        try:
            yield from pool.map(_check_in_process, ids)
        except BrokenProcessPool:
            raise UserError(
                "a process that read the files was killed, as happens where memory runs out; give "
                "--workers a smaller number"
            ) from None


_task: tuple[FileSource, RoiSettings] | None = None


def _begin(source: FileSource, roi: RoiSettings) -> None:
    global _task
    _task = (source, roi)
    end_with_parent()


def _check_in_process(subject_id: str) -> Findings:
    assert _task is not None
    return _check_subject(*_task, subject_id)


def _check_subject(source: FileSource, roi: RoiSettings, subject_id: str) -> Findings:
    try:
        raw = source.load(subject_id)
    except UserError as error:
        return Findings(tuple(str(error).splitlines()))
    except MemoryError:
        return Findings((f"{subject_id}: too large for the memory; is its header damaged?",))
    problems: list[str] = []
    extent: LabelExtent | None = None
    with collected(problems):
        brain_xyz = brain_of(raw)
        if raw.in_common_space:  # else only the registration can say where the brain will lie
            voxel_from_roi = np.linalg.inv(raw.image.affine_ras) @ roi_affine(roi)
            check_brain_in_region(subject_id, brain_xyz, voxel_from_roi, roi.shape_zhw)
    if raw.label is not None and raw.in_common_space:
        extent = label_extent(subject_id, raw.label, raw.image.affine_ras, roi)
    return Findings(tuple(problems), extent, raw.notes)

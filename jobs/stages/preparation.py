"""The stage `prepare`: each subject is read, registered and cut to the region by a process.

A subject that is ready is kept aside until the shards are written, so that a killed task goes on
where it was.
"""

from __future__ import annotations

import hashlib
import json
import multiprocessing
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from gansfer.errors import ProcessKilled, UserError
from gansfer.preprocessing.placing import place_subject
from gansfer.preprocessing.preprocess import PreparedSubject
from gansfer.preprocessing.roi_check import LabelExtent, roi_problems
from gansfer.progress import StopRequested, Watch
from gansfer.subjects import Source, Subject, Volume
from jobs.experiment.cohort_section import BidsImages, CohortSpec, FolderImages
from jobs.experiment.model import Experiment
from jobs.inputs.template import cohort_template, template_files
from jobs.store.partial_results import Parts
from jobs.store.processes import end_with_parent, usable_cores
from jobs.store.source_files import stamps_of

_ARRAYS = ("image_zhw", "label_zhw", "reference_zhw")


@dataclass(frozen=True)
class _Work:
    """What a process needs to prepare any subject; sent to it once."""

    source: Source
    experiment: Experiment
    template: Volume | None
    parts: Parts
    part_of: Mapping[str, str]


_work: _Work | None = None


def prepared_subjects(
    experiment: Experiment, source: Source, folder: Path, identity: str, watch: Watch
) -> Iterator[PreparedSubject]:
    """Every subject of the cohort, in the source's order.

    Args:
        experiment: whose cohort section is read.
        source: the reader that it asks for.
        folder: the task's folder.
        identity: what kept parts must belong to (the task's fingerprint).
        watch: told of each subject.

    Raises:
        UserError: a file is missing or damaged, or a process was killed.
    """
    subjects = source.subjects()
    parts = Parts(folder, identity)
    part_of = _part_names(experiment.cohort, source, subjects)
    todo = [subject for subject in subjects if not parts.has(part_of[subject.id])]
    needed = any(not source.in_common_space(subject.id) for subject in todo)
    template = cohort_template(experiment.cohort, source, subjects) if needed else None
    work = _Work(source, experiment, template, parts, part_of)
    context = multiprocessing.get_context("forkserver")
    with ProcessPoolExecutor(
        usable_cores(), mp_context=context, initializer=_begin, initargs=(work,)
    ) as pool:
        done = len(subjects) - len(todo)
        try:
            for _ in pool.map(_prepare_one, [subject.id for subject in todo]):
                done += 1
                watch.report(done, len(subjects), "subjects")
                if watch.stopping():
                    pool.shutdown(wait=True, cancel_futures=True)
                    raise StopRequested
        except (BrokenProcessPool, EOFError, ConnectionError):
            if watch.stopping():  # the signal has ended this task's processes, or their server, too
                raise StopRequested from None
            raise ProcessKilled(
                "a process that prepared a subject was killed, as happens where memory runs out; "
                "run it again to go on, with a larger resources.prepare.memory_gb if it happens "
                "again"
            ) from None
    labelled_parts = [part_of[subject.id] for subject in subjects if subject.labelled]
    _check_region(parts, labelled_parts, experiment.cohort)
    for subject in subjects:
        yield _read_part(parts, part_of[subject.id])


def _begin(work: _Work) -> None:
    global _work
    _work = work
    end_with_parent()


def _prepare_one(subject_id: str) -> str:
    assert _work is not None
    cohort = _work.experiment.cohort
    prepared = place_subject(
        _work.source.load(subject_id),
        cohort.roi,
        _work.template,
        correct=isinstance(cohort.images, BidsImages | FolderImages) and cohort.images.n4,
    )
    _keep_part(_work.parts, _work.part_of[subject_id], prepared)
    return subject_id


def _part_names(cohort: CohortSpec, source: Source, subjects: Sequence[Subject]) -> dict[str, str]:
    """The name of each subject's part: of its row and of the files that the part is made from."""
    template = stamps_of(template_files(cohort, source, subjects))
    names: dict[str, str] = {}
    for one in subjects:
        made_from = [asdict(one), stamps_of(source.files(one.id))]
        if not source.in_common_space(one.id):
            made_from.append(template)
        digest = hashlib.sha256(json.dumps(made_from).encode()).hexdigest()
        names[one.id] = f"{one.id}-{digest[:16]}"
    return names


def _check_region(parts: Parts, labelled: Sequence[str], cohort: CohortSpec) -> None:
    """Raise a UserError where the region of interest cuts off too many labelled voxels."""
    extents = []
    for name in labelled:
        about = _read_about(parts.read(name, only="about"))
        one = about["facts"]
        if one["label_box_mm"] is not None:
            extents.append(
                LabelExtent(
                    about["subject"]["id"],
                    one["n_label_voxels"],
                    one["n_label_voxels_outside_roi"],
                    tuple(one["label_box_mm"]),
                )
            )
    problems = roi_problems(extents, cohort.roi, cohort.max_outside_roi)
    if problems:
        raise UserError("\n".join(problems))


def _keep_part(parts: Parts, name: str, prepared: PreparedSubject) -> None:
    arrays = {name: array for name in _ARRAYS if (array := getattr(prepared, name)) is not None}
    facts = {
        name: value for name, value in vars(prepared).items() if name not in (*_ARRAYS, "subject")
    }
    about = json.dumps({"subject": asdict(prepared.subject), "facts": facts})
    parts.keep(name, {**arrays, "about": np.array(about)})


def _read_about(kept: Mapping[str, npt.NDArray]) -> dict[str, Any]:
    return dict(json.loads(str(kept["about"])))


def _read_part(parts: Parts, name: str) -> PreparedSubject:
    kept = parts.read(name)
    about = _read_about(kept)
    arrays: dict[str, Any] = {name: kept.get(name) for name in _ARRAYS}
    facts = about["facts"]
    if facts["label_box_mm"] is not None:
        facts["label_box_mm"] = tuple(facts["label_box_mm"])
    return PreparedSubject(subject=Subject(**about["subject"]), **arrays, **facts)

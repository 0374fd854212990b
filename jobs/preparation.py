"""The stage `prepare`: each subject is read, registered and cut to the region by a process.

A subject that is ready is kept aside in `.parts` until the shards are written, so that a killed
task goes on where it was.
"""

from __future__ import annotations

import json
import multiprocessing
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from gansfer.atomic import replacing
from gansfer.cohort.preprocess import PreparedSubject, prepare_subject
from gansfer.cohort.registration import mean_template, register_affine
from gansfer.cohort.subjects import Source, Subject, Volume
from gansfer.progress import StopRequested, Watch
from jobs.local import end_with_parent, usable_cores
from jobs.sources import make_source
from jobs.spec import Experiment

# The mean of this many of the cohort's own images is sharp enough to register to.
_TEMPLATE_IMAGES = 40


@dataclass(frozen=True)
class _Work:
    """What a process needs to prepare any subject; sent to it once."""

    source: Source
    experiment: Experiment
    template: Volume | None
    parts: Path


_work: _Work | None = None


def prepared_subjects(
    experiment: Experiment, folder: Path, identity: str, watch: Watch
) -> Iterator[PreparedSubject]:
    """Every subject of the cohort, in the source's order.

    Args:
        experiment: whose cohort section is read.
        folder: the task's folder.
        identity: what kept parts must belong to (the task's fingerprint).
        watch: told of each subject.

    Raises:
        UserError: a file is missing or damaged.
    """
    source = make_source(experiment)
    subjects = source.subjects()
    parts = folder / ".parts" / identity[:16]
    parts.mkdir(parents=True, exist_ok=True)
    todo = [subject for subject in subjects if not (parts / f"{subject.id}.npz").exists()]
    template = _template(source, subjects) if _needs_template(source, subjects) and todo else None
    work = _Work(source, experiment, template, parts)
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
        except BrokenProcessPool:
            if watch.stopping():  # the signal that stops this task has ended its processes too
                raise StopRequested from None
            raise
    for subject in subjects:
        yield _read_part(parts / f"{subject.id}.npz")


def remove_parts(folder: Path) -> None:
    """Remove what was kept aside, once the shards are written."""
    for path in sorted((folder / ".parts").glob("**/*"), reverse=True):
        path.rmdir() if path.is_dir() else path.unlink()
    if (folder / ".parts").is_dir():
        (folder / ".parts").rmdir()


def _begin(work: _Work) -> None:
    global _work
    _work = work
    end_with_parent()


def _prepare_one(subject_id: str) -> str:
    assert _work is not None
    raw = _work.source.load(subject_id)
    common_from_native, similarity = None, None
    if not raw.in_common_space:
        assert _work.template is not None
        mask = raw.brain_mask
        found = register_affine(raw.image, mask, _work.template)
        common_from_native, similarity = found.common_from_native, found.similarity
    prepared = prepare_subject(
        raw, _work.experiment.cohort.roi, common_from_native, registration_similarity=similarity
    )
    _write_part(_work.parts / f"{subject_id}.npz", prepared)
    return subject_id


def _needs_template(source: Source, subjects: Sequence[Subject]) -> bool:
    """Labelled images come in native pose where the pool's do not hold them."""
    labelled = [subject.id for subject in subjects if subject.labelled]
    return bool(labelled) and not source.load(labelled[0]).in_common_space


def _template(source: Source, subjects: Sequence[Subject]) -> Volume:
    pool = [one.id for one in subjects if one.in_pool and one.repeat_of is None]
    step = max(1, len(pool) // _TEMPLATE_IMAGES)
    return mean_template(source.load(subject_id).image for subject_id in pool[::step])


def _write_part(path: Path, prepared: PreparedSubject) -> None:
    arrays = {
        name: array
        for name in ("image_zhw", "label_zhw", "reference_zhw")
        if (array := getattr(prepared, name)) is not None
    }
    plain = {
        name: value
        for name, value in vars(prepared).items()
        if name not in ("image_zhw", "label_zhw", "reference_zhw", "subject")
    }
    about = json.dumps({"subject": asdict(prepared.subject), "facts": plain})
    with replacing(path) as aside:
        np.savez(aside, about=np.array(about), **arrays)


def _read_part(path: Path) -> PreparedSubject:
    with np.load(path, allow_pickle=False) as kept:
        about = json.loads(str(kept["about"]))
        arrays = {name: kept.get(name) for name in ("image_zhw", "label_zhw", "reference_zhw")}
    return PreparedSubject(subject=Subject(**about["subject"]), **arrays, **about["facts"])

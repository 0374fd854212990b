"""Which slices a cell's synthetic ones are compared with, and samples of one size from both.

Legend: K slices of a set, N real slices, Z H W as everywhere.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from gansfer.subjects import Subject
from jobs.stages.context import Context

Floats = npt.NDArray[np.floating]
Labels = npt.NDArray[np.uint8]


@dataclass(frozen=True)
class RealSlices:
    """What a cell's GAN has seen: all images, and the labelled ones with their labels.

    Attributes:
        image_nhw: [N, H, W] the pool's slices, then the labelled subjects'.
        person_n: [N] who each is of; one name for all sessions of a person.
        labelled_khw: [K, H, W] the labelled subjects' slices.
        label_khw: [K, H, W] their label maps.
        labelled_person_k: [K] who each is of.
    """

    image_nhw: Floats
    person_n: npt.NDArray[np.str_]
    labelled_khw: Floats
    label_khw: Labels
    labelled_person_k: npt.NDArray[np.str_]


def real_slices(context: Context) -> RealSlices:
    """The slices that the task's GAN has learnt from, labels only of its labelled subjects."""
    data, cohort = context.data, context.cohort
    person_of = people_of(cohort.subjects)
    pool_ids = [one for one in data.pool_ids if one not in data.training_ids]
    n_slices = cohort.shape_zhw[0]
    labelled_khw = _flat(data.training_images_nzhw)
    image_nhw = np.concatenate([_flat(cohort.images(pool_ids)), labelled_khw])
    labelled = np.repeat([person_of[one] for one in data.training_ids], n_slices)
    pooled = np.repeat(np.array([person_of[one] for one in pool_ids], dtype=np.str_), n_slices)
    return RealSlices(
        image_nhw=image_nhw,
        person_n=np.concatenate([pooled, labelled]),
        labelled_khw=labelled_khw,
        label_khw=_flat(data.training_labels_nzhw),
        labelled_person_k=labelled,
    )


def people_of(subjects: Sequence[Subject]) -> dict[str, str]:
    """Subject -> one name for all sessions of the same person."""
    by_id = {subject.id: subject for subject in subjects}

    def person(subject: Subject) -> str:
        if subject.labelled_as is not None:
            return subject.labelled_as
        return person(by_id[subject.repeat_of]) if subject.repeat_of in by_id else subject.id

    return {subject.id: person(subject) for subject in subjects}


def pairs_of_one_size(
    real_nhw: npt.NDArray,
    person_n: npt.NDArray[np.str_],
    made_by_phase: Mapping[int, npt.NDArray],
    most: int,
    seed: int,
) -> Iterator[tuple[int, npt.NDArray, npt.NDArray]]:
    """Pairs of sets of one size, drawn by `seed`: phase 0 is one half of the people and the other.

    Without a second person there is no phase 0.
    """
    random = np.random.default_rng(seed)
    people = np.unique(person_n)
    half_n = np.isin(person_n, random.permutation(people)[: len(people) // 2])
    halves = [np.flatnonzero(half_n), np.flatnonzero(~half_n)]
    n = min(most, len(real_nhw), *(len(made) for made in made_by_phase.values()))
    if len(people) > 1:
        n = min(n, *(len(half) for half in halves))
        first, second = (half[some(len(half), n, random)] for half in halves)
        yield 0, real_nhw[first], real_nhw[second]
    chosen = some(len(real_nhw), n, random)  # the same in every phase, so that phases compare
    for phase, made_khw in made_by_phase.items():
        yield phase, real_nhw[chosen], made_khw[some(len(made_khw), n, random)]


def some(n: int, most: int, random: np.random.Generator) -> npt.NDArray[np.int64]:
    """At most `most` of the places 0 to n - 1, ascending."""
    return np.sort(random.permutation(n)[:most])


def _flat(image_nzhw: npt.NDArray) -> npt.NDArray:
    """[N, Z, H, W] -> [N * Z, H, W]."""
    return image_nzhw.reshape(-1, *image_nzhw.shape[2:])

"""Which slices a cell's synthetic ones are compared with, and samples of one size from both.

Legend: K slices of a set, N real slices, M images of the pool, Z H W as everywhere.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from gansfer.volumes import as_slices

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


def unlabelled_only(pool_ids: Sequence[str], training_ids: Sequence[str]) -> list[str]:
    """The pool without the labelled subjects, so that none counts twice beside them."""
    return [one for one in pool_ids if one not in training_ids]


def real_slices(
    unlabelled_mzhw: Floats,
    unlabelled_person_m: Sequence[str],
    labelled_nzhw: Floats,
    label_nzhw: Labels,
    labelled_person_n: Sequence[str],
) -> RealSlices:
    """The slices that a GAN has learnt from, with labels only of its labelled subjects.

    Args:
        unlabelled_mzhw: [M, Z, H, W] z-scored images of the pool, see `unlabelled_only`.
        unlabelled_person_m: [M] who each is of.
        labelled_nzhw: [N, Z, H, W] z-scored images of the cell's labelled subjects.
        label_nzhw: [N, Z, H, W] their label maps.
        labelled_person_n: [N] who each is of.
    """
    n_slices = labelled_nzhw.shape[1]
    labelled_khw = as_slices(labelled_nzhw)
    labelled = np.repeat(np.array(labelled_person_n, dtype=np.str_), n_slices)
    unlabelled = np.repeat(np.array(unlabelled_person_m, dtype=np.str_), n_slices)
    return RealSlices(
        image_nhw=np.concatenate([as_slices(unlabelled_mzhw), labelled_khw]),
        person_n=np.concatenate([unlabelled, labelled]),
        labelled_khw=labelled_khw,
        label_khw=as_slices(label_nzhw),
        labelled_person_k=labelled,
    )


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

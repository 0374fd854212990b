"""Whether generated slices are copies of a patient's: a question before they leave the house.

A generated slice is compared with every real slice that its GAN has seen, and the distance to the
nearest with the distance that real slices have to the nearest slice of ANOTHER person. What is
nearer than people are to each other may be a copy. None of it is in the paper.

Axes legend: K generated slices, N real slices, H rows, W columns.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from gansfer.progress import Watch
from gansfer.synthesis.neighbours import nearest

Floats = npt.NDArray[np.floating]


@dataclass(frozen=True)
class Audit:
    """How near generated slices come to real ones, beside how near real ones come to each other.

    Attributes:
        made_percentiles: 1, 5, 25, 50, 75 -> distance of generated slices to the nearest real.
        real_percentiles: the same of real slices to the nearest of another person.
        fraction_nearer: generated slices nearer than the 1st percentile between people; about
            .01 is what real slices of new people would show.
        n_made: generated slices.
        n_real: real slices.
    """

    made_percentiles: dict[int, float]
    real_percentiles: dict[int, float]
    fraction_nearer: float
    n_made: int
    n_real: int


_PERCENTILES = (1, 5, 25, 50, 75)


def distance_to_other_people(
    real_nhw: Floats,
    person_n: Sequence[str],
    people: Sequence[str],
    watch: Watch | None = None,
) -> npt.NDArray[np.float64]:
    """Distance of some people's slices to the nearest slice of anybody else.

    Args:
        real_nhw: [N, H, W] real slices.
        person_n: [N] who each is of; repeat sessions of a person have one name.
        people: whose slices are measured.
        watch: told of progress.

    Returns:
        One distance a slice of `people`, Euclidean, in the slices' units.

    Raises:
        ValueError: nobody else is there to compare with.
        StopRequested: the watch asked to stop.
    """
    who_n = np.asarray(person_n)
    found = []
    for person in people:
        own_n = who_n == person
        if own_n.all():
            raise ValueError(f"all slices are of {person}; there is nobody to compare with")
        query_khw = real_nhw[own_n]
        best_k = np.full(len(query_khw), np.inf)
        # Stretches of others, as views: a copy of a whole pool would be gigabytes.
        edges = np.flatnonzero(np.diff(np.concatenate([[True], own_n, [True]]).astype(np.int8)))
        for start, stop in edges.reshape(-1, 2):
            best_k = np.minimum(best_k, nearest(query_khw, real_nhw[start:stop], watch=watch)[1])
        found.append(best_k)
    return np.concatenate(found)


def audit(made_k: Floats, real_n: Floats) -> Audit:
    """Set distances of generated slices beside those between people.

    Args:
        made_k: [K] distance of each generated slice to the nearest real one.
        real_n: [N] of `distance_to_other_people`.

    Raises:
        ValueError: one of them is empty.
    """
    if len(made_k) == 0 or len(real_n) == 0:
        raise ValueError("no distances to compare")
    return Audit(
        made_percentiles={p: float(np.percentile(made_k, p)) for p in _PERCENTILES},
        real_percentiles={p: float(np.percentile(real_n, p)) for p in _PERCENTILES},
        fraction_nearer=float((made_k < np.percentile(real_n, 1)).mean()),
        n_made=len(made_k),
        n_real=len(real_n),
    )

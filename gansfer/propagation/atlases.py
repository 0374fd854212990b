"""Whose labels are propagated to whom: never a person's own."""

from __future__ import annotations

import math
from collections.abc import Sequence

from gansfer.errors import UserError
from gansfer.subjects import Subject, people_of


def nearest_atlases(target: Subject, subjects: Sequence[Subject], most: int) -> tuple[str, ...]:
    """Labelled subjects to make a subject's reference of: nearest in age first, by id where equal.

    Paper silent on the choice (MALPEM took all 30). Unknown ages come last.

    Args:
        target: whose reference it is to be; nobody of the same person is taken.
        subjects: everybody of the cohort.
        most: how many at most.

    Raises:
        UserError: nobody else is labelled.
    """
    found = atlases_of_others(target, [one for one in subjects if one.labelled], subjects)

    def years_apart(atlas: Subject) -> float:
        if target.age_years is None or atlas.age_years is None:
            return math.inf
        return abs(atlas.age_years - target.age_years)

    return tuple(one.id for one in sorted(found, key=lambda one: (years_apart(one), one.id))[:most])


def atlases_of_others(
    target: Subject, atlases: Sequence[Subject], subjects: Sequence[Subject]
) -> list[Subject]:
    """Those atlases that are not the target's own person.

    Args:
        target: whom labels are propagated to.
        atlases: labelled subjects.
        subjects: everybody of the cohort, to tell who is the same person.

    Raises:
        UserError: nobody else is labelled.
    """
    person_of = people_of(subjects)
    found = [one for one in atlases if person_of[one.id] != person_of[target.id]]
    if not found:
        raise UserError(
            f"{target.id}: nobody else is labelled whose labels could be propagated; give labels "
            "of at least two people"
        )
    return found

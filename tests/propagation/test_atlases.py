"""Who is an atlas of whom."""

from __future__ import annotations

import pytest

from gansfer.errors import UserError
from gansfer.propagation.atlases import nearest_atlases
from gansfer.subjects import Subject

PEOPLE = (
    Subject("a", age_years=20, labelled=True),
    Subject("b", age_years=40, labelled=True),
    Subject("c", age_years=60, labelled=True),
    Subject("d", age_years=None, labelled=True),
    Subject("pool-b", age_years=41, in_pool=True, labelled_as="b"),
    Subject("pool-b-again", age_years=42, in_pool=True, repeat_of="pool-b"),
    Subject("stranger", age_years=52, in_pool=True),
    Subject("ageless", in_pool=True),
)


@pytest.mark.parametrize(
    ("target", "most", "wanted"),
    [
        ("stranger", 9, ("c", "b", "a", "d")),
        ("stranger", 2, ("c", "b")),
        ("pool-b", 9, ("c", "a", "d")),
        ("pool-b-again", 2, ("c", "a")),
        ("b", 9, ("a", "c", "d")),
        ("ageless", 2, ("a", "b")),
    ],
)
def test_atlases_are_the_nearest_in_age_and_never_the_same_person(
    target: str, most: int, wanted: tuple[str, ...]
) -> None:
    (one,) = (subject for subject in PEOPLE if subject.id == target)
    assert nearest_atlases(one, PEOPLE, most) == wanted


def test_without_anybody_else_the_error_says_so() -> None:
    with pytest.raises(UserError, match="pool-b: nobody else is labelled"):
        nearest_atlases(PEOPLE[4], [PEOPLE[1], PEOPLE[4]], 3)

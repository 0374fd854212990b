from __future__ import annotations

import pytest

from gansfer.progress import duration


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (45, "45 s"),
        (89.4, "89 s"),
        (90, "2 min"),
        (720, "12 min"),
        (5400, "1.5 h"),
        (12600, "3.5 h"),
    ],
)
def test_durations_are_in_the_unit_that_suits_them(seconds: float, text: str) -> None:
    assert duration(seconds) == text

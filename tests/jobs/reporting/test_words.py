"""What the report says of an experiment's settings, in words."""

from __future__ import annotations

from typing import Any

import pytest

from gansfer.gan_settings import GanSettings
from jobs.reporting.words import beyond_paper

_CRITIC = "which sees small windows of image and labels together"


@pytest.mark.parametrize(
    ("gan", "said"),
    [
        ({}, ""),
        ({"learning_rate": 8e-3}, ""),
        (
            {"phase_2": {"coupling_weight": 1.0}},
            f"Not in the paper: a critic more in phase 2, {_CRITIC}.",
        ),
        (
            {"phase_3": {"coupling_weight": 0.5}},
            f"Not in the paper: a critic more in phase 3, {_CRITIC}.",
        ),
        (
            {"labelled_copies": 7},
            "Not in the paper: D_S knows deformed copies of each labelled slice (7).",
        ),
        (
            {"penalty_every": 4},
            "Not in the paper: a gradient penalty in one of 4 updates of a critic.",
        ),
        (
            {
                "phase_2": {"coupling_weight": 1.0},
                "phase_3": {"coupling_weight": 1.0},
                "labelled_copies": 31,
            },
            f"Not in the paper: a critic more in phases 2 and 3, {_CRITIC}; it and D_S know "
            "deformed copies of each labelled slice (31).",
        ),
    ],
)
def test_what_gans_have_that_the_papers_have_not(gan: dict[str, Any], said: str) -> None:
    assert beyond_paper(GanSettings.model_validate(gan)) == said

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from gansfer.settings import AnalysisSettings


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"ratio_from_labels": {1: "0:1"}}, "ratio '0:1' is not of the form real:synthetic"),
        ({"ratio_from_labels": {6: "10:1"}}, "no ratio for 1, where it must begin"),
    ],
)
def test_ratios_of_the_analysis_are_checked_before_anything_runs(
    wrong: dict[str, Any], said: str
) -> None:
    with pytest.raises(ValidationError, match=said):
        AnalysisSettings(**wrong)


def test_the_rule_for_one_fold_is_in_the_order_of_label_counts() -> None:
    settings = AnalysisSettings(ratio_from_labels={12: "100:1", 1: "2:1"})
    assert list(settings.ratio_from_labels.items()) == [(1, "2:1"), (12, "100:1")]

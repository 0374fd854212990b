from __future__ import annotations

import pytest

from gansfer.report.tables import paper
from gansfer.structures import PAPER_STRUCTURES


@pytest.mark.parametrize("arm", paper.ABLATION_PERCENT)
def test_rows_of_table_i_agree_with_their_printed_mean(arm: str) -> None:
    row = paper.ABLATION_PERCENT[arm]
    mean = sum(row[name] for name in PAPER_STRUCTURES) / 7
    assert row["mean"] == pytest.approx(mean, abs=1.0)  # both are printed without decimals


def test_every_label_count_of_table_ii_is_there() -> None:
    for measure in ("accuracy", "auc"):
        for source in ("baseline", "augmented"):
            assert list(paper.TABLE_II[measure][source]) == [1, 3, 6, 12, 24]
    assert sum(paper.ANALYSIS_SUBJECTS_BY_CDR.values()) == 386

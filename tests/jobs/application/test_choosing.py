"""Which segmenter is used where none is named, and what is said where it is not there."""

from __future__ import annotations

from pathlib import Path

import pytest

from gansfer.errors import UserError
from jobs.application.choosing import segmenter_of
from jobs.store.ledger import Ledger
from tests.jobs.conftest import Finished
from tests.jobs.experiments import BASELINE, RATIO, SYNTHETIC, Trial


def choice(trial: Trial, where: str | None = None) -> tuple[str, str]:
    task, why = segmenter_of(Ledger(trial.plan, trial.storage), where)
    return task.id, why


def test_the_ratio_is_chosen_by_the_rule_and_the_reason_given(finished: Finished) -> None:
    task_id, why = choice(finished)
    assert task_id == RATIO
    assert "most labelled subjects" in why and "analysis.ratio_from_labels" in why
    assert "fold 0" in why


def test_without_a_trained_ratio_it_is_the_baseline(finished: Finished, tmp_path: Path) -> None:
    copy = finished.copied(tmp_path)
    copy.undo(RATIO)
    task_id, why = choice(copy)
    assert (task_id, "no ratio is trained" in why) == (BASELINE, True)
    copy.undo(BASELINE)
    assert choice(copy)[0] == SYNTHETIC
    copy.undo(SYNTHETIC)
    with pytest.raises(UserError, match="no segmenter is trained and up to date"):
        choice(copy)


def test_a_named_cell_is_that_cell(finished: Finished) -> None:
    for where in ("fold-0/labels-01/baseline", "seed-0/fold-0/labels-01/baseline/"):
        assert choice(finished, where) == (BASELINE, "as asked")


def test_a_cell_that_is_not_there_or_not_done_is_named(finished: Finished, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no such segmenter, expected one of seed-0/fold-0/labels"):
        choice(finished, "fold-7/labels-01/baseline")
    copy = finished.copied(tmp_path)
    copy.undo(BASELINE)
    with pytest.raises(UserError, match="baseline is missing, expected done"):
        choice(copy, "fold-0/labels-01/baseline")

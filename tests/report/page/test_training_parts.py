from __future__ import annotations

from gansfer.report.page.page import Bullets, Terms
from gansfer.report.page.training_parts import failed_quality_line, training_parts
from gansfer.report.tables.results import Meta

FAILURES = [f"cell {n}: predicts nothing" for n in range(5)]


def test_the_line_names_three_cells_and_how_many_more() -> None:
    assert failed_quality_line([]) == ""
    three = failed_quality_line(FAILURES[:3])
    assert three.startswith("Failed quality: cell 0: predicts nothing; cell 1:")
    assert "cell 2" in three
    assert "more" not in three
    five = failed_quality_line(FAILURES)
    assert "cell 3" not in five
    assert "and 2 more (listed at the end of this page)" in five


def test_every_failure_and_every_skip_is_listed(meta: Meta) -> None:
    assert training_parts(meta) == []
    skipped = [("a GAN", "phase 1 skipped 12 of 250 updates of joint")]
    bullets, terms = training_parts(
        {**meta, "failed_quality": FAILURES, "skipped_updates": skipped}
    )
    assert isinstance(bullets, Bullets)
    assert bullets.items == FAILURES
    assert isinstance(terms, Terms)
    assert terms.items == skipped

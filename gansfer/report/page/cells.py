"""How numbers are written in the page's tables."""

from __future__ import annotations

import math
from collections.abc import Hashable, Mapping
from pathlib import Path

import pandas as pd

from gansfer.evaluation.statistics import smallest_wilcoxon_p
from gansfer.report.page.page import DASH, Image, Table, TableCell
from gansfer.report.tables.arm_names import arm_title
from gansfer.report.tables.rows import Row, rows_by, rows_of

MINUS = "\N{MINUS SIGN}"
INFINITY = "\N{INFINITY}"
ABSENT = TableCell(DASH, kind="absent")


def number(value: float, digits: int = 3, kind: str = "", note: str = "") -> TableCell:
    """A number; one that is not there is a dash, which keeps its note."""
    if math.isnan(value):
        return TableCell(DASH, note, "absent")
    if math.isinf(value):
        return TableCell(INFINITY, note, kind)
    return TableCell(f"{value:.{digits}f}", note, kind)


def signed(value: float, digits: int = 3) -> str:
    """A difference with its sign; a true minus."""
    text = f"{value:+.{digits}f}".replace("-", MINUS)
    return text[1:] if float(f"{value:.{digits}f}") == 0 else text


def p_value(p: float) -> str:
    """A p value as readers expect it."""
    if not math.isfinite(p):
        return DASH
    return "< 0.001" if p < 0.001 else f"{p:.3f}"


def verdict(row: Row, level: float, n_tests: int) -> tuple[str, str]:
    """What a comparison shows, in words, and as the page draws it: "better", "worse" or "".

    Args:
        row: one comparison: difference, n_subjects, p_wilcoxon_holm.
        level: of significance.
        n_tests: comparisons that Holm's correction is over.
    """
    if row["p_wilcoxon_holm"] < level:
        word = "better" if row["difference"] > 0 else "worse"
        return word, word
    if n_tests * smallest_wilcoxon_p(row["n_subjects"]) >= level:
        return "too few subjects to show any", ""
    return "no difference shown", ""


def interval(row: Row) -> str:
    """The bootstrap interval of a difference; of one subject's there is none."""
    if row["n_subjects"] < 2:
        return "one subject, no interval"
    return f"{signed(row['low'])} to {signed(row['high'])}"


def too_few_subjects(table: pd.DataFrame, level: float) -> str:
    """Where too few subjects keep the test from ever showing a difference; else nothing.

    Without it, "no difference shown" would read as a finding.

    Args:
        table: one family of comparisons: columns n_subjects and p_wilcoxon.
        level: of significance.
    """
    tested = table[table["p_wilcoxon"].notna()]
    least = len(tested) * tested["n_subjects"].map(smallest_wilcoxon_p)
    blind = tested[least >= level]
    if blind.empty:
        return ""
    n = int(blind["n_subjects"].max())
    where = "" if len(blind) == len(tested) else f"in {len(blind)} of {len(tested)} comparisons, "
    text = (
        f"{where}with {n} subjects at most, the Wilcoxon test cannot show a difference at "
        f"{percent(level)}: its smallest p after Holm's correction over {len(tested)} is "
        f"{p_value(min(1.0, float(least[blind.index].min())))}."
    )
    return f" {text[0].upper()}{text[1:]}"


def percent(fraction: float) -> str:
    """A level such as 0.05 as "5 %", which is not broken over two lines."""
    return f"{100 * fraction:g}\N{NO-BREAK SPACE}%"


def figure_image(path: Path, title: str, caption: str) -> Image:
    """A figure of the report's own folder, with its PDF beside it."""
    return Image(path, title, caption, f"figures/{path.with_suffix('.pdf').name}")


def gain_table(
    table: pd.DataFrame,
    column: str,
    names: Mapping[Hashable, str],
    title: str,
    caption: str,
    csv: str,
    significance: float | None = None,
) -> Table:
    """Gains over the baseline: a row for each value of `column`, a column for each label count.

    Args:
        table: columns labels, arm, baseline, augmented, difference, n_subjects and `column`; with
            `significance`, also p_wilcoxon_holm.
        column: such as "structure" or "cdr".
        names: value of `column` -> name of its row, in order.
        title: of the table.
        caption: of the table.
        csv: the file with all digits.
        significance: gains with a smaller p are bold; None: no test.
    """
    arms = {int(row["labels"]): str(row["arm"]) for row in rows_of(table)}
    by_cell = rows_by(table, column, "labels")
    lines = []
    for value, name in names.items():
        cells = [TableCell(name)]
        for labels in sorted(arms):
            row = by_cell.get((value, labels))
            if row is None:
                cells.append(ABSENT)
                continue
            sure = significance is not None and row["p_wilcoxon_holm"] < significance
            note = f"{row['baseline']:.3f} to {row['augmented']:.3f}, n = {row['n_subjects']}"
            cells.append(TableCell(signed(row["difference"]), note, "strong" if sure else ""))
        lines.append(cells)
    headers = ["", *(f"N = {labels}, {arm_title(arms[labels])}" for labels in sorted(arms))]
    return Table(title, caption, headers, lines, csv)

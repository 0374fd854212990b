"""The stage `aggregate`: metric files in, report out."""

from __future__ import annotations

from jobs.reporting.collect import write_report
from jobs.stages.context import Context, Outcome


def aggregate(context: Context) -> Outcome:
    """The stage: the report of everything that is there now."""
    summary = write_report(context.plan, context.storage)
    return Outcome(context.files.relative(context.files.page), {"missing": list(summary.missing)})

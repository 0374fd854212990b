"""What the page says of trainings that ended without an error and are no results all the same."""

from __future__ import annotations

from collections.abc import Sequence

from gansfer.report.page.page import Bullets, Part, Terms
from gansfer.report.tables.results import Meta

_LISTED = 3


def failed_quality_line(failures: Sequence[str]) -> str:
    """For the page's first screen; empty where nothing has failed.

    Args:
        failures: one line each, the cell's name in front.
    """
    if not failures:
        return ""
    more = len(failures) - _LISTED
    rest = f"; and {more} more (listed at the end of this page)" if more > 0 else ""
    return (
        f"Failed quality: {'; '.join(failures[:_LISTED])}{rest}. Their numbers are counted below."
    )


def training_parts(meta: Meta) -> list[Part]:
    """Every failure, and the GANs' skipped updates."""
    failures, skipped = meta.get("failed_quality", ()), meta.get("skipped_updates", ())
    parts: list[Part] = []
    if failures:
        parts.append(Bullets(f"Failed quality ({len(failures)})", failures, open=True))
    if skipped:
        parts.append(Terms(skipped, "Updates skipped, their gradients not finite"))
    return parts

"""What manifests say of trainings that went wrong without an error: for the page and for `status`.

Without pandas, so that a login node can ask.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from jobs.experiment.plan import Plan
from jobs.store.ledger import Ledger

Manifest = Mapping[str, Any]


def failed_quality(plan: Plan, ledger: Ledger) -> list[str]:
    """One line a failure, the task's id in front, of the tasks that are done."""
    return [
        f"{task.id}: {said}"
        for task in plan.tasks
        if ledger.done(task)
        for said in _failures(ledger.manifest(task))
    ]


def skipped_updates(plan: Plan, ledger: Ledger) -> list[tuple[str, str]]:
    """Id of each GAN that is done, and the updates that it skipped.

    Those that skipped none are one entry, and so are those from before skips went on record.
    """
    told, none, unknown = [], 0, 0
    for task in plan.of_stage("train_gan"):
        manifest = ledger.manifest(task) if ledger.done(task) else None
        if manifest is None:
            continue
        if "phases" not in manifest.get("facts", {}):
            unknown += 1
            continue
        skipped = list(_skips(manifest))
        none += not skipped
        if skipped:
            told.append((task.id, "; ".join(skipped)))
    if none:
        told.append((f"{none} GAN{'s' if none > 1 else ''}", "none skipped"))
    if unknown:
        told.append((f"{unknown} GAN{'s' if unknown > 1 else ''}", "not on record"))
    return told


def training_note(manifest: Manifest | None) -> str:
    """What is to be known of a task that is done; empty where all is well."""
    failures = [f"failed quality: {said}" for said in _failures(manifest)]
    return "; ".join([*failures, *_skips(manifest)])


def _failures(manifest: Manifest | None) -> list[str]:
    return [] if manifest is None else list(manifest.get("facts", {}).get("failed_quality", []))


def _skips(manifest: Manifest | None) -> Iterator[str]:
    facts = {} if manifest is None else manifest.get("facts", {})
    for phase, found in facts.get("phases", {}).items():
        for network, (skipped, updates) in found.get("skipped_updates", {}).items():
            if skipped:
                yield f"phase {phase} skipped {skipped:,} of {updates:,} updates of {network}"

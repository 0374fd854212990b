"""Updates that were skipped: how many, and when they are too many for the phase to be a result.

An update whose gradient is not finite is skipped (`steps.py`), so that one bad minibatch does no
harm. A GAN that diverges skips nearly all of them and learns nothing, which must not look like an
end. Everything is read from the records, which are on the host already: nobody waits for a device.

Pure Python: no torch, no NumPy.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from gansfer.errors import UserError
from gansfer.gan.schedule import GENERATOR

Records = Sequence[Mapping[str, Any]]
_SKIPPED, _LOSS = "skipped_", "loss_"


def skipped_by_network(records: Records) -> dict[str, int]:
    """Updates of each network that were skipped from the phase's start to the last record."""
    last = records[-1] if records else {}
    return {
        name.removeprefix(_SKIPPED): int(n) for name, n in last.items() if name.startswith(_SKIPPED)
    }


def skipped_in_words(skipped: Mapping[str, int], updates: Mapping[str, int]) -> str:
    """Such as `skipped 12 of 250 updates of the joint critic, their gradients not finite`.

    Args:
        skipped: by network, of `skipped_by_network`.
        updates: by network, those of the whole phase.
    """
    counts = [f"{n} of {updates[name]} updates of {_the(name)}" for name, n in skipped.items() if n]
    return f"skipped {' and '.join(counts) or 'no updates'}, their gradients not finite"


def check_skipped(
    records: Records,
    updates: Mapping[str, int],
    most_fraction: float,
    *,
    where: str,
    learning_rate: float,
    finished: bool,
) -> None:
    """Refuse a phase that skips too much, as soon as that is certain.

    The share is of all updates that the phase will have made, so that a single bad minibatch at the
    start does not end it. A phase whose very last updates are all skipped has diverged at its end,
    however few they are.

    Args:
        records: of the phase so far, at least one.
        updates: by network, those of the whole phase.
        most_fraction: share of a network's updates that may be skipped; 1: nothing is refused.
        where: phase and level, for the message.
        learning_rate: for the message.
        finished: the last record is that of the phase's end.

    Raises:
        UserError: a network's share is above the limit, or it has diverged at the end.
    """
    if most_fraction >= 1.0:
        return
    skipped = skipped_by_network(records)
    above = {name: n for name, n in skipped.items() if n > most_fraction * updates[name]}
    ended = {name: skipped[name] for name in skipped if records[-1][_LOSS + name] is None}
    bad = above or (ended if finished else {})
    if not bad:
        return
    limit = f"at most {most_fraction:.3g} of them may be (gan.max_skipped_fraction)"
    if not above:
        limit = "the last of the phase among them"
    raise UserError(
        f"{where}: {skipped_in_words(bad, updates)}; {limit}. {_last_losses(records, skipped)} "
        f"Lower gan.learning_rate, or the phase's own, which is {learning_rate:g}, or look at the "
        "images' intensities"
    )


def _last_losses(records: Records, networks: Mapping[str, int]) -> str:
    losses = []
    for name in networks:
        known = (record.get(_LOSS + name) for record in reversed(records))
        value = next((value for value in known if value is not None), None)
        losses.append(f"{_LOSS}{name} {'never' if value is None else format(value, '.3g')}")
    return f"Losses when last finite: {', '.join(losses)}."


def _the(name: str) -> str:
    return "the generator" if name == GENERATOR else f"the {name} critic"

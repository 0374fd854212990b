"""Faults by their number: one of each kind in turn, at a moment drawn from the campaign's seed."""

from __future__ import annotations

import errno
import os
import random
import signal
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from tests.faults.damage import DAMAGE

SIGNALS = ("SIGKILL", "SIGTERM", "SIGINT")
TARGETS = ("worker", "pool", "parent", "group")
ERRORS = {
    "disk full": errno.ENOSPC,
    "input/output error": errno.EIO,
    "storage read-only": errno.EROFS,
}
KINDS = (
    *(f"{name} to the {target}" for name in SIGNALS for target in TARGETS),
    *(f"{damage} in a product" for damage in DAMAGE),
    *(f"{damage} in what a killed task kept" for damage in DAMAGE),
    *ERRORS,
    "input/output error when reading",
    "disk full, a real one",
    "storage away for a while",
    "two runs at once",
    "lock of a dead host",
    "clock that jumps",
)
# How often a stage is what the command still has to do; the first ones have most kinds of files.
_WEIGHTS = {"prepare": 3, "train_gan": 4, "synthesise": 3, "aggregate": 1}


@dataclass(frozen=True)
class Fault:
    """One fault.

    Attributes:
        number: in the campaign, from 0.
        kind: one of `KINDS`.
        todo: tasks that are undone before, so that the command has something to do.
        planted: what planted_fault.py is given, without its paths; None: nothing is planted.
        after: when it comes, as a fraction of the tasks' writes, where nothing is planted.
        facts: what else was drawn, by its kind.
    """

    number: int
    kind: str
    todo: tuple[str, ...]
    planted: dict[str, Any] | None = None
    after: float = 0.0
    facts: dict[str, Any] = field(default_factory=dict)

    @property
    def draw(self) -> random.Random:
        """For what is drawn when the files are there."""
        return random.Random(f"{self.kind} {self.number} {self.after}")


def draw_fault(seed: int, number: int, writes_by_task: Mapping[str, int]) -> Fault:
    """The fault of this number.

    Args:
        seed: the campaign's.
        number: from 0.
        writes_by_task: how many writes each task of the experiment makes.
    """
    kinds = kinds_here()
    kind = kinds[number % len(kinds)]
    draw = random.Random(f"{seed}/{number}")
    names = list(writes_by_task)
    weights = [_WEIGHTS.get(name.split("/")[0], 1) for name in names]
    todo = tuple(dict.fromkeys(draw.choices(names, weights, k=draw.choice((1, 1, 2)))))
    at = draw.randint(1, sum(writes_by_task[name] for name in todo))
    fault = {"at": at, "count": 1}
    after = draw.random()
    facts: dict[str, Any] = {}
    planted: dict[str, Any] | None = None
    name, _, target = kind.partition(" to the ")
    if target:
        by_time = draw.random() < 1 / 3
        facts = {"signal": int(signal.Signals[name]), "target": target}
        planted = None if by_time else {**fault, "what": "signal", **facts}
    elif kind in ERRORS:
        count = draw.choice((1, 0)) if kind != "storage read-only" else draw.choice((5, 0))
        planted = {**fault, "count": count, "what": "error", "errno": ERRORS[kind]}
    elif kind == "input/output error when reading":
        planted = {**fault, "count": draw.choice((1, 0)), "what": "error", "reads": True}
        planted |= {"errno": errno.EIO}
    elif kind == "storage away for a while":
        facts = {"for_s": draw.choice((0.1, 1.0, 3.0))}
    elif kind == "lock of a dead host":
        facts = {"locked": draw.random() < 0.5, "silent_s": draw.choice((0, 20, 3600))}
    elif kind == "clock that jumps":
        jump_s = draw.choice((-86400, -3600, 3600, 86400))
        facts = {"jump_s": jump_s, "lock": draw.random() < 0.3}
        planted = {**fault, "what": "clock", "jump_s": jump_s}
    elif "killed task" in kind:
        planted = {**fault, "what": "signal", "signal": int(signal.SIGKILL), "target": "group"}
    return Fault(number, kind, todo, planted, after, facts)


def kinds_here() -> tuple[str, ...]:
    """The kinds that this machine can have: only root mounts a small file system."""
    return tuple(kind for kind in KINDS if kind != "disk full, a real one" or os.geteuid() == 0)

"""The arms of an experiment as the report names and orders them."""

from __future__ import annotations

import re

PROPAGATION = "propagation"
CLASSICAL = "classical"
SELF_TRAINING = "self-training"
# Each fold's own choice of ratio, where they differ: no arm of the plan.
BY_FOLD = "ratio-by-fold"
_ABLATION_ONLY = ("p1", "p1+", "p2", "p2+", "p3", "p3+")
_RIVAL_TITLES = {CLASSICAL: "Classical", SELF_TRAINING: "Self-training"}
_RATIO = re.compile(r"ratio-(\d+(?:\.\d+)?)to(\d+(?:\.\d+)?)")


def arm_title(arm: str) -> str:
    """An arm's name as readers see it: "Baseline", "2:1", "Synthetic only", "P1+", "Classical"."""
    if is_rival_arm(arm):
        method, _, mixed = arm.partition("+")
        return _RIVAL_TITLES[method] + (f" and {arm_title(mixed)}" if mixed else "")
    if ratio := _RATIO.fullmatch(arm):
        return f"{ratio[1]}:{ratio[2]}"
    named = {"baseline": "Baseline", "synthetic": "Synthetic only", PROPAGATION: "Propagation"}
    return named.get(arm, "ratio by fold" if arm == BY_FOLD else arm.upper())


def ablation_title(arm: str) -> str:
    """An arm's name in Table I of the paper: "BL", "P1", ..., "P2&3", "P2&3+"."""
    if is_ratio(arm):
        return "P2&3+"
    return {"baseline": "BL", "synthetic": "P2&3"}.get(arm, arm.upper())


def is_ratio(arm: str) -> bool:
    """Whether an arm mixes real and synthetic segments (and is no ablation row)."""
    return _RATIO.fullmatch(arm) is not None


def is_rival_arm(arm: str) -> bool:
    """Whether an arm is a cheap way to more data, alone or together with synthetic segments."""
    return arm.partition("+")[0] in _RIVAL_TITLES


def is_ablation_only(arm: str) -> bool:
    """Whether an arm is a row of Table I and of no other cell."""
    return arm in _ABLATION_ONLY


def real_per_synthetic(arm: str) -> float:
    """Real segments for each synthetic one in the arm of a ratio.

    Raises:
        ValueError: the arm is not that of a ratio.
    """
    ratio = _RATIO.fullmatch(arm)
    if ratio is None:
        raise ValueError(f"arm {arm!r} is not that of a ratio, such as ratio-2to1")
    return float(ratio[1]) / float(ratio[2])


def arm_order(arm: str) -> tuple[int, float, str]:
    """Sort key of arms: baseline, ratios (most real first), synthetic, rivals, ablation.

    Of the rivals, those alone come before those with synthetic segments; propagation is the last.
    """
    if arm == "baseline":
        return 0, 0.0, arm
    if is_ratio(arm):
        return 1, -real_per_synthetic(arm), arm
    if arm == "synthetic":
        return 2, 0.0, arm
    if is_rival_arm(arm):
        return 3, float("+" in arm), arm
    if arm == PROPAGATION:
        return 4, 0.0, arm
    place = _ABLATION_ONLY.index(arm) if arm in _ABLATION_ONLY else len(_ABLATION_ONLY)
    return 5, float(place), arm


def ablation_arms(ratio: str) -> tuple[str, ...]:
    """The arms of Table I, in its order; `ratio` (such as "2:1") is the one of the "+" rows."""
    return "baseline", *_ABLATION_ONLY, "synthetic", ratio_arm(ratio)


def ratio_arm(ratio: str) -> str:
    """The arm of a ratio such as "2:1"."""
    return "ratio-" + ratio.replace(":", "to")

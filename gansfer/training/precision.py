"""In which precision networks compute where the settings leave it open."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from contextlib import AbstractContextManager
from typing import Any

import torch

_NATIVE = ("avx512_bf16", "amx_bf16")
_log = logging.getLogger(__name__)


def settled_precision(asked: str, device: torch.device | str) -> str:
    """What "auto" means on a device; anything else is as asked.

    bfloat16 on a CPU that multiplies in it. With AVX512-BF16 a step at 40 px takes two thirds of
    the time, and of 16 measures of three seeds' GANs 13 were within float32's range and two better
    (tests/benchmarks/same_quality.py); AMX was not measured. float32 elsewhere: on GPUs nothing was
    compared.

    Args:
        asked: "auto", "float32" or "bfloat16".
        device: where the networks are.
    """
    if asked != "auto":
        return asked
    native = torch.device(device).type == "cpu" and _multiplies_in_bfloat16()
    return "bfloat16" if native else "float32"


def mixed_precision(precision: str, device: torch.device) -> AbstractContextManager[None]:
    """A context in which products are computed in this precision; weights stay as they are.

    Args:
        precision: "float32" or "bfloat16".
        device: where the networks are.
    """
    return torch.autocast(device.type, torch.bfloat16, enabled=precision == "bfloat16")


def warn_of_another_precision(
    state: Mapping[str, Any], precision: str, *, where: str, setting: str
) -> None:
    """Log a warning where a training goes on in another precision than it was begun in.

    Only "auto" comes to that, on another machine: a state of other settings is never taken up.

    Args:
        state: what it goes on from; one of an earlier version has no `precision`.
        precision: "float32" or "bfloat16": what it goes on in.
        where: what goes on, such as "phase 2".
        setting: the one that is "auto".
    """
    before = state.get("precision", precision)
    if before != precision:
        _log.warning(
            "%s: begun in %s, goes on in %s, which %s: auto means on this machine; %s: %s, set "
            "before it is trained, holds on every machine",
            *(where, before, precision, setting, setting, before),
        )


def _multiplies_in_bfloat16() -> bool:
    capabilities = getattr(torch.cpu, "get_capabilities", None)  # younger than torch 2.11
    return capabilities is not None and any(capabilities().get(name, False) for name in _NATIVE)

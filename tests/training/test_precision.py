from __future__ import annotations

import pytest
import torch

from gansfer.training.precision import settled_precision


@pytest.mark.parametrize(
    ("flags", "precision"),
    [
        ({"avx512_bf16": True, "amx_bf16": False}, "bfloat16"),
        ({"avx512_bf16": False, "amx_bf16": True}, "bfloat16"),
        ({"avx512_bf16": False, "amx_bf16": False}, "float32"),
        ({"neon": True}, "float32"),
    ],
)
def test_auto_is_what_the_processor_multiplies_in(
    flags: dict[str, bool], precision: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: flags, raising=False)
    assert settled_precision("auto", "cpu") == precision
    assert settled_precision("auto", torch.device("cpu")) == precision
    assert settled_precision("auto", "cuda") == "float32"
    assert settled_precision("float32", "cpu") == "float32"
    assert settled_precision("bfloat16", "cuda") == "bfloat16"


def test_a_torch_that_knows_no_capabilities_computes_in_float32(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delattr(torch.cpu, "get_capabilities", raising=False)
    assert settled_precision("auto", "cpu") == "float32"

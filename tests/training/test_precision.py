from __future__ import annotations

import pytest
import torch

from gansfer.training.precision import settled_precision, warn_of_another_precision


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


@pytest.mark.parametrize("state", [{}, {"precision": "float32"}])
def test_a_state_of_the_same_precision_or_from_before_it_was_kept_is_no_news(
    state: dict[str, str], caplog: pytest.LogCaptureFixture
) -> None:
    warn_of_another_precision(state, "float32", where="phase 2", setting="gan.precision")
    assert not caplog.records


def test_a_change_of_precision_is_told_with_the_setting_that_prevents_it(
    caplog: pytest.LogCaptureFixture,
) -> None:
    kept = {"precision": "bfloat16"}
    warn_of_another_precision(kept, "float32", where="phase 2", setting="gan.precision")
    assert [record.getMessage() for record in caplog.records] == [
        "phase 2: begun in bfloat16, goes on in float32, which gan.precision: auto means on this "
        "machine; gan.precision: bfloat16, set before it is trained, holds on every machine"
    ]

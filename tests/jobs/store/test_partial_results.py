"""Partial results: whole and of the same inputs, or not there."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from jobs.store.partial_results import Parts, remove_parts


def kept(folder: Path) -> Parts:
    parts = Parts(folder, "inputs")
    parts.keep("first", {"a": np.arange(50), "b": np.eye(3)})
    return Parts(folder, "inputs")  # as the next attempt opens them


def test_a_part_comes_back(tmp_path: Path) -> None:
    parts = kept(tmp_path)
    assert parts.has("first")
    assert np.array_equal(parts.read("first")["a"], np.arange(50))
    assert list(parts.read("first", only="b")) == ["b"]


def test_parts_of_other_inputs_are_never_seen(tmp_path: Path) -> None:
    kept(tmp_path)
    assert not Parts(tmp_path, "other inputs").has("first")


@pytest.mark.parametrize("damage", ["flipped", "cut", "empty"])
def test_a_damaged_part_is_computed_again(tmp_path: Path, damage: str) -> None:
    parts = kept(tmp_path)
    (path,) = tmp_path.rglob("*.npz")
    content = path.read_bytes()
    flipped = content[:300] + bytes([content[300] ^ 1]) + content[301:]
    path.write_bytes({"flipped": flipped, "cut": content[:200], "empty": b""}[damage])
    assert not parts.has("first")
    assert not path.exists()
    parts.keep("first", {"a": np.arange(50)})
    assert parts.has("first")


def test_a_dropped_part_is_gone(tmp_path: Path) -> None:
    parts = kept(tmp_path)
    assert parts.has("first")
    parts.drop("first")
    assert not parts.has("first")
    remove_parts(tmp_path)
    assert list(tmp_path.iterdir()) == []

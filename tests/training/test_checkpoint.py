"""Two generations of training state; damage, other settings and pickles are passed over."""

from __future__ import annotations

import logging
import os
import pickle
from pathlib import Path
from typing import Any

import pytest
import torch

from gansfer.training.checkpoint import CheckpointStore


def state_at(step: int) -> dict[str, Any]:
    return {"step": step, "weights": {"a": torch.full((3,), float(step))}, "records": [{"x": None}]}


@pytest.fixture
def store(tmp_path: Path) -> CheckpointStore:
    store = CheckpointStore(tmp_path / "training", "mine")
    for step in (5, 50, 500):
        store.save(step, state_at(step))
    for path in store.folder.iterdir():
        age(path)
    return store


def age(path: Path) -> None:
    """As if written a minute earlier: a file system's clock may tick but every few milliseconds."""
    written_ns = path.stat().st_mtime_ns - 60 * 10**9
    os.utime(path, ns=(written_ns, written_ns))


def names(store: CheckpointStore) -> list[str]:
    return sorted(path.name for path in store.folder.iterdir())


def test_nothing_saved_is_nothing_loaded(tmp_path: Path) -> None:
    assert CheckpointStore(tmp_path / "nowhere", "mine").load() is None


def test_the_newest_comes_back_and_two_generations_are_kept(store: CheckpointStore) -> None:
    kept = store.load()
    assert kept is not None
    assert kept["step"] == 500
    assert kept["records"] == [{"x": None}]
    assert torch.equal(kept["weights"]["a"], torch.full((3,), 500.0))
    assert names(store) == ["checkpoint-0000000050.pt", "checkpoint-0000000500.pt"]


@pytest.mark.parametrize("damage", ["cut", "flipped", "empty"])
def test_a_damaged_newest_is_passed_over_with_a_warning(
    store: CheckpointStore, damage: str, caplog: pytest.LogCaptureFixture
) -> None:
    newest = store.folder / "checkpoint-0000000500.pt"
    content = newest.read_bytes()
    half = len(content) // 2
    newest.write_bytes({"cut": content[:half], "flipped": content[half:], "empty": b""}[damage])
    with caplog.at_level(logging.WARNING):
        kept = store.load()
    assert kept is not None
    assert kept["step"] == 50
    (said,) = caplog.records
    assert said.getMessage() == f"{newest}: damaged since it was written; trying the one before"


def test_a_flipped_bit_anywhere_is_noticed(store: CheckpointStore) -> None:
    newest = store.folder / "checkpoint-0000000500.pt"
    content = newest.read_bytes()
    for place in range(0, len(content), max(1, len(content) // 97)):
        newest.write_bytes(content[:place] + bytes([content[place] ^ 4]) + content[place + 1 :])
        kept = store.load()
        assert kept is not None and kept["step"] == 50, place


def test_all_damaged_is_a_fresh_start(store: CheckpointStore) -> None:
    for path in store.folder.iterdir():
        path.write_bytes(b"no checkpoint")
    assert store.load() is None


def test_other_settings_never_resume_these_weights(store: CheckpointStore) -> None:
    other = CheckpointStore(store.folder, "other")
    assert other.load() is None
    for step in (7, 8):  # what is left of the old settings is further on, and makes way
        other.save(step, state_at(step))
    assert names(store) == ["checkpoint-0000000007.pt", "checkpoint-0000000008.pt"]
    kept = other.load()
    assert kept is not None
    assert kept["step"] == 8


def test_a_damaged_newest_does_not_crowd_out_those_that_follow(store: CheckpointStore) -> None:
    (store.folder / "checkpoint-0000000500.pt").write_bytes(b"no checkpoint")
    age(store.folder / "checkpoint-0000000500.pt")
    for step in (60, 70):
        store.save(step, state_at(step))
    assert names(store) == ["checkpoint-0000000060.pt", "checkpoint-0000000070.pt"]


class Evil:
    def __reduce__(self) -> tuple[Any, ...]:
        return (Path.touch, (Path("evil-was-here"),))


@pytest.mark.filterwarnings("ignore:Detected pickle protocol")
def test_a_checkpoint_runs_no_code(
    store: CheckpointStore, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    newest = store.folder / "checkpoint-0000000500.pt"
    torch.save({"identity": "mine", "step": 500, "state": Evil()}, newest)
    kept = store.load()
    assert kept is not None
    assert kept["step"] == 50
    newest.write_bytes(pickle.dumps({"identity": "mine", "state": Evil()}))
    assert store.load() is not None
    assert not (tmp_path / "evil-was-here").exists()


def test_clear_leaves_no_checkpoint(store: CheckpointStore) -> None:
    (store.folder / "product.txt").touch()
    store.clear()
    assert names(store) == ["product.txt"]


def test_a_save_is_due_by_the_clock_alone(tmp_path: Path) -> None:
    assert CheckpointStore(tmp_path, "mine", every_s=0.0).due()
    store = CheckpointStore(tmp_path, "mine", every_s=3600.0)
    assert not store.due()

"""No product is used that is not as it was written; what is damaged is computed again."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from jobs.store.integrity import damaged_product, withdraw_damaged
from jobs.store.manifest import combined_digest, digest_files, file_digests
from jobs.worker.run import BLOCKED
from tests.jobs.conftest import Finished
from tests.jobs.experiments import GAN, SYNTHESISE, SYNTHETIC, Trial, results_of


def flip(path: Path, place: float = 0.5) -> None:
    """Flip one bit in the middle of a file."""
    content = bytearray(path.read_bytes())
    content[int(place * len(content))] ^= 1
    path.write_bytes(content)


def test_the_digest_of_all_is_made_of_the_digests_of_each(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name).write_text(name)
    digests = file_digests(tmp_path, ("a", "b"))
    assert digest_files(tmp_path, ("a", "b")) == combined_digest(digests)
    assert digest_files(tmp_path, ("b", "a")) != combined_digest(digests)


@pytest.mark.parametrize("earlier", [False, True], ids=["files", "earlier version"])
def test_the_damaged_product_is_named(tmp_path: Path, earlier: bool) -> None:
    for name in ("a", "b"):
        (tmp_path / name).write_text(f"content of {name}")
    digests = file_digests(tmp_path, ("a", "b"))
    manifest = {"products": ["a", "b"], "files": digests, "digest": combined_digest(digests)}
    if earlier:
        del manifest["files"]
    assert damaged_product(tmp_path, manifest) is None
    flip(tmp_path / "b")
    assert damaged_product(tmp_path, manifest) == ("a" if earlier else "b")
    assert earlier or damaged_product(tmp_path, manifest, only=("a",)) is None
    (tmp_path / "b").unlink()
    assert damaged_product(tmp_path, manifest) == "b"


def test_a_task_with_a_damaged_product_is_not_done_any_more(tmp_path: Path) -> None:
    trial = Trial.make(tmp_path)
    trial.pretend("prepare")
    prepare = trial.task("prepare")
    assert withdraw_damaged(trial.storage, prepare) is None
    (trial.folder("prepare") / "product.txt").write_text("something else")
    said = withdraw_damaged(trial.storage, prepare)
    assert said is not None and "product.txt was damaged since it was written" in said
    assert trial.ledger().finding(prepare).state == "missing"
    assert trial.storage.files(prepare).withdrawn_manifest.exists()
    assert withdraw_damaged(trial.storage, prepare) is None


@pytest.mark.parametrize("place", [0.2, 0.5, 0.8])
def test_a_damaged_manifest_is_no_manifest(tmp_path: Path, place: float) -> None:
    trial = Trial.make(tmp_path)
    trial.pretend("prepare")
    flip(trial.storage.files(trial.task("prepare")).manifest, place)
    assert trial.storage.read_manifest(trial.task("prepare")) is None


def test_a_manifest_of_an_earlier_version_counts(tmp_path: Path) -> None:
    trial = Trial.make(tmp_path)
    trial.pretend("prepare")
    path = trial.storage.files(trial.task("prepare")).manifest
    manifest = json.loads(path.read_text())
    del manifest["manifest_digest"]
    path.write_text(json.dumps(manifest))
    assert trial.ledger().done(trial.task("prepare"))


def test_a_task_takes_no_damaged_input(finished: Finished, tmp_path: Path) -> None:
    trial = finished.copied(tmp_path)
    trial.undo(SYNTHESISE)
    flip(trial.storage.files(trial.task(GAN)).phase(2).generator)
    assert trial.work(SYNTHESISE) == BLOCKED
    said = trial.state(SYNTHESISE)["reason"]
    assert "phase-2/generator.safetensors was damaged since it was written" in said
    assert f"{GAN} has to be run again" in said


@pytest.mark.slow
def test_what_is_damaged_is_computed_again_by_the_same_command(
    finished: Finished, tmp_path: Path
) -> None:
    trial = finished.copied(tmp_path)
    flip(trial.storage.files(trial.task(GAN)).phase(2).generator)
    flip(trial.storage.files(trial.task(SYNTHETIC)).metrics)
    for task_id in (SYNTHESISE, "aggregate"):
        trial.undo(task_id)
    ran = trial.run()
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert results_of(trial.storage) == results_of(finished.storage)

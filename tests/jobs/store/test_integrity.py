"""No product is used that is not as it was written; what is damaged is computed again."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from jobs.store import integrity
from jobs.store.integrity import damaged_product, products_read, withdraw_damaged
from jobs.store.ledger import Ledger
from jobs.store.manifest import combined_digest, digest_files, file_digests
from jobs.worker import run as run_module
from jobs.worker.run import BLOCKED
from tests.jobs.conftest import Finished
from tests.jobs.experiments import BASELINE, GAN, RATIO, SYNTHESISE, SYNTHETIC, Trial, results_of


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
    said = withdraw_damaged(trial.storage, prepare)  # the next reader is not to read it either
    assert said is not None and said.startswith("prepare is not done any more")


def test_what_was_made_anew_while_it_was_read_is_not_withdrawn(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The files are new, the manifest in hand is the old one: no damage, and a new manifest."""
    trial = Trial.make(tmp_path)
    trial.pretend("prepare", content="of before")
    looked = integrity.damaged_product

    def then_made_anew(*what: Any) -> str | None:
        if (trial.folder("prepare") / "product.txt").read_text() == "of before":
            trial.pretend("prepare", content="of now")
        return looked(*what)

    monkeypatch.setattr(integrity, "damaged_product", then_made_anew)
    assert withdraw_damaged(trial.storage, trial.task("prepare")) is None
    assert trial.ledger().done(trial.task("prepare"))


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


def overwrite_a_block(path: Path) -> None:
    """64 zeros in the middle; ones where there were zeros already."""
    content = bytearray(path.read_bytes())
    block = slice(len(content) // 2, len(content) // 2 + 64)
    content[block] = (b"\0" if any(content[block]) else b"\xff") * len(content[block])
    path.write_bytes(content)


DAMAGE: dict[str, Callable[[Path], object]] = {
    "flipped bit": flip,
    "overwritten block": overwrite_a_block,
    "cut": lambda path: path.write_bytes(path.read_bytes()[:-100]),
    "emptied": lambda path: path.write_bytes(b""),
    "of another run": lambda path: path.write_bytes(path.read_bytes() + b"x"),
    "deleted": Path.unlink,
}


@pytest.mark.parametrize("damage", DAMAGE.values(), ids=DAMAGE.keys())
def test_no_product_of_any_stage_is_read_damaged(
    finished: Finished, tmp_path: Path, damage: Callable[[Path], object]
) -> None:
    """Every product of every task, under every kind of damage: what reads it does not run."""
    trial = finished.copied(tmp_path)
    for task in trial.plan.tasks[:-1]:
        manifest = trial.storage.read_manifest(task)
        assert manifest is not None
        readers = [one for one in trial.plan.tasks if task.id in one.needs]
        for name in manifest["products"]:
            path = trial.folder(task.id) / name
            for reader in (readers[0], readers[-1]):
                read = products_read(trial.storage.files(task), task, reader.stage)
                if read is not None and name not in read:
                    continue
                manifests = [trial.storage.files(one).manifest for one in (task, reader)]
                before = {one: one.read_bytes() for one in (path, *manifests)}
                trial.storage.files(reader).manifest.unlink()
                damage(path)
                ended = trial.work(reader.id)
                if not path.exists() and reader.stage == "aggregate" and task.stage != "prepare":
                    # Never done, as far as the report can tell: it says that this is missing.
                    report = trial.storage.read_manifest(reader)
                    assert report is not None and report["facts"]["missing"]
                else:
                    assert ended == BLOCKED, (path, reader.id)
                assert not trial.ledger().done(task)
                for one, content in before.items():
                    one.write_bytes(content)


def test_the_second_reader_of_a_damaged_product_does_not_run_either(
    finished: Finished, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both have seen all their inputs done; then the first one withdraws what both need."""
    trial = finished.copied(tmp_path)
    trial.undo(SYNTHETIC)
    flip(trial.storage.files(trial.task(SYNTHESISE)).slices(3))
    seen = run_module._inputs_seen

    def then_withdrawn(*what: Any) -> Ledger:
        ledger = seen(*what)
        assert not ledger.missing_needs(trial.task(SYNTHETIC))
        withdraw_damaged(trial.storage, trial.task(SYNTHESISE))
        return ledger

    monkeypatch.setattr(run_module, "_inputs_seen", then_withdrawn)
    assert trial.work(SYNTHETIC) == BLOCKED
    assert "is not done any more" in trial.state(SYNTHETIC)["reason"]


@pytest.mark.slow
def test_what_is_damaged_is_computed_again_by_the_same_command(
    finished: Finished, tmp_path: Path
) -> None:
    trial = finished.copied(tmp_path)
    flip(trial.storage.files(trial.task(GAN)).phase(2).generator)
    flip(trial.storage.files(trial.task(SYNTHETIC)).metrics)
    flip(trial.storage.files(trial.task("prepare")).folder / "images-000.h5")  # two read it at once
    for task_id in (SYNTHESISE, BASELINE, RATIO, "aggregate"):
        trial.undo(task_id)
    ran = trial.run()
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert results_of(trial.storage) == results_of(finished.storage)

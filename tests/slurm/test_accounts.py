"""Two people share one storage: whose jobs are whose, and what one may not do to the other's."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.slurm.accounts import Account, shared_folder, two_accounts
from tests.slurm.throwaway import Cluster, wait_until
from tests.slurm.trials import Trial

pytestmark = pytest.mark.slurm

SMALL = {"label_counts": [1], "ratios": []}  # 12 tasks
BASELINE = "segmenter/seed-0/fold-0/labels-01/baseline"


@pytest.fixture(scope="module")
def people() -> Iterator[tuple[Account, Account]]:
    yield from two_accounts()


@pytest.fixture
def folder(people: tuple[Account, Account]) -> Iterator[Path]:
    yield from shared_folder()


@pytest.fixture
def shared(cluster: Cluster, folder: Path) -> Iterator[Trial]:
    one = Trial(cluster, folder, "shared", grid=SMALL)
    yield one
    print(cluster.tell())  # pytest shows it where the test has failed
    left = one.elements()
    if left:
        cluster.run("scancel", *left, check=False)


def test_a_colleagues_jobs_are_his_and_his_products_everybodys(
    people: tuple[Account, Account], shared: Trial
) -> None:
    anna, ben = people
    shared.plant({"prepare": "held"})
    anna.gansfer(shared, "submit", "--yes")
    queued = shared.elements()
    assert len(queued) == 12
    wait_until(lambda: ben.status(shared)["counts"]["running"] == 1, 60, "the first task")
    found = ben.status(shared)
    assert found["tasks"]["prepare"]["user"] == anna.name
    assert anna.status(shared)["tasks"]["prepare"]["user"] is None
    assert f"running prepare of {anna.name} on " in ben.gansfer(shared, "status")
    said = ben.gansfer(shared, "submit", "--yes")
    assert "nothing to submit: 0 of 12 tasks are done, 12 queued or running" in said
    told = ben.gansfer(shared, "cancel", "--yes", fails=2).splitlines()
    assert [line[:6] for line in told] == ["error:"], told
    assert f"12 jobs are those of {anna.name}, who alone may cancel them" in told[0]
    assert shared.elements() == queued
    anna.gansfer(shared, "cancel", "--yes")
    wait_until(lambda: not shared.elements(), 60, "an empty queue")
    shared.plant()
    ben.gansfer(shared, "submit", "--yes")
    wait_until(lambda: not shared.elements(), 240, "the end of all jobs", every_s=2.0)
    assert anna.status(shared)["counts"]["done"] == 12
    manifests = list(shared.root.rglob("manifest.json"))
    assert {path.owner() for path in manifests} == {ben.name}
    assert "12 of 12 tasks are done" in anna.gansfer(shared, "submit", "--yes")
    shutil.rmtree(shared.root / BASELINE)
    anna.gansfer(shared, "submit", "--yes")  # beside and over what is his
    wait_until(lambda: not shared.elements(), 120, "the end of all jobs", every_s=2.0)
    assert ben.status(shared)["counts"]["done"] == 12
    assert (shared.root / BASELINE / "manifest.json").owner() == anna.name


def test_what_one_may_not_write_is_one_line(people: tuple[Account, Account], shared: Trial) -> None:
    anna, ben = people
    shared.plant({"prepare": "error"})
    anna.gansfer(shared, "submit", "--yes", umask=0o022)  # she has forgotten her umask
    wait_until(lambda: not shared.elements(), 120, "the end of all jobs", every_s=2.0)
    shared.plant()
    assert ben.status(shared)["tasks"]["prepare"]["kind"] == "error"
    for command in ("submit", "retry", "run", "aggregate"):
        options = ("--yes",) if command in ("submit", "retry") else ()
        told = ben.gansfer(shared, command, *options, fails=2).splitlines()
        assert len(told) == 1, told
        assert told[0].startswith(f"error: {shared.root}"), told
        assert f"is {anna.name}'s. To share a folder, give it a common group" in told[0]
    assert not shared.elements()
    anna.gansfer(shared, "submit", "--yes", umask=0o022)
    wait_until(lambda: not shared.elements(), 240, "the end of all jobs", every_s=2.0)
    assert ben.status(shared)["counts"]["done"] == 12

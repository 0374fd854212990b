"""The clusters of these tests, and a maker of experiments on each."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.slurm.throwaway import Cluster
from tests.slurm.trials import REAL, Trial, cancelling, running_cluster


@pytest.fixture(scope="session")
def cluster() -> Iterator[Cluster]:
    """A cluster with accounting."""
    yield from running_cluster(accounting=True, port=17300)


@pytest.fixture(scope="session")
def plain_cluster() -> Iterator[Cluster]:
    """A cluster without: no sacct."""
    yield from running_cluster(accounting=False, port=17320)


@pytest.fixture
def trial(cluster: Cluster, tmp_path: Path) -> Iterator[Callable[..., Trial]]:
    yield from cancelling(cluster, tmp_path)


@pytest.fixture
def plain_trial(plain_cluster: Cluster, tmp_path: Path) -> Iterator[Callable[..., Trial]]:
    yield from cancelling(plain_cluster, tmp_path)


@pytest.fixture(scope="session")
def undisturbed(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Trial:
    """The smallest grid with the real stages, by `gansfer run` on this machine."""
    one = Trial(cluster, tmp_path_factory.mktemp("local"), "grid")
    one.plant(**REAL)
    one.gansfer("run", "--workers", "2")
    return one

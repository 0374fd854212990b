"""The image, built once a session from a local base, and a cluster to run it on."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.container.building import HERE, KEPT, NEEDED, PROJECT, run, wheel_folders
from tests.slurm.throwaway import Cluster
from tests.slurm.trials import Trial, cancelling, running_cluster


def _got(script: str, folder: Path) -> None:
    """Run a script that fetches packages; skip, with what it said, where they cannot be had."""
    try:
        run(HERE / script, folder)
    except AssertionError as error:
        last = str(error).strip().splitlines()[-1]
        pytest.skip(f"{script}: Debian's packages cannot be had here: {last}")


@pytest.fixture(scope="session")
def base() -> Path:
    """A stand-in for a registry's python image."""
    missing = [name for name in NEEDED if shutil.which(name) is None]
    if os.geteuid() != 0 or missing:
        pytest.skip(f"building images needs root and {', '.join(missing) or 'nothing else'}")
    KEPT.mkdir(parents=True, exist_ok=True)
    _got("make_base.sh", KEPT / "base")
    return KEPT / "base"


@pytest.fixture(scope="session")
def apptainer(base: Path) -> Path:
    """A real Apptainer."""
    _got("get_apptainer.sh", KEPT / "apptainer")
    return KEPT / "apptainer" / "apptainer"


@pytest.fixture(scope="session")
def image(apptainer: Path, base: Path) -> Path:
    """apptainer.def as it is, from the local base; building runs its %test."""
    image = KEPT / "gansfer.sif"
    binds = [part for folder in wheel_folders() for part in ("--bind", f"{folder}:{folder}:ro")]
    arguments = {"BOOTSTRAP": "localimage", "BASE": str(base), "REVISION": "under-test"}
    run(
        *(apptainer, "build", "--force", *binds),
        *(part for name, value in arguments.items() for part in ("--build-arg", f"{name}={value}")),
        *("--mksquashfs-args", "-comp lz4", image, "apptainer.def"),
        cwd=PROJECT,
    )
    return image


@pytest.fixture(scope="session")
def cluster() -> Iterator[Cluster]:
    """A cluster for the image, without accounting."""
    yield from running_cluster(accounting=False, port=17340)


@pytest.fixture
def trial(cluster: Cluster, tmp_path: Path) -> Iterator[Callable[..., Trial]]:
    yield from cancelling(cluster, tmp_path)

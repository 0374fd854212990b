"""Proof 6: the Dockerfile built without a docker (buildah in a chroot), and its smoke run."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.container.building import PROJECT, run, wheel_folders

pytestmark = [pytest.mark.container, pytest.mark.slow]

IMAGE = "localhost/gansfer:under-test"


@pytest.fixture(scope="module")
def buildah(base: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., str]]:
    """buildah with a storage of its own, which holds the local base."""
    if shutil.which("buildah") is None:
        pytest.skip("building the Dockerfile needs buildah")
    folder = tmp_path_factory.mktemp("buildah")
    environment = {**os.environ, "STORAGE_DRIVER": "vfs", "BUILDAH_ISOLATION": "chroot"}

    def call(*command: str | Path) -> str:
        places = ("--root", folder / "root", "--runroot", folder / "run")
        return run("buildah", *places, *command, env=environment, cwd=PROJECT)

    container = call("from", "scratch").strip().splitlines()[-1]
    call("add", "--quiet", container, base, "/")
    call("commit", "--quiet", "--rm", container, "localhost/base")
    yield call
    shutil.rmtree(folder, ignore_errors=True)


def test_dockerfile_builds_and_its_smoke_runs(buildah: Callable[..., str], tmp_path: Path) -> None:
    mounts = [part for folder in wheel_folders() for part in ("--volume", f"{folder}:{folder}:ro")]
    arguments = ("--build-arg", "BASE=localhost/base", "--build-arg", "REVISION=under-test")
    buildah("bud", "--pull-never", *arguments, *mounts, "--tag", IMAGE, ".")

    config = json.loads(buildah("inspect", "--type", "image", IMAGE))["OCIv1"]["config"]
    assert config["User"] == "gansfer" and config["Entrypoint"] == ["gansfer"]
    assert config["Labels"]["org.opencontainers.image.revision"] == "under-test"

    container = buildah("from", "--pull-never", IMAGE).strip().splitlines()[-1]
    inside = buildah("run", container, "--", "sh", "-c", "id -un; test -w /opt/gansfer || echo ro")
    assert inside.split() == ["gansfer", "ro"]
    run = "GANSFER_STORAGE=$PWD/runs gansfer run /opt/gansfer/share/gansfer/smoke.yaml"
    look = "ls runs/smoke/report && find runs -name 'events.out.tfevents.*'"
    smoke = f"{run} --set run.tensorboard=true && {look}"
    said = buildah("run", container, "--", "sh", "-c", smoke)
    assert "index.html" in said and "events.out.tfevents." in said

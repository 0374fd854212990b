"""Proof 5: apptainer.def built by a real Apptainer, and the grid inside the image on SLURM."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.container.building import PROJECT, run
from tests.slurm.trials import PLANTED, Trial, one_cpu

pytestmark = [pytest.mark.container, pytest.mark.slurm, pytest.mark.slow]

GAN = "train_gan/seed-0/fold-0/labels-01/group-0"


def test_image_has_its_labels_help_and_version(apptainer: Path, image: Path) -> None:
    labels = json.loads(run(apptainer, "inspect", "--labels", "--json", image))
    found = labels["data"]["attributes"]["labels"]
    assert found["org.opencontainers.image.revision"] == "under-test"
    assert found["org.opencontainers.image.version"]
    assert "gansfer submit" in run(apptainer, "run-help", image)
    assert "Usage" in run(apptainer, "run", image, "--help")


def test_image_keeps_no_cache_and_no_installer(apptainer: Path, image: Path) -> None:
    # A checkout may lie in /tmp, and the working folder is mounted unless told otherwise.
    outside = ("--no-home", "--no-mount", "home,tmp,cwd", "--pwd", "/")
    look = (
        "find /tmp ~/.cache /opt/source -type f 2>/dev/null; "
        "ls /opt/gansfer/bin/pip* 2>/dev/null; true"
    )
    assert run(apptainer, "exec", *outside, image, "sh", "-c", look) == ""


def test_job_needs_no_network_and_leaves_home_empty(
    apptainer: Path, image: Path, tmp_path: Path
) -> None:
    """The image's own smoke test, as a job runs it, where there is no network at all."""
    alone = ("unshare", "--net")
    if subprocess.run([*alone, "true"], check=False, capture_output=True).returncode:
        pytest.skip("this machine lets nobody make a network namespace")
    home, local = tmp_path / "home", tmp_path / "local"
    home.mkdir()
    local.mkdir()
    job = ("bash", PROJECT / "jobs" / "slurm" / "in_job.sh", "3", apptainer, "test", image)
    environment = {**os.environ, "HOME": str(home), "SLURM_JOB_ID": "1", "TMPDIR": str(local)}
    said = run(*alone, *job, env=environment)
    assert "report: " in said
    assert not list(home.iterdir()) and not list(local.iterdir())


def test_grid_in_the_image_with_a_time_limit_that_requeues(
    trial: Callable[..., Trial], apptainer: Path, image: Path
) -> None:
    planted = ["--env", f"PYTHONPATH={PLANTED}", "--bind", f"{PLANTED}:{PLANTED}:ro"]
    one = trial(
        "boxed",
        resources={"train_gan": one_cpu(1, minutes=1)},
        cluster={
            "signal_before_end_s": 30,
            "stage_to_scratch": True,
            "container": {"image": str(image), "command": str(apptainer), "options": planted},
        },
    )
    # One GAN is so slow that it cannot end within its minute. Its file of faults has to be seen
    # inside; storage is, so it lies there.
    one.root.mkdir(parents=True)
    one.planted = one.root / "planted.json"
    one.plant({GAN: "slow"}, fake=False, step_s=0.0)
    one.gansfer("submit", "--yes")
    ended = one.wait_for_end(900)
    assert ended["counts"]["done"] == 28, one.gansfer("status")
    folder = one.root / "gan" / "seed-0" / "fold-0" / "labels-01" / "group-0"
    manifest = json.loads((folder / "manifest.json").read_text())
    assert manifest["attempts"] > 1
    assert manifest["image_digest"].startswith("sha256:")
    assert manifest["git_revision"] == "under-test"
    log = Path(ended["tasks"][GAN]["log"]).read_text()
    assert "requeued, 1 of at most" in log

"""Experiments submitted to a real SLURM as a user would: by command."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from gansfer.atomic import write_text
from jobs.experiment.loading import merged
from jobs.experiment.resources import STAGES
from tests.slurm.throwaway import PATIENCE, Cluster, wait_until, why_not

PROJECT = Path(__file__).resolve().parents[2]
PLANTED = Path(__file__).with_name("planted")
WITHOUT_GPU = ("prepare", "propagate", "aggregate")

# The smallest grid in which every stage has work: 2 folds, 1 and 3 labels, 28 tasks.
TINY: dict[str, Any] = {
    "cohort": {
        "images": {"kind": "phantom", "labelled": 8, "unlabelled": 8},
        "references": {"kind": "embedded"},
        "roi": {"voxel_mm": 4.0},
    },
    "grid": {"folds": 2, "label_counts": [1, 3], "ratios": ["2:1"], "ablation": None},
    "gan": {
        "fmaps": [16, 12, 8],
        "latent_size": 16,
        "minibatch": 8,
        "phase_1": {"fade_images": 80, "stable_images": 80},
        "phase_2": {
            "images": 80,
            "warmup_cycles": 1,
            "warmup_critic_updates": 2,
            "frozen_top_blocks": 1,
        },
        "phase_3": {
            "images": 80,
            "unfreeze_every_images": 40,
            "selftaught_slices": 32,
            "label_warmup_cycles": 1,
            "label_warmup_critic_updates": 2,
        },
    },
    "synthesis": {"slices_per_phase": 40},
    "segmenter": {
        "preset": "deepmedic-original",
        "epochs": 1,
        "subepochs_per_epoch": 2,
        "segments_per_subepoch": 40,
    },
    "run": {"heartbeat_every_s": 1, "checkpoint_every_s": 1, "device": "cpu"},
}

REAL: dict[str, Any] = {"fake": False, "step_s": 0.0}  # what to plant so that stages compute


def one_cpu(gpus: int = 0, minutes: float = 5) -> dict[str, Any]:
    """Resources of a stage, small."""
    return {"gpus": gpus, "cpus": 1, "memory_gb": 1, "time_h": minutes / 60}


class Trial:
    """One experiment on one cluster, driven through the commands."""

    def __init__(self, cluster: Cluster, folder: Path, name: str, /, **changes: Any) -> None:
        self.cluster, self.folder, self.name = cluster, folder, name
        self.root = folder / "runs" / name
        self.planted = folder / f"{name}.json"
        self.config = folder / f"{name}.yaml"
        resources = {stage: one_cpu(int(stage not in WITHOUT_GPU)) for stage in STAGES}
        values = {"name": name, "storage": str(folder / "runs"), **TINY, "resources": resources}
        self.settings = merged(values, changes)
        self.config.write_text(yaml.safe_dump(self.settings))
        self.plant()

    def plant(
        self,
        faults: Mapping[str, str] | None = None,
        *,
        fake: bool = True,
        steps: int = 3,
        step_s: float = 0.1,
    ) -> None:
        """Say what the tasks do; `faults` is what goes wrong with a task, by its id."""
        values = {"fake": fake, "steps": steps, "step_s": step_s, "faults": dict(faults or {})}
        write_text(self.planted, json.dumps(values))  # at once: a task may be reading it

    @property
    def environment(self) -> dict[str, str]:
        path = [str(PLANTED), str(PROJECT), os.environ.get("PYTHONPATH", "")]
        return {
            **self.cluster.environment,
            "PYTHONPATH": os.pathsep.join(filter(None, path)),
            "GANSFER_PLANTED": str(self.planted),
        }

    def gansfer(self, command: str, *options: str, fails: int = 0, **env: str) -> str:
        """Run `gansfer COMMAND CONFIG OPTIONS`, expect this exit code, give what it printed."""
        ran = subprocess.run(
            [sys.executable, "-m", "jobs.commands.cli", command, str(self.config), *options],
            env={**self.environment, **env},
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            check=False,
            timeout=600 * PATIENCE,
        )
        # Status ends with 3 until all is done.
        expected = (0, 3) if command == "status" and not fails else (fails,)
        assert ran.returncode in expected, ran.stdout
        return ran.stdout

    def status(self, **env: str) -> dict[str, Any]:
        """`gansfer status --json`, its tasks by id."""
        found = json.loads(self.gansfer("status", "--json", fails=0, **env))
        found["tasks"] = {task["task"]: task for task in found["tasks"]}
        return found

    def state(self, task_id: str) -> str:
        return self.status()["tasks"][task_id]["state"]

    def wait(
        self, true: Callable[[dict[str, Any]], object], seconds: float, every_s: float = 0.2
    ) -> dict[str, Any]:
        """Ask for the status until it is so."""
        last: dict[str, Any] = {}

        def now() -> bool:
            last.update(self.status())
            return bool(true(last))

        try:
            wait_until(now, seconds, "the status", every_s)
        except TimeoutError:
            print(self.gansfer("status"))
            raise
        return last

    def wait_for_end(self, seconds: float = 240) -> dict[str, Any]:
        """Wait until nothing is queued or running; asked seldom, for each answer costs a second."""
        return self.wait(
            lambda s: not s["counts"]["queued"] + s["counts"]["running"], seconds, every_s=4.0
        )

    def digests(self) -> dict[str, str]:
        """Digest of every finished task's products, the report's aside: it has dates."""
        manifests = [json.loads(path.read_text()) for path in self.root.rglob("manifest.json")]
        return {kept["task"]: kept["digest"] for kept in manifests if kept["task"] != "aggregate"}

    def elements(self) -> list[str]:
        """This experiment's jobs in the queue by id, an element of an array each."""
        shown = self.cluster.run("squeue", "-h", "-r", "-o", "%i %j")  # what waits comes first
        ours = (line.split()[0] for line in shown.splitlines() if f" {self.name}." in line)
        return sorted(ours)


def running_cluster(*, accounting: bool, port: int) -> Iterator[Cluster]:
    """Start a cluster, give it, stop it; skip where there cannot be one."""
    reason = why_not(accounting)
    if reason is not None:
        pytest.skip(reason)
    folder = Path(tempfile.mkdtemp(prefix="gansfer-slurm-"))
    cluster = Cluster(folder, port=port, accounting=accounting)
    try:
        cluster.start()
        yield cluster
    finally:
        cluster.stop()
        shutil.rmtree(folder, ignore_errors=True)


def cancelling(cluster: Cluster, folder: Path) -> Iterator[Callable[..., Trial]]:
    """Give a maker of experiments on the cluster; cancel what is left of them in the end."""
    made: list[Trial] = []

    def make(name: str, **changes: Any) -> Trial:
        made.append(Trial(cluster, folder, name, **changes))
        return made[-1]

    yield make
    print(cluster.tell())  # pytest shows it where the test has failed
    for one in made:
        left = one.elements()
        if left:
            cluster.run("scancel", "--signal=KILL", "--full", *left, check=False)
            cluster.run("scancel", *left, check=False)

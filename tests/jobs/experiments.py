"""An experiment small enough for tests, and ways to handle what it leaves."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import yaml

from jobs.experiment.loading import load_experiment, merged, save_experiment
from jobs.experiment.plan import Plan, Task, make_plan
from jobs.store.ledger import Ledger
from jobs.store.manifest import digest_files
from jobs.store.storage import Storage
from jobs.worker.run import run_task

GAN = "train_gan/seed-0/fold-0/labels-01/group-0"
SYNTHESISE = "synthesise/seed-0/fold-0/labels-01/group-0"
BASELINE = "train_segmenter/seed-0/fold-0/labels-01/baseline"
RATIO = "train_segmenter/seed-0/fold-0/labels-01/ratio-2to1"
SYNTHETIC = "train_segmenter/seed-0/fold-0/labels-01/synthetic"
COHORT_BASELINE = "segment_cohort/seed-0/labels-01/baseline"

ROOT = Path(__file__).resolve().parents[2]
TINY: dict[str, Any] = {
    "name": "tiny",
    "cohort": {
        "images": {"kind": "phantom", "labelled": 4, "unlabelled": 4},
        "references": {"kind": "embedded"},
        "roi": {"voxel_mm": 4.0, "slice_mm": 5.0},  # nothing may take a voxel for a cube
    },
    "grid": {
        "folds": 2,
        "use_folds": [0],
        "label_counts": [1],
        "ratios": ["2:1"],
        "ablation": None,
    },
    "gan": {
        "fmaps": [4, 4, 4],
        "latent_size": 8,
        "minibatch": 4,
        "phase_1": {"fade_images": 20, "stable_images": 20},
        "phase_2": {
            "images": 24,
            "warmup_cycles": 1,
            "warmup_critic_updates": 2,
            "frozen_top_blocks": 1,
        },
        "phase_3": {
            "images": 24,
            "unfreeze_every_images": 8,
            "selftaught_slices": 16,
            "label_warmup_cycles": 1,
            "label_warmup_critic_updates": 2,
        },
    },
    "synthesis": {"slices_per_phase": 24},
    "segmenter": {
        "preset": "deepmedic-original",
        "epochs": 1,
        "subepochs_per_epoch": 2,
        "segments_per_subepoch": 40,
    },
    "analysis": {"stratification_repeats": 2},
    "run": {"device": "cpu"},
}


@dataclass(frozen=True)
class Trial:
    """An experiment in a folder of its own: its file, its plan, its products."""

    config: Path

    @classmethod
    def make(cls, folder: Path, **sections: Any) -> Trial:
        """The tiny experiment with some settings changed; it has no product yet."""
        folder.mkdir(parents=True, exist_ok=True)
        values = merged({**TINY, "storage": str(folder / "runs")}, sections)
        config = folder / "tiny.yaml"
        config.write_text(yaml.safe_dump(values, sort_keys=False))
        return cls(config)

    def copied(self, folder: Path, tasks: Sequence[str] | None = None, **sections: Any) -> Trial:
        """A copy with these tasks' products (None: all) and some settings changed."""
        copy = Trial.make(folder, **sections)
        if tasks is None:
            shutil.copytree(self.storage.root, copy.storage.root)
        for task_id in tasks or ():
            shutil.copytree(self.folder(task_id), copy.folder(task_id))
        return copy

    def changed(self, **sections: Any) -> Trial:
        """The same folder and products under changed settings."""
        return Trial.make(self.config.parent, **sections)

    @cached_property
    def plan(self) -> Plan:
        return make_plan(load_experiment(self.config))

    @cached_property
    def storage(self) -> Storage:
        return Storage(self.plan.experiment)

    def task(self, task_id: str) -> Task:
        return self.plan.by_id[task_id]

    def folder(self, task_id: str) -> Path:
        return self.storage.folder(self.task(task_id))

    def ledger(self) -> Ledger:
        """A fresh look at the products."""
        return Ledger(self.plan, self.storage, sources=True)

    def state(self, task_id: str) -> dict[str, Any]:
        return self.storage.read_state(self.task(task_id)) or {}

    def log(self, task_id: str) -> str:
        return self.storage.files(self.task(task_id)).task_log.read_text()

    def undo(self, task_id: str) -> None:
        """Remove all that a task has left."""
        shutil.rmtree(self.folder(task_id))

    def work(self, task_id: str) -> int:
        """Run one task here, as a worker would; its exit code."""
        save_experiment(self.plan.experiment, self.storage.experiment_file)
        return run_task(str(self.storage.experiment_file), task_id, heartbeat_every_s=60.0)

    def run(self) -> subprocess.CompletedProcess[str]:
        """The whole experiment, as a user runs it."""
        return subprocess.run(
            [sys.executable, "-m", "jobs.commands.cli", "run", str(self.config)],
            capture_output=True,
            text=True,
            cwd=ROOT,
            check=False,
        )

    def pretend(self, *task_ids: str, content: str = "made") -> None:
        """Leave a product and a manifest as if these tasks had been done."""
        for task_id in task_ids:
            task, folder = self.task(task_id), self.folder(task_id)
            folder.mkdir(parents=True, exist_ok=True)
            (folder / "product.txt").write_text(content)
            manifest = {
                "task": task.id,
                "fingerprint": task.fingerprint,
                "settings": task.settings,
                "inputs": self.ledger().input_digests(task),
                "products": ["product.txt"],
                "digest": digest_files(folder, ("product.txt",)),
            }
            self.storage.write_manifest(task, manifest)


def results_of(storage: Storage) -> dict[str, bytes]:
    """What an experiment found: every metrics file and every table of the report."""
    paths = [*storage.root.glob("**/metrics.csv"), *storage.report.folder.glob("tables/*.csv")]
    return {str(path.relative_to(storage.root)): path.read_bytes() for path in sorted(paths)}

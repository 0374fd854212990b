"""A stand-in for SLURM: an sbatch that only counts up, and a squeue that shows what it is given."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from jobs.experiment.loading import merged
from jobs.slurm.job_record import JobRecord

BASE: dict[str, Any] = {
    "name": "one",
    "cohort": {"images": {"kind": "phantom"}},
    "grid": {
        "folds": 2,
        "use_folds": [0],
        "seeds": [0, 1],
        "label_counts": [1, 3],
        "ratios": ["2:1"],
        "ablation": None,
    },
}


@dataclass(frozen=True)
class StandIn:
    """One experiment of 34 tasks, driven through the commands in a folder of its own."""

    folder: Path

    @classmethod
    def make(cls, folder: Path) -> StandIn:
        """The programs, an empty queue, and the experiment."""
        made = cls(folder)
        (folder / "bin").mkdir()
        made.queue.touch()
        sent = folder / "sent"
        made.program("sbatch", f'echo "$1" >>{sent}; echo "Submitted batch job $(wc -l <{sent})"')
        made.program("srun", "true")
        made.program("squeue", f'echo "$@" >>{folder}/squeue; cat {made.queue}')
        made.program("sacct", "exit 1")
        made.program(
            "scontrol",
            f"""echo "$@" >>{folder}/scontrol
case "$*" in
*"show job"*) grep -q "^${{@: -1}}[_|]" {made.queue} && echo JobState=RUNNING ||
  {{ echo "slurm_load_jobs error: Invalid job id specified" >&2; exit 1; }};;
*) echo "MaxArraySize = 5";;
esac""",
        )
        made.program("scancel", f'echo "$@" >{made.cancelled}')
        made.configure()
        return made

    @property
    def root(self) -> Path:
        """The experiment's folder."""
        return self.folder / "runs" / "one"

    @property
    def queue(self) -> Path:
        """What squeue prints."""
        return self.folder / "queue"

    @property
    def cancelled(self) -> Path:
        """What scancel was given last."""
        return self.folder / "cancelled"

    @property
    def sbatch(self) -> Path:
        """The program."""
        return self.folder / "bin" / "sbatch"

    def updates(self) -> list[str]:
        """What scontrol was told to update so far."""
        told = self.folder / "scontrol"
        lines = told.read_text().splitlines() if told.exists() else []
        return [line.removeprefix("update ") for line in lines if line.startswith("update ")]

    def program(self, name: str, body: str) -> None:
        """Put a shell script in the place of one of SLURM's programs."""
        path = self.folder / "bin" / name
        path.write_text(f"#!/bin/bash\n{body}\n")
        path.chmod(0o755)

    def configure(self, **changes: Any) -> None:
        """Write the experiment's file, with some settings changed."""
        values = merged({**BASE, "storage": str(self.folder / "runs")}, changes)
        (self.folder / "one.yaml").write_text(yaml.safe_dump(values))

    def __call__(self, command: str, *options: str, fails: int = 0, **env: str) -> str:
        """Run `gansfer COMMAND CONFIG OPTIONS`, expect this exit code, give what it printed."""
        path = f"{self.folder}/bin:{os.environ['PATH']}"
        ran = subprocess.run(
            [
                sys.executable,
                "-m",
                "jobs.commands.cli",
                command,
                f"{self.folder}/one.yaml",
                *options,
            ],
            env={**os.environ, "PATH": path, **env},
            cwd=Path(__file__).resolve().parents[2],
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            check=False,
        )
        assert ran.returncode == fails, ran.stdout
        return ran.stdout

    def queue_all(self, state: str = "PENDING") -> None:
        """Let squeue show everything in the ledger in this state."""
        lines = []
        for submission in JobRecord(self.root / "slurm").load():
            for index in range(len(submission.tasks)):
                lines.append(f"{submission.element(index)}|{state}|Priority|{submission.name}\n")
        self.queue.write_text("".join(lines))

    def end(self, *arrays: str, state: str = "") -> None:
        """Let squeue forget these arrays, or show them in this state."""
        lines = []
        for line in self.queue.read_text().splitlines(keepends=True):
            job, _, rest = line.split("|", 2)
            if job.split("_")[0] not in arrays:
                lines.append(line)
            elif state:
                lines.append(f"{job}|{state}|{rest}")
        self.queue.write_text("".join(lines))

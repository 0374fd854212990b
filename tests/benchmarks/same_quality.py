"""Do two settings train GANs of one quality? Losses and measures of two runs, seed by seed.

    python -m tests.benchmarks.same_quality RUN OTHER

RUN and OTHER are run folders of one experiment at two settings, such as `gan.precision`, each with
several seeds (`--set grid.seeds=[0,1,2] --set gan.precision=float32 --until synthesise`). Printed
for each phase: the sliced Wasserstein distances of MR and labels, recall, and the mean losses of
the last tenth of training, as mean and range over the cells of RUN and OTHER. "inside" where
OTHER's mean lies within the range of RUN: as near as another seed is.
"""

from __future__ import annotations

import argparse
import csv
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

MR, LABELS = "Wasserstein, MR", "Wasserstein, labels"
_DISTANCE = "sliced_wasserstein_"


@dataclass(frozen=True)
class Compared:
    """One measure of one phase in two runs, a value a cell."""

    phase: int
    measure: str
    one: list[float]
    other: list[float]

    @property
    def inside(self) -> bool:
        """The other's mean is within the range of the one."""
        return min(self.one) <= float(np.mean(self.other)) <= max(self.one)

    def row(self) -> str:
        """For people."""
        texts = [
            f"{np.mean(of):9.4f} ({min(of):.4f} to {max(of):.4f}, {len(of)} cells)"
            for of in (self.one, self.other)
        ]
        verdict = "inside" if self.inside else "outside"
        return f"phase {self.phase} {self.measure:24} {texts[0]} {texts[1]}  {verdict}"


def of_synthesis(path: Path) -> dict[tuple[int, str], float]:
    """(phase, measure) -> value of one cell's `quality.csv`."""
    kept: dict[tuple[int, str], list[float]] = {}
    with path.open(newline="", encoding="utf-8") as lines:
        for row in csv.DictReader(lines):
            phase, measure = int(row["phase"]), row["measure"]
            if phase == 0 or not row["value"]:
                continue
            if measure.startswith(_DISTANCE):
                measure = MR if row["part"] == "mr" else LABELS
            if measure in (MR, LABELS, "recall"):
                kept.setdefault((phase, measure), []).append(float(row["value"]))
    return {key: float(np.mean(values)) for key, values in kept.items()}


def of_training(path: Path) -> dict[tuple[int, str], float]:
    """(phase, loss) -> mean of the last tenth of one phase's log."""
    phase = int(path.parent.name.removeprefix("phase-"))
    records = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    last = records[-max(1, len(records) // 10) :]
    losses = [name for name in last[-1] if name.startswith("loss_")]
    return {
        (phase, name.replace("_", " of ")): float(np.mean([record[name] for record in last]))
        for name in losses
    }


def of_run(run: Path) -> dict[tuple[int, str], list[float]]:
    """(phase, measure) -> a value a cell of a run folder."""
    found: dict[tuple[int, str], list[float]] = {}
    files = [
        *(of_synthesis(path) for path in sorted(run.glob("synthetic/**/quality.csv"))),
        *(of_training(path) for path in sorted(run.glob("gan/**/phase-*/log.jsonl"))),
    ]
    for values in files:
        for key, value in values.items():
            found.setdefault(key, []).append(value)
    return found


def main(arguments: Sequence[str] | None = None) -> list[Compared]:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("run", type=Path)
    parser.add_argument("other", type=Path)
    asked = parser.parse_args(arguments)
    one, other = of_run(asked.run), of_run(asked.other)
    if not one.keys() & other.keys():
        parser.error(f"{asked.run} and {asked.other} share no measure: give two run folders")
    compared = [Compared(*key, one[key], other[key]) for key in sorted(one.keys() & other.keys())]
    for row in compared:
        print(row.row())
    print(f"{sum(row.inside for row in compared)} of {len(compared)} inside")
    return compared


if __name__ == "__main__":
    main()

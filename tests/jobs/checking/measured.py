"""A measurement made by hand: rates that nobody could mistake for assumed ones."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from jobs.checking.measurement import MeasuredPiece, Measurement
from jobs.checking.work import Kind, work_of
from jobs.experiment.model import Experiment

# Seconds of a step, by kind; of phase 1 also by side.
STEP_S: dict[tuple[Kind, int], float] = {
    ("phase_1", 5): 0.5,
    ("phase_1", 10): 1.25,
    ("phase_1", 20): 3.0,
    ("phase_2", 20): 3.5,
    ("phase_3", 20): 5.5,
    ("synthesise", 20): 0.75,
    ("train_segmenter", 25): 0.25,
    ("segment_cohort", 20): 2.0,
}
LEAST_S = 0.125


def measurement_of(experiment: Experiment, **changes: Any) -> Measurement:
    """As `gansfer bench` would have measured the experiment on a machine with these times."""
    pieces = [
        MeasuredPiece(
            kind=work.kind,
            side_px=work.side_px,
            batch=work.batch,
            flops_a_step=work.flops_a_step,
            seconds_a_step=STEP_S[work.kind, work.side_px],
            timed_steps=3,
        )
        for work in work_of(experiment)
    ]
    pieces.append(
        MeasuredPiece(
            kind="least",
            side_px=5,
            batch=4,
            flops_a_step=100.0,
            seconds_a_step=LEAST_S,
            timed_steps=3,
        )
    )
    facts: dict[str, Any] = {
        "device": "cpu_core",
        "name": "Abacus 3",
        "host": "attic",
        "date": datetime(2026, 5, 17, tzinfo=UTC),
        "experiment": experiment.name,
        "gansfer": "0.0.0",
        "torch": "2.0",
        "python": "3.11",
        "threads": 1,
        "precision": "float32",
        "matmul_gflop_per_s": {"float32": 1.0},
        "copy_gb_per_s": 1.0,
        "pieces": tuple(pieces),
    }
    return Measurement.model_validate(facts | changes)

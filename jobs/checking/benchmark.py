"""Measure how fast this machine is at an experiment's own work, step by step, for `gansfer bench`.

Steps of all kinds take turns, so that a disturbance from outside falls on all of them, and the
median of each counts. `benchmark_steps.py` has the steps.
"""

from __future__ import annotations

import platform
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from statistics import median
from typing import Literal

import torch

import gansfer
from gansfer.progress import Watch
from gansfer.training.precision import settled_precision
from jobs.checking.benchmark_steps import Step, pieces_of
from jobs.checking.measurement import DEVICES, MeasuredPiece, Measurement
from jobs.checking.work import piece_name
from jobs.experiment.model import Experiment
from jobs.stages.context import chosen_device

_ROUNDS = 3  # so every step is timed three times at least
_MATMUL_SIDE = {"cpu": 1024, "cuda": 8192}
_COPIED_MB = {"cpu": 128, "cuda": 1024}
_COPY = "memory copy"


def measure_machine(experiment: Experiment, *, budget_s: float, watch: Watch) -> Measurement:
    """Measure the device that tasks of the experiment would use here.

    Args:
        experiment: whose networks are measured, and whose number of threads.
        budget_s: seconds of timing, about; more where three steps of each kind take longer.
        watch: told of progress.

    Raises:
        UserError: CUDA is asked for and there is none, or slices are too small to be segmented.
    """
    device = chosen_device(experiment.run.device)
    with _threads(experiment.run.threads):
        pieces = {piece_name(one.kind, one.side_px): one for one in pieces_of(experiment, device)}
        products = _products(device)
        source, target = (torch.empty(_COPIED_MB[device] << 18, device=device) for _ in range(2))
        times_s = timed(
            {
                **{_product_name(precision): step for precision, step in products.items()},
                _COPY: lambda: target.copy_(source),
                **{name: piece.step for name, piece in pieces.items()},
            },
            budget_s=budget_s,
            finish=torch.cuda.synchronize if device == "cuda" else _nothing,
            watch=watch,
        )
    product_gflop = 2 * _MATMUL_SIDE[device] ** 3 / 1e9
    return Measurement(
        device=DEVICES[device],
        name=torch.cuda.get_device_name() if device == "cuda" else _cpu_name(),
        host=platform.node(),
        date=datetime.now(UTC).replace(microsecond=0),
        experiment=experiment.name,
        gansfer=gansfer.__version__,
        torch=torch.__version__,
        python=platform.python_version(),
        threads=experiment.run.threads,
        precision=settled_precision(experiment.gan.precision, device),
        matmul_gflop_per_s={
            precision: product_gflop / median(times_s[_product_name(precision)])
            for precision in products
        },
        copy_gb_per_s=2 * source.nbytes / 1e9 / median(times_s[_COPY]),
        pieces=tuple(
            MeasuredPiece(
                kind=piece.kind,
                side_px=piece.side_px,
                batch=piece.batch,
                flops_a_step=piece.flops_a_step,
                seconds_a_step=median(times_s[name]) / piece.n_steps,
                timed_steps=len(times_s[name]) * piece.n_steps,
            )
            for name, piece in pieces.items()
        ),
    )


def timed(
    steps: Mapping[str, Step],
    *,
    budget_s: float,
    finish: Callable[[], object],
    watch: Watch,
    clock: Callable[[], float] = time.perf_counter,
) -> dict[str, list[float]]:
    """Seconds of each step, in the order in which they were taken.

    Each is taken once without being timed. Then, in each of three rounds, every one has an equal
    share of the budget, and is taken once at least.

    Args:
        steps: what to time, by name.
        budget_s: seconds of all that is timed, about.
        finish: waits until the device has done what it was told.
        watch: told of progress.
        clock: gives seconds.
    """
    share_s = budget_s / (_ROUNDS * max(1, len(steps)))
    total, done = (1 + _ROUNDS) * len(steps), 0
    for name, step in steps.items():
        watch.report(done, total, "turns", f"warming up: {name}")
        step()
        done += 1
    finish()
    times_s: dict[str, list[float]] = {name: [] for name in steps}
    for _ in range(_ROUNDS):
        for name, step in steps.items():
            watch.report(done, total, "turns", name)
            spent_s = 0.0
            while True:
                start_s = clock()
                step()
                finish()
                times_s[name].append(clock() - start_s)
                spent_s += times_s[name][-1]
                if not spent_s < share_s:
                    break
            done += 1
    watch.report(done, total, "turns")
    return times_s


def _products(device: str) -> dict[Literal["float32", "bfloat16"], Step]:
    """Square matrix products, in the precisions that the device has."""
    side = _MATMUL_SIDE[device]
    one = torch.rand(side, side, device=device, generator=torch.Generator(device).manual_seed(0))
    half = one.bfloat16()
    steps: dict[Literal["float32", "bfloat16"], Step] = {"float32": lambda: one @ one}
    try:
        half[:8, :8] @ half[:8, :8]
    except RuntimeError:
        return steps
    return {**steps, "bfloat16": lambda: half @ half}


def _product_name(precision: str) -> str:
    return f"matrix product, {precision}"


@contextmanager
def _threads(n: int) -> Iterator[None]:
    """As many threads as a task has."""
    before = torch.get_num_threads()
    torch.set_num_threads(n)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _cpu_name() -> str:
    """The CPU's model, as the system calls it."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    models = (line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    return next(models, "") or platform.processor() or platform.machine() or "CPU"


def _nothing() -> None:
    """A CPU has done what it was told."""

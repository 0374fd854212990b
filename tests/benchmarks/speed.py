"""How long is a training step, against the same step written plainly, measured in turns?

    python -m tests.benchmarks.speed [--seconds 60] [--only "40 px"]

Each row is one shape: slices, feature maps and minibatch of levels of the shipped experiments, of
the paper's side with narrow networks and of the official width, and an iteration of each preset
of the segmenter. The plain step (`plain_training`), the project's in float32, in bfloat16, and a
GAN's in float32 with a gradient penalty at every fourth update (`lazy`) take turns on one thread,
in short blocks, for `--seconds` a row; printed are the median milliseconds a step and how many
times as long the plain step takes. Machines are noisy: read the ratios.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import cycle

import torch

from gansfer.gan import phases
from gansfer.gan.networks import build_critic, build_generator
from gansfer.gan.schedule import JOINT, phase_1_schedule
from gansfer.gan.steps import run_step
from gansfer.gan_settings import GanSettings
from gansfer.segmentation.presets import PRESETS
from gansfer.segmentation.train import _Run
from gansfer.settings import SegmenterSettings
from tests.benchmarks.plain_training import PlainGan, segmenter_step

N_CHANNELS = 8
N_SLICES = 30
_BLOCK_S = 0.5
_LAZY = 4
Step = Callable[[], None]


@dataclass(frozen=True)
class Shape:
    """A level of a progressive GAN: side, the widths up to it, coarse to fine, and minibatch."""

    name: str
    side_px: int
    widths: tuple[int, ...]
    minibatch: int


SHAPES = (
    Shape("5 px", 5, (64,), 16),
    Shape("10 px", 10, (64, 64), 16),
    Shape("20 px, demo", 20, (48, 32, 24), 8),
    Shape("32 px", 32, (64, 48, 32, 24), 8),
    Shape("40 px", 40, (64, 64, 40, 24), 8),
    Shape("80 px, narrow", 80, (64, 64, 40, 24, 16), 8),
    Shape("20 px, official width", 20, (512, 512, 512), 8),
)


def gan_steps(shape: Shape) -> dict[str, Step]:
    """The steps of one shape that take turns, each on networks of its own."""
    settings = GanSettings(
        base_px=shape.side_px // 2 ** (len(shape.widths) - 1),
        latent_size=128,
        fmaps=shape.widths,
        minibatch=shape.minibatch,
    )
    side_px, level = shape.side_px, len(shape.widths) - 1
    real_nchw = torch.rand(N_SLICES, N_CHANNELS, side_px, side_px) * 2 - 1
    schedule = phase_1_schedule(settings, side_px)
    steady = schedule.at(schedule.stretches[-1].first_step)
    assert steady.alpha == 1.0

    def ours(precision: str, penalty_every: int = 1) -> Step:
        changes = {"precision": precision, "penalty_every": penalty_every}
        changed = settings.model_copy(update=changes)
        generator = build_generator(changed, side_px, N_CHANNELS, 1)
        joint = phases._critic(changed, JOINT, [real_nchw], slice(None), 2, device="cpu")
        gan = phases._gan(changed, generator, [joint], 3, "cpu")
        moments = cycle([replace(steady, critics={JOINT: n}) for n in range(penalty_every)])
        return lambda: run_step(gan, next(moments), {JOINT: [real_nchw]})

    plain = PlainGan(
        build_generator(settings, side_px, N_CHANNELS, 1),
        build_critic(settings, side_px, N_CHANNELS, 2),
        level,
    )

    def plain_step() -> None:
        plain.step(real_nchw[torch.randint(N_SLICES, (shape.minibatch,))])

    return {
        "plain": plain_step,
        "float32": ours("float32"),
        "bfloat16": ours("bfloat16"),
        "lazy": ours("float32", _LAZY),
    }


def segmenter_steps(preset: str) -> dict[str, Step]:
    """The same of a segmenter's iteration."""
    settings = SegmenterSettings(preset=preset, batch_segments=20)
    side_px, output_px = (
        PRESETS[preset].patch_px(PRESETS[preset].output_px),
        PRESETS[preset].output_px,
    )
    patch_b1pp = torch.randn(settings.batch_segments, 1, side_px, side_px)
    label_boo = torch.randint(N_CHANNELS, (settings.batch_segments, output_px, output_px))

    def ours(precision: str) -> Step:
        of_precision = settings.model_copy(update={"precision": precision})
        run = _Run(of_precision, N_CHANNELS, 0, torch.device("cpu"))
        return lambda: run.train_batch(patch_b1pp, label_boo, settings.learning_rate)

    net = _Run(settings, N_CHANNELS, 0, torch.device("cpu")).net
    plain = segmenter_step(net, settings)
    return {
        "plain": lambda: plain(patch_b1pp, label_boo),
        "float32": ours("float32"),
        "bfloat16": ours("bfloat16"),
    }


def in_turns(steps: dict[str, Step], seconds: float) -> dict[str, float]:
    """Median milliseconds of each step; they take turns in blocks of about half a second."""
    length: dict[str, int] = {}
    for name, step in steps.items():
        step()
        length[name] = max(1, round(min(_BLOCK_S, seconds / 6) / timed(step, 1)))
    blocks: dict[str, list[float]] = {name: [] for name in steps}
    end = time.perf_counter() + seconds
    while time.perf_counter() < end or not blocks["plain"]:
        for name, step in steps.items():
            blocks[name].append(timed(step, length[name]))
    return {name: 1e3 * statistics.median(values) for name, values in blocks.items()}


def timed(step: Step, n: int) -> float:
    """Seconds a step, over `n` of them."""
    start = time.perf_counter()
    for _ in range(n):
        step()
    return (time.perf_counter() - start) / n


def main(arguments: Sequence[str] | None = None) -> dict[str, dict[str, float]]:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--only", nargs="+", help="words of rows' names")
    asked = parser.parse_args(arguments)
    rows: dict[str, Callable[[], dict[str, Step]]] = {}
    for shape in SHAPES:
        rows[shape.name] = lambda shape=shape: gan_steps(shape)  # type: ignore[misc]
    for preset in PRESETS:
        rows[f"segmenter, {preset}"] = lambda preset=preset: segmenter_steps(preset)  # type: ignore[misc]
    results: dict[str, dict[str, float]] = {}
    n_threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        for name, steps in rows.items():
            if asked.only is None or any(word in name for word in asked.only):
                found = in_turns(steps(), asked.seconds)
                results[name] = found
                texts = [
                    f"{key} {ms:8.2f} ms ({found['plain'] / ms:.2f}x)" for key, ms in found.items()
                ]
                print(f"{name:36} {'  '.join(texts)}", flush=True)
    finally:
        torch.set_num_threads(n_threads)
    return results


if __name__ == "__main__":
    main()

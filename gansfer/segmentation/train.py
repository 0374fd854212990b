"""Train a DeepMedic on real segments, synthetic ones, or a mixture (III.C, III.E).

Legend: B segments of a batch, K classes. A subepoch draws its segments at once; every batch is one
iteration. Everything random comes from (seed, what, number), so a run that is taken up at any
iteration equals an undisturbed one.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from gansfer.augmentation.deform import Augmentation
from gansfer.errors import UserError
from gansfer.progress import StopRequested, Watch
from gansfer.seeds import seed_for
from gansfer.segmentation.deepmedic import DeepMedic, TrainingStep, build
from gansfer.segmentation.patches import Pool
from gansfer.segmentation.presets import PRESET_EPOCHS, PRESETS, Preset
from gansfer.segmentation.rmsprop import RmsProp, add_weight_penalty
from gansfer.segmentation.source import SegmentSource
from gansfer.settings import SegmenterSettings
from gansfer.training.checkpoint import CheckpointStore, State
from gansfer.training.precision import (
    mixed_precision,
    settled_precision,
    warn_of_another_precision,
)

Record = dict[str, Any]


@dataclass(frozen=True)
class TrainResult:
    """What training leaves.

    Attributes:
        state: the network's state dict, on the CPU, ready for inference.
        records: one dict of plain numbers for each subepoch.
        achieved_real_per_synthetic: real segments per synthetic one; None where none was synthetic.
        precision: "float32" or "bfloat16": what the network computed in, at the end.
    """

    state: dict[str, Tensor]
    records: list[Record]
    achieved_real_per_synthetic: float | None
    precision: str


def train_segmenter(
    settings: SegmenterSettings,
    real: Pool | None,
    synthetic: Pool | None,
    real_per_synthetic: float | None,
    n_classes: int,
    *,
    seed: int,
    store: CheckpointStore,
    watch: Watch,
    device: torch.device | str = "cpu",
    augmentation: Augmentation | None = None,
) -> TrainResult:
    """Train from scratch, or from where `store` left off.

    Args:
        settings: preset and training settings.
        real: labelled real slices, or None.
        synthetic: generated slices, or None.
        real_per_synthetic: segments drawn (2.0 for 2:1) where there are both pools, else None.
        n_classes: structures + 1.
        seed: of this training.
        store: keeps the state.
        watch: told of progress; asked whether to stop.
        device: where the network trains.
        augmentation: how some slices of both pools are deformed, in each subepoch anew; None: not.

    Raises:
        StopRequested: the watch asked for it; the state is saved.
        UserError: slices too small, labels beyond `n_classes`, or a loss that is not finite.
    """
    preset = PRESETS[settings.preset]
    device = torch.device(device)
    source = SegmentSource(
        settings,
        preset,
        real,
        synthetic,
        real_per_synthetic,
        n_classes,
        seed,
        device,
        augmentation,
    )
    run = _Run(settings, n_classes, seed, device)
    batches = _batches_per_subepoch(settings)
    n_iterations = settings.epochs * settings.subepochs_per_epoch * batches
    saved = store.load()
    if saved is not None:
        run.load(saved)
    subepoch = -1
    while run.iteration < n_iterations:
        number, batch = divmod(run.iteration, batches)
        if number != subepoch:
            subepoch = number
            patch_n1pp, label_noo, from_synthetic_n = source.subepoch(subepoch)
        rows = slice(batch * settings.batch_segments, (batch + 1) * settings.batch_segments)
        rate = learning_rate(settings, preset, subepoch / settings.subepochs_per_epoch)
        run.train_batch(patch_n1pp[rows], label_noo[rows], rate)
        run.n_synthetic += int(from_synthetic_n[rows].sum())
        if batch == batches - 1:
            run.close_subepoch(subepoch, rate)
            watch.record(run.records[-1])
        watch.report(run.iteration, n_iterations, "iterations", run.note())
        if run.iteration < n_iterations and watch.stopping():
            store.save(run.iteration, run.state())
            raise StopRequested
        if store.due():
            store.save(run.iteration, run.state())
    return run.result()


def training_step(
    settings: SegmenterSettings, pool: Pool, n_classes: int, *, seed: int, device: str = "cpu"
) -> Callable[[], None]:
    """One iteration of a new training: each call draws a batch of segments and learns from it.

    For measuring how long iterations take; a training draws the same segments, more at a time.

    Args:
        settings: preset and training settings.
        pool: labelled slices.
        n_classes: structures + 1.
        seed: of this training.
        device: where the network trains.

    Raises:
        UserError: slices too small, or labels beyond `n_classes`.
    """
    settings = settings.model_copy(update={"segments_per_subepoch": settings.batch_segments})
    place = torch.device(device)
    source = SegmentSource(
        settings, PRESETS[settings.preset], pool, None, None, n_classes, seed, place
    )
    run = _Run(settings, n_classes, seed, place)

    def step() -> None:
        patch_b1pp, label_boo, _ = source.subepoch(run.iteration)
        run.train_batch(patch_b1pp, label_boo, settings.learning_rate)

    return step


def learning_rate(settings: SegmenterSettings, preset: Preset, epoch: float) -> float:
    """The learning rate at a moment of training, halved at the end of each listed epoch.

    The official schedule changes after the epoch of a listed number (from 0). Epochs of the
    settings are taken as they are; the preset's belong to 35 epochs and scale with the length
    (a training of 7 epochs halves after 18 / 5 = 3.6 epochs, at the next subepoch).

    Args:
        settings: initial rate, epochs, and the listed epochs or None.
        preset: whose epochs are taken for None.
        epoch: epochs done so far, with their fraction.
    """
    if settings.halve_at_epochs is not None:
        ends = [number + 1.0 for number in settings.halve_at_epochs]
    else:
        scale = settings.epochs / PRESET_EPOCHS
        ends = [(number + 1) * scale for number in preset.halve_at_epochs]
    return settings.learning_rate * 0.5 ** sum(epoch >= end for end in ends)


class _Run:
    """The state of one training: network, optimiser, counters and records."""

    def __init__(
        self, settings: SegmenterSettings, n_classes: int, seed: int, device: torch.device
    ) -> None:
        self.settings, self.seed = settings, seed
        start = torch.Generator().manual_seed(seed_for(seed, "weights"))
        self.net: DeepMedic = build(settings.preset, n_classes, generator=start).to(device)
        self.optimiser = RmsProp(
            list(self.net.parameters()),
            decay=settings.rms_decay,
            epsilon=settings.rms_epsilon,
            momentum=settings.momentum,
        )
        self.generator = torch.Generator(device)
        self.precision = settled_precision(settings.precision, device)
        self.iteration = 0
        self.n_synthetic = 0
        self.records: list[Record] = []
        # Of the subepoch so far: loss; foreground pixels in both, in the prediction, in the label.
        self.sums = torch.zeros(4, dtype=torch.float64, device=device)

    def train_batch(self, patch_b1pp: Tensor, label_boo: Tensor, rate: float) -> None:
        """One update. Nothing here waits for the device."""
        self.generator.manual_seed(seed_for(self.seed, "dropout", self.iteration))
        with mixed_precision(self.precision, patch_b1pp.device):
            logits_bkoo = self.net(patch_b1pp, TrainingStep(self.iteration, self.generator))
        loss = F.cross_entropy(logits_bkoo, label_boo)
        for parameter in self.net.parameters():
            parameter.grad = None
        loss.backward()
        add_weight_penalty(self.net.kernels(), self.settings.l1, self.settings.l2)
        self.optimiser.step(rate)
        self.sums += _sums(loss.detach(), logits_bkoo.detach(), label_boo)
        self.iteration += 1

    def close_subepoch(self, number: int, rate: float) -> None:
        """Append the subepoch's record.

        Raises:
            UserError: the loss is not finite.
        """
        loss, both, predicted, labelled = self.sums.tolist()
        if not math.isfinite(loss):
            raise UserError(
                f"segmenter: loss {loss} in subepoch {number + 1}, a finite one wanted; lower "
                f"learning_rate ({self.settings.learning_rate:g}) or look at the images' scale"
            )
        n_segments = self.iteration * self.settings.batch_segments
        self.records.append(
            {
                "step": self.iteration,
                "epoch": (number + 1) / self.settings.subepochs_per_epoch,
                "segments": n_segments,
                "loss": loss / _batches_per_subepoch(self.settings),
                "dice": 2.0 * both / (predicted + labelled) if predicted + labelled else 1.0,
                "learning_rate": rate,
                "synthetic_share": self.n_synthetic / n_segments,
            }
        )
        self.sums.zero_()

    def note(self) -> str:
        """The last record in a few words."""
        if not self.records:
            return ""
        return f"loss {self.records[-1]['loss']:.3f} dice {self.records[-1]['dice']:.3f}"

    def state(self) -> State:
        """Everything that a resumed run needs."""
        return {
            "iteration": self.iteration,
            "precision": self.precision,
            "n_synthetic": self.n_synthetic,
            "records": self.records,
            "sums": self.sums,
            "net": self.net.state_dict(),
            "rings": [ring for norm in self.net.norms() for ring in norm.rings()],
            "optimiser": self.optimiser.state(),
        }

    @torch.no_grad()
    def load(self, state: Mapping[str, Any]) -> None:
        """Take up a saved state."""
        warn_of_another_precision(
            state, self.precision, where="segmenter", setting="segmenter.precision"
        )
        self.iteration = state["iteration"]
        self.n_synthetic = state["n_synthetic"]
        self.records = list(state["records"])
        self.sums.copy_(state["sums"])
        self.net.load_state_dict(state["net"])
        rings = [ring for norm in self.net.norms() for ring in norm.rings()]
        for ring, saved in zip(rings, state["rings"], strict=True):
            ring.copy_(saved)
        self.optimiser.load(state["optimiser"])

    def result(self) -> TrainResult:
        """Settle the batch statistics and hand over.

        Raises:
            UserError: a weight is not finite: the last update's gradient was not.
        """
        self.net.settle(self.iteration)
        broken = [
            name for name, value in self.net.state_dict().items() if not value.isfinite().all()
        ]
        if broken:
            raise UserError(
                f"segmenter: {broken[0]} is not finite after the last update; lower "
                f"learning_rate ({self.settings.learning_rate:g}) or look at the images' scale"
            )
        n_segments = self.iteration * self.settings.batch_segments
        n_real = n_segments - self.n_synthetic
        return TrainResult(
            state={
                name: tensor.detach().cpu().contiguous()
                for name, tensor in self.net.state_dict().items()
            },
            records=self.records,
            achieved_real_per_synthetic=n_real / self.n_synthetic if self.n_synthetic else None,
            precision=self.precision,
        )


def _sums(loss: Tensor, logits_bkoo: Tensor, label_boo: Tensor) -> Tensor:
    predicted, labelled = logits_bkoo.argmax(dim=1) > 0, label_boo > 0
    counts = [(predicted & labelled).sum(), predicted.sum(), labelled.sum()]
    return torch.stack([loss.double(), *(count.double() for count in counts)])


def _batches_per_subepoch(settings: SegmenterSettings) -> int:
    return settings.segments_per_subepoch // settings.batch_segments  # whole: settings see to it

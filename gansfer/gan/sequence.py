"""The order of the phases: which weights and slices each is given by those before it (II.B).

Legend: K slices, C channels, L latent, H W rows and columns.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol

from torch import Tensor

from gansfer.gan.networks import Generator
from gansfer.gan.phases import (
    Phase,
    Weights,
    phase_1,
    phase_2,
    phase_3,
)
from gansfer.gan.sample import draw_latents, sample
from gansfer.gan_settings import GanSettings
from gansfer.progress import Watch


@dataclass(frozen=True)
class PhaseWeights:
    """Weights that a phase leaves to the next: the generator's, and each critic's by name."""

    generator: Weights
    critics: dict[str, Weights]


class RunPhase(Protocol):
    """Runs one phase, or gives what is kept of it."""

    def __call__(self, phase: int, prepare: Callable[..., Phase]) -> PhaseWeights:
        """Weights of `phase`; if need be, `prepare(seed=, device=)` is trained."""


def train_in_phases(
    settings: GanSettings,
    labelled_kchw: Tensor,
    known_kchw: Tensor,
    images_k1hw: Tensor,
    run: RunPhase,
    selftaught: Callable[[Weights], Tensor],
) -> None:
    """Train one GAN through its three phases.

    Args:
        settings: the GAN's settings.
        labelled_kchw: [K, C, H, W] encoded labelled slices; phase 1 learns from them.
        known_kchw: [K, C, H, W] the same, perhaps with deformed copies: what D_S of phase 3 and,
            if there is one, D_C of phases 2 and 3 know of labels.
        images_k1hw: [K, 1, H, W] encoded slices of the unlabelled pool, for phases 2 and 3.
        run: called once for each phase, in order.
        selftaught: gives the slices that a generator teaches itself with; asked for the phase-2
            generator's, if phase 3 is trained.
    """
    weights_1 = run(1, partial(phase_1, settings, labelled_kchw))
    weights_2 = run(2, partial(phase_2, settings, weights_1.generator, images_k1hw, known_kchw))

    def third(**how: Any) -> Phase:
        return phase_3(
            settings,
            weights_2.generator,
            weights_2.critics,
            images_k1hw,
            known_kchw,
            selftaught(weights_2.generator),
            **how,
        )

    run(3, third)


def selftaught_slices(
    generator: Generator,
    n_slices: int,
    seed: int,
    *,
    device: str = "cpu",
    watch: Watch | None = None,
) -> Tensor:
    """Slices [K, C, H, W] that a generator makes and phase 3 learns from, in float16 (II.B).

    Args:
        generator: as phase 2 left it.
        n_slices: K.
        seed: of the latents.
        device: "cpu" or "cuda".
        watch: told of progress; may ask to stop.

    Raises:
        StopRequested: the watch asked to stop.
    """
    latents_kl = draw_latents(n_slices, generator.latent_size, seed)
    return sample(generator, latents_kl, device=device, watch=watch).half()

"""Which weights and slices each phase is given, and what the generator teaches itself with."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from gansfer.gan import sequence
from gansfer.gan.phases import PhaseResult, Weights
from gansfer.gan.sequence import PhaseWeights, selftaught_slices, train_in_phases
from gansfer.gan_settings import GanSettings
from tests.three_subjects import EIGHTH_CODE, FixedGenerator, cell_of_three

SETTINGS = GanSettings()


def result_of(phase: int) -> PhaseResult:
    """Weights that say which phase left them."""
    names = {1: ("joint",), 2: ("image", "coupling"), 3: ("image", "label")}[phase]
    critics = {name: {"of": torch.tensor(10 + phase)} for name in names}
    return PhaseResult({"of": torch.tensor(phase)}, critics, [], {}, "float32")


@pytest.fixture
def given(monkeypatch: pytest.MonkeyPatch) -> dict[int, tuple[Any, ...]]:
    """What each phase's training is given; none trains."""
    seen: dict[int, tuple[Any, ...]] = {}
    for phase in (1, 2, 3):

        def stand_in(*arguments: Any, phase: int = phase, **how: Any) -> PhaseResult:
            seen[phase] = (*arguments, how)
            return result_of(phase)

        monkeypatch.setattr(sequence, f"phase_{phase}", stand_in)
    return seen


def slices() -> tuple[Tensor, Tensor, Tensor]:
    """The labelled slices of three subjects, these and their mirror images, and the pool's."""
    cell = cell_of_three()
    labelled_kchw = torch.from_numpy(cell.group.encoded(EIGHTH_CODE)[0])
    pool_k1hw = EIGHTH_CODE.encode_images(cell.pool_images_mzhw)
    known_kchw = torch.cat([labelled_kchw, labelled_kchw.flip(3)])
    return labelled_kchw, known_kchw, torch.from_numpy(pool_k1hw)


def train(kept: dict[int, PhaseWeights] | None = None) -> list[Any]:
    """Train in phases, but for those that are kept; the generators that taught themselves."""
    teachers: list[Any] = []

    def run(phase: int, prepare: Callable[..., Any]) -> PhaseWeights:
        if kept is not None and phase in kept:
            return kept[phase]
        result = prepare(seed=phase)  # the stand-in's, already trained
        return PhaseWeights(result.generator_weights, result.critics)

    def teach(weights: Weights) -> Tensor:
        teachers.append(int(weights["of"]))
        return torch.full((5, 3, 16, 16), float(weights["of"]))

    train_in_phases(SETTINGS, *slices(), run, teach)
    return teachers


def test_phase_1_sees_all_channels_of_the_labelled_slices(
    given: dict[int, tuple[Any, ...]],
) -> None:
    train()
    settings, labelled_kchw, how = given[1]
    assert settings is SETTINGS and how == {"seed": 1}
    assert torch.equal(labelled_kchw, slices()[0])


def test_phase_2_begins_with_phase_1s_generator_and_sees_the_pool(
    given: dict[int, tuple[Any, ...]],
) -> None:
    train()
    _, generator, images_k1hw, known_kchw, _ = given[2]
    assert int(generator["of"]) == 1
    assert torch.equal(images_k1hw, slices()[2])
    assert torch.equal(known_kchw, slices()[1])


def test_the_generator_of_phase_2_teaches_phase_3(given: dict[int, tuple[Any, ...]]) -> None:
    assert train() == [2]
    _, generator, critics, images_k1hw, known_kchw, selftaught_kchw, _ = given[3]
    assert int(generator["of"]) == 2
    assert {name: int(weights["of"]) for name, weights in critics.items()} == {
        "image": 12,
        "coupling": 12,
    }
    assert torch.equal(images_k1hw, slices()[2])
    assert torch.equal(known_kchw, slices()[1])
    assert (selftaught_kchw == 2).all()


def test_nothing_is_drawn_where_phase_3_is_kept(given: dict[int, tuple[Any, ...]]) -> None:
    kept = {
        phase: PhaseWeights(result_of(phase).generator_weights, result_of(phase).critics)
        for phase in (1, 2, 3)
    }
    assert train(kept) == []
    assert not given


def test_a_generator_teaches_itself_with_its_slices() -> None:
    class Numbered(FixedGenerator):
        latent_size = 3

        def forward(
            self, latent_bl: Tensor, level: int | None = None, alpha: float | Tensor = 1.0
        ) -> Tensor:
            self.seen = latent_bl
            return self.channels_kchw[: len(latent_bl)]

    channels_kchw = np.random.default_rng(0).normal(size=(4, 3, 8, 8)).astype(np.float32)
    generator = Numbered(channels_kchw)
    taught = selftaught_slices(generator, 4, seed=5)
    assert taught.dtype == torch.float16
    assert torch.equal(taught, torch.from_numpy(channels_kchw).half())
    first = generator.seen
    selftaught_slices(generator, 4, seed=6)
    assert not torch.equal(generator.seen, first)

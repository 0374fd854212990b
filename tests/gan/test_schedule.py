"""The phases' schedules, written out as tables."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest

from gansfer.gan.schedule import (
    Schedule,
    phase_1_schedule,
    phase_2_schedule,
    phase_3_schedule,
    trainable_blocks,
)
from gansfer.gan_settings import GanSettings


def _settings(**phases: Any) -> GanSettings:
    return GanSettings.model_validate(
        {"base_px": 5, "latent_size": 4, "fmaps": (4, 4, 4), "minibatch": 8, **phases}
    )


def _rows(schedule: Schedule) -> list[tuple[Any, ...]]:
    return [
        (s.first_step, s.first_image, s.n_cycles, s.px, s.minibatch, s.fades)
        for s in schedule.stretches
    ]


def test_the_papers_ladder() -> None:
    schedule = phase_1_schedule(GanSettings(), 80)
    images = 600_000
    cycles = [images / 128, images / 128, images / 128, images / 128, images / 128]
    cycles += [images / 64, images / 64, images / 32, images / 32]
    assert [s.n_cycles for s in schedule.stretches] == [-(-n // 1) for n in cycles]
    assert [s.px for s in schedule.stretches] == [5, 10, 10, 20, 20, 40, 40, 80, 80]
    assert [s.fades for s in schedule.stretches] == [False, *[True, False] * 4]
    assert [s.minibatch for s in schedule.stretches] == [128] * 5 + [64] * 2 + [32] * 2
    assert all(s.resets_optimisers for s in schedule.stretches)


def test_phase_1_step_by_step() -> None:
    settings = _settings(
        minibatch={5: 8, 10: 8, 20: 4}, phase_1={"fade_images": 16, "stable_images": 24}
    )
    schedule = phase_1_schedule(settings, 20)
    assert _rows(schedule) == [
        (0, 0, 3, 5, 8, False),
        (3, 24, 2, 10, 8, True),
        (5, 40, 3, 10, 8, False),
        (8, 64, 4, 20, 4, True),
        (12, 80, 6, 20, 4, False),
    ]
    assert schedule.n_steps == 18
    assert schedule.n_images == 104
    moments = [schedule.at(step) for step in range(18)]
    assert [m.alpha for m in moments] == [1] * 3 + [0, 0.5] + [1] * 3 + [0, 0.25, 0.5, 0.75] + [
        1
    ] * 6
    assert [m.images_seen for m in moments[:9]] == [0, 8, 16, 24, 32, 40, 48, 56, 64]
    assert [m.stretch.level for m in moments] == [0] * 3 + [1] * 5 + [2] * 10
    assert all(m.generator_learns and m.critics == {"joint": m.cycle} for m in moments)
    with pytest.raises(IndexError, match="step 18 of a phase of 18 steps"):
        schedule.at(18)


def test_phase_2_gives_the_critic_a_lead_of_100_in_the_first_five_cycles() -> None:
    settings = _settings(phase_2={"images": 80, "frozen_top_blocks": 1})
    schedule = phase_2_schedule(settings, 20)
    moments = [schedule.at(step) for step in range(schedule.n_steps)]
    assert schedule.n_steps == 5 * 100 + 5
    learns = [step for step, m in enumerate(moments) if m.generator_learns]
    assert learns == [99, 199, 299, 399, 499, 500, 501, 502, 503, 504]
    assert [m.critics["image"] for m in moments] == [*range(500), *range(5)]
    assert [moments[step].images_seen for step in learns] == list(range(0, 80, 8))
    assert schedule.n_images == 80
    assert {m.stretch.trainable for m in moments} == {frozenset({"blocks.0", "blocks.1"})}


def test_phase_3_unfreezes_the_earliest_frozen_block_first() -> None:
    settings = _settings(
        phase_2={"frozen_top_blocks": 2},
        phase_3={
            "images": 80,
            "unfreeze_every_images": 20,
            "label_warmup_cycles": 2,
            "label_warmup_critic_updates": 3,
        },
    )
    schedule = phase_3_schedule(settings, 20)
    moments = [schedule.at(step) for step in range(schedule.n_steps)]
    blocks = [sorted(m.stretch.trainable) for m in moments if m.generator_learns]
    one, two = ["blocks.0"], ["blocks.0", "blocks.1"]
    assert blocks == [one] * 3 + [two] * 2 + [[*two, "blocks.2"]] * 5
    # In the lead D_S learns three times a cycle, D_I once, together with the generator.
    assert [m.critics for m in moments[:7]] == [
        {"label": 0},
        {"label": 1},
        {"image": 0, "label": 2},
        {"label": 3},
        {"label": 4},
        {"image": 1, "label": 5},
        {"image": 0, "label": 0},
    ]
    assert [m.images_seen for m in moments if m.generator_learns] == list(range(0, 80, 8))


def test_the_window_critic_learns_where_it_has_a_weight() -> None:
    def updates(phase_2: float, phase_3: float) -> tuple[list[Any], list[Any]]:
        settings = _settings(
            phase_2={"coupling_weight": phase_2, "warmup_critic_updates": 7, "images": 80},
            phase_3={
                "coupling_weight": phase_3,
                "label_warmup_critic_updates": 3,
                "images": 80,
                "unfreeze_every_images": 80,
            },
        )
        schedules = phase_2_schedule(settings, 20), phase_3_schedule(settings, 20)
        two, three = ([s.critic_updates for s in one.stretches] for one in schedules)
        return two, three

    both = {"image": 1, "label": 1}
    assert updates(0.0, 0.0) == ([{"image": 7}, {"image": 1}], [{**both, "label": 3}, both])
    leads, then = updates(0.5, 2.0)[0]
    assert (leads, then) == ({"image": 7, "coupling": 7}, {"image": 1, "coupling": 1})
    # Phase 2's goes on; a new one is given a lead.
    assert updates(0.5, 2.0)[1][0] == {"image": 1, "label": 3, "coupling": 1}
    assert updates(0.0, 2.0)[1][0] == {"image": 1, "label": 3, "coupling": 3}
    assert updates(0.5, 0.0)[1] == updates(0.0, 0.0)[1]


def test_frozen_blocks_by_images() -> None:
    def names(phase: int, images_seen: int) -> list[str]:
        return sorted(
            trainable_blocks(
                phase,
                images_seen,
                n_levels=4,
                frozen_top_blocks=2,
                unfreeze_every_images=100,
            )
        )

    assert names(1, 0) == [f"blocks.{k}" for k in range(4)] + [f"to_rgb.{k}" for k in range(4)]
    assert names(2, 10**9) == ["blocks.0", "blocks.1"]
    assert names(3, 99) == ["blocks.0", "blocks.1"]
    assert names(3, 100) == ["blocks.0", "blocks.1", "blocks.2"]
    assert names(3, 10**9) == ["blocks.0", "blocks.1", "blocks.2", "blocks.3"]


def test_a_phase_of_no_images_has_no_steps() -> None:
    settings = _settings(phase_2={"images": 0, "frozen_top_blocks": 1}, phase_3={"images": 0})
    assert phase_2_schedule(settings, 20).stretches == ()
    assert phase_3_schedule(settings, 20).n_steps == 0


def test_errors_say_what_to_choose() -> None:
    with pytest.raises(ValueError, match="frozen_top_blocks is 3 of a generator of 3 blocks"):
        phase_2_schedule(_settings(phase_2={"frozen_top_blocks": 3}), 20)
    with pytest.raises(ValueError, match="phase 4: there are phases 1, 2 and 3"):
        trainable_blocks(4, 0, n_levels=3)
    with pytest.raises(ValueError, match="not 24"):
        phase_1_schedule(_settings(), 24)
    with pytest.raises(ValueError, match=r"gan\.minibatch has no value for 20 px"):
        phase_1_schedule(_settings(minibatch={5: 8, 10: 8}), 20)


def test_loads_without_torch_or_numpy() -> None:
    code = (
        "import sys, gansfer.gan.schedule; "
        "raise SystemExit([m for m in ('torch', 'numpy') if m in sys.modules] != [])"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0

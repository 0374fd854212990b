"""Skipped updates: counted, said, and too many of them are no result."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import pytest
import torch

from gansfer.errors import UserError
from gansfer.gan.phases import PhaseResult, phase_1, train_phase
from gansfer.gan.schedule import phase_1_schedule, phase_2_schedule, phase_3_schedule
from gansfer.gan.skipping import check_skipped, skipped_by_network
from gansfer.gan_settings import GanSettings
from gansfer.progress import Silent
from gansfer.training.checkpoint import CheckpointStore

UPDATES = {"joint": 200, "generator": 100}


def settings(**changes: Any) -> GanSettings:
    tiny: dict[str, Any] = {
        "base_px": 3,
        "latent_size": 4,
        "fmaps": (4, 4),
        "minibatch": 4,
        "phase_1": {"fade_images": 40, "stable_images": 40},
    }
    return GanSettings.model_validate(tiny | changes)


def record(joint: int, generator: int = 0, loss_joint: float | None = 1.5) -> dict[str, Any]:
    return {
        "loss_joint": loss_joint,
        "skipped_joint": joint,
        "loss_generator": -2.0,
        "skipped_generator": generator,
    }


def check(*records: dict[str, Any], fraction: float = 0.05, finished: bool = False) -> None:
    check_skipped(
        records,
        UPDATES,
        fraction,
        where="phase 1, 5 px",
        learning_rate=1e4,
        finished=finished,
    )


def test_a_share_up_to_the_limit_is_allowed_and_one_update_more_is_not() -> None:
    check(record(joint=10, generator=5))
    with pytest.raises(UserError, match="skipped 11 of 200 updates of the joint critic, their"):
        check(record(joint=11, generator=5))
    with pytest.raises(UserError, match="skipped 6 of 100 updates of the generator, their"):
        check(record(joint=10, generator=6))


def test_the_message_names_place_losses_limit_and_remedy() -> None:
    with pytest.raises(UserError) as raised:
        check(record(0, loss_joint=7.25), record(50, loss_joint=None), record(90, loss_joint=None))
    said = str(raised.value)
    assert said.startswith("phase 1, 5 px: skipped 90 of 200 updates of the joint critic")
    assert "loss_joint 7.25, loss_generator -2" in said
    assert "at most 0.05 of them may be (gan.max_skipped_fraction)" in said
    assert "Lower gan.learning_rate, or the phase's own, which is 10000, or look" in said
    assert "\n" not in said


def test_a_phase_that_ends_on_skipped_updates_alone_is_refused_however_few() -> None:
    last = record(joint=3, loss_joint=None)
    check(record(0), last)
    with pytest.raises(UserError, match=r"3 of 200 .* joint critic.*the last of the phase among"):
        check(record(0), last, finished=True)


def test_a_limit_of_1_refuses_nothing() -> None:
    check(record(200, 100, loss_joint=None), fraction=1.0, finished=True)


@pytest.mark.parametrize("schedule_of", [phase_1_schedule, phase_2_schedule, phase_3_schedule])
def test_planned_updates_are_those_of_every_step(schedule_of: Any) -> None:
    schedule = schedule_of(
        settings(
            phase_2={"images": 40, "frozen_top_blocks": 1, "warmup_critic_updates": 3},
            phase_3={"images": 40, "unfreeze_every_images": 8, "label_warmup_critic_updates": 4},
        ),
        6,
    )
    moments = [schedule.at(step) for step in range(schedule.n_steps)]
    counted = {
        name: sum(name in moment.critics for moment in moments)
        for name in {name for moment in moments for name in moment.critics}
    }
    counted["generator"] = sum(moment.generator_learns for moment in moments)
    assert schedule.updates == counted


def train(folder: Path, slices_nchw: torch.Tensor, watch: Silent, **changes: Any) -> PhaseResult:
    store = CheckpointStore(folder, "test", every_s=1e9)
    return train_phase(phase_1(settings(**changes), slices_nchw, seed=1), store=store, watch=watch)


class Notes(Silent):
    """Remember how many steps were reported, and the last note."""

    def __init__(self) -> None:
        self.done, self.note = 0, ""

    def report(self, done: int, total: int, unit: str, note: str = "") -> None:
        self.done, self.note = done, note


def test_a_gan_without_a_finite_loss_fails_early(tmp_path: Path) -> None:
    watch = Notes()
    with pytest.raises(UserError, match=r"phase 1, 3 px: skipped 2 of 30 .*loss_joint never"):
        train(tmp_path, torch.full((4, 2, 6, 6), torch.nan), watch)
    assert watch.done == 2  # of 30


def test_skipped_updates_stand_in_the_note_the_records_and_the_log(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    watch = Notes()
    slices_nchw = torch.full((4, 2, 6, 6), torch.nan)
    with caplog.at_level(logging.WARNING):
        result = train(tmp_path, slices_nchw, watch, max_skipped_fraction=1.0)
    assert skipped_by_network(result.records)["joint"] == 30
    assert watch.note == "6 px, 29 updates skipped"  # as of the record before
    assert [line for line in caplog.messages if "skipped" in line] == [
        f"phase 1, {px} px: skipped {n} of 30 updates of the joint critic, "
        "their gradients not finite"
        for px, n in ((3, 10), (6, 20), (6, 30))
    ]


def test_a_sound_gan_says_nothing_of_skipping(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    watch = Notes()
    with caplog.at_level(logging.WARNING):
        train(tmp_path, torch.zeros(4, 2, 6, 6), watch, max_skipped_fraction=0.0)
    assert watch.note == "6 px"
    assert caplog.messages == []

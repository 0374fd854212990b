"""The benchmark takes the steps that a task takes."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor

from gansfer.gan.schedule import Moment
from gansfer.gan.steps import Gan, run_step
from gansfer.progress import Silent
from jobs.checking import benchmark_steps
from jobs.checking.benchmark import measure_machine
from jobs.checking.work import work_of
from tests.jobs.experiments import Trial


def test_the_measured_steps_are_those_of_the_phases(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    taken: dict[tuple[int, frozenset[str]], tuple[Gan, Moment]] = {}

    def watched(gan: Gan, moment: Moment, real_sets: dict[str, list[Tensor]]) -> None:
        if moment.stretch.minibatch != 4:  # the least step's
            taken[moment.stretch.px, frozenset(moment.critics)] = (gan, moment)
        run_step(gan, moment, real_sets)

    monkeypatch.setattr(benchmark_steps, "run_step", watched)
    trial = Trial.make(
        tmp_path,
        gan={
            "precision": "bfloat16",
            "minibatch": {5: 5, 10: 6, 20: 7},
            "phase_3": {"coupling_weight": 1.0},
        },
    )
    before = torch.get_num_threads()
    measured = measure_machine(trial.plan.experiment, budget_s=0.0, watch=Silent())
    assert torch.get_num_threads() == before
    joint, image = frozenset({"joint"}), frozenset({"image"})
    third = frozenset({"image", "label", "coupling"})
    assert set(taken) == {(5, joint), (10, joint), (20, joint), (20, image), (20, third)}
    for gan, moment in taken.values():
        assert gan.precision == "bfloat16"
        assert moment.generator_learns and moment.alpha == 1.0
        assert moment.stretch.steps_per_cycle == 1  # after the warm-up
    assert [moment.stretch.minibatch for _, moment in taken.values()] == [5, 6, 7, 7, 7]
    parts = {part.split(".")[0] for part in taken[20, third][1].stretch.trainable}
    assert parts == {"blocks"}
    works = {(one.kind, one.side_px): one for one in work_of(trial.plan.experiment)}
    pieces = {(one.kind, one.side_px): one for one in measured.pieces if one.kind != "least"}
    assert {key: (one.batch, one.flops_a_step) for key, one in pieces.items()} == {
        key: (one.batch, one.flops_a_step) for key, one in works.items()
    }
    assert [one.side_px for one in measured.pieces if one.kind == "least"] == [5, 10, 20]
    assert measured.device == "cpu_core" and measured.precision == "bfloat16"
    assert all(one.timed_steps == 3 for one in measured.pieces)


def test_steps_of_minutes_are_measured_on_fewer_slices(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    experiment = Trial.make(tmp_path, gan={"minibatch": {5: 3, 10: 64, 20: 64}}).plan.experiment
    whole = {(one.kind, one.side_px): one for one in work_of(experiment)}
    top = whole["phase_3", 20]
    nine_slices = 9.5 * top.flops_a_step / 64  # are affordable at this rate
    rate = nine_slices / benchmark_steps._LONGEST_STEP_S
    monkeypatch.setitem(benchmark_steps.ASSUMED_FLOPS_PER_S, "cpu_core", rate)
    measured = measure_machine(experiment, budget_s=0.0, watch=Silent())
    batches = {(one.kind, one.side_px): one.batch for one in measured.pieces}
    assert batches["phase_1", 20] == batches["phase_2", 20] == batches["phase_3", 20] == 9
    assert batches["phase_1", 5] == 3 and 9 < batches["phase_1", 10] <= 64
    assert 9 < batches["synthesise", 20] <= 64
    for piece in measured.pieces:
        if piece.kind != "least":
            work = whole[piece.kind, piece.side_px]
            per_slice = work.flops_a_step / work.batch
            assert piece.flops_a_step == pytest.approx(piece.batch * per_slice)


def test_a_phase_that_is_not_trained_is_not_measured(tmp_path: Path) -> None:
    trial = Trial.make(tmp_path, gan={"phase_2": {"images": 0}, "phase_3": {"images": 0}})
    measured = measure_machine(trial.plan.experiment, budget_s=0.0, watch=Silent())
    assert {one.kind for one in measured.pieces} == {
        *("least", "phase_1", "synthesise", "train_segmenter", "segment_cohort")
    }


def test_a_lazy_penalty_is_measured_in_its_turn(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    every, lazy = (
        Trial.make(tmp_path / str(n), gan={"penalty_every": n}).plan.experiment for n in (1, 3)
    )
    taken: list[tuple[str, bool]] = []

    def watched(gan: Gan, moment: Moment, real_sets: dict[str, list[Tensor]]) -> None:
        taken.extend((name, gan.penalty_at(n) > 0) for name, n in moment.critics.items())
        run_step(gan, moment, real_sets)

    monkeypatch.setattr(benchmark_steps, "run_step", watched)
    measured = measure_machine(lazy, budget_s=0.0, watch=Silent())
    for name in ("joint", "image", "label"):
        penalised = [now for one, now in taken if one == name]
        assert sum(penalised) * 3 == len(penalised), name
    gan_pieces = [one for one in measured.pieces if one.kind.startswith("phase")]
    assert {one.timed_steps for one in gan_pieces} == {9}
    flops = [
        {(one.kind, one.side_px): one.flops_a_step for one in work_of(experiment)}
        for experiment in (every, lazy)
    ]
    for key, whole in flops[0].items():
        assert (flops[1][key] < whole) == key[0].startswith("phase"), key

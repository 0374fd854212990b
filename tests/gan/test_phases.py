"""The three phases on a tiny ladder: what learns, what stays, and resuming to the bit."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from gansfer.gan import phases, steps
from gansfer.gan.blocks import GeneratorStart
from gansfer.gan.networks import build_critic, build_generator, build_window_critic
from gansfer.gan.phases import Phase, PhaseResult, phase_1, phase_2, phase_3, train_phase
from gansfer.gan.schedule import phase_3_schedule
from gansfer.gan_settings import GanSettings
from gansfer.progress import Silent, StopRequested
from gansfer.training.checkpoint import CheckpointStore

_PX, _CHANNELS = 12, 3


def _settings(**changes: Any) -> GanSettings:
    tiny: dict[str, Any] = {
        "base_px": 3,
        "latent_size": 4,
        "fmaps": (6, 5, 4),
        "minibatch": {3: 8, 6: 8, 12: 4},
        "ema_half_life_kimg": 0.02,
        "phase_1": {"fade_images": 24, "stable_images": 24},
        "phase_2": {
            "images": 24,
            "frozen_top_blocks": 2,
            "warmup_cycles": 2,
            "warmup_critic_updates": 5,
        },
        "phase_3": {
            "images": 40,
            "unfreeze_every_images": 12,
            "label_warmup_cycles": 2,
            "label_warmup_critic_updates": 3,
        },
    }
    return GanSettings.model_validate(tiny | changes)


def _slices(n: int, channels: int, seed: int) -> Tensor:
    random = torch.Generator().manual_seed(seed)
    return torch.rand(n, channels, _PX, _PX, generator=random) * 2 - 1


class StopAt(Silent):
    """Ask to stop once, after a given number of steps."""

    def __init__(self, step: int) -> None:
        self.step = step
        self.done = 0

    def report(self, done: int, total: int, unit: str, note: str = "") -> None:
        self.done = done

    def stopping(self) -> bool:
        return self.done == self.step


Run = Callable[[CheckpointStore, Silent], PhaseResult]


def _run(phase: int, settings: GanSettings) -> Run:
    generator = build_generator(settings, _PX, _CHANNELS, seed=7).state_dict()

    def run(store: CheckpointStore, watch: Silent) -> PhaseResult:
        return train_phase(prepared(), store=store, watch=watch)

    def prepared() -> Phase:
        if phase == 1:
            return phase_1(settings, _slices(10, _CHANNELS, 0), seed=1)
        if phase == 2:
            pool, labelled = _slices(10, 1, 1).half(), _slices(6, _CHANNELS, 2)
            return phase_2(settings, generator, pool, labelled, seed=1)
        critics = {"image": build_critic(settings, _PX, 1, seed=8).state_dict()}
        if settings.phase_2.coupling_weight > 0:
            critics["coupling"] = build_window_critic(_CHANNELS, seed=9).state_dict()
        labelled, selftaught = _slices(6, _CHANNELS, 2), _slices(9, _CHANNELS, 3)
        pool = _slices(10, 1, 1)
        return phase_3(settings, generator, critics, pool, labelled, selftaught, seed=1)

    return run


def _train_phase_1(
    settings: GanSettings, labelled_nchw: Tensor, folder: Path, seed: int = 1
) -> PhaseResult:
    begun = phase_1(settings, labelled_nchw, seed=seed)
    return train_phase(begun, store=_store(folder), watch=Silent())


def _store(folder: Path) -> CheckpointStore:
    return CheckpointStore(folder, "test", every_s=1e9)


def _assert_equal(one: PhaseResult, other: PhaseResult) -> None:
    assert one.records == other.records
    assert one.critics.keys() == other.critics.keys()
    weights = [(one.generator_weights, other.generator_weights)]
    weights += [(one.critics[name], other.critics[name]) for name in one.critics]
    for mine, theirs in weights:
        assert all(torch.equal(mine[name], theirs[name]) for name in mine)


# Phase 1: first level, a fade's start, within a fade, its end. Phases 2 and 3: within the
# warm-up and at its end, around the unfreezing of a block.
@pytest.mark.parametrize(
    ("phase", "stops"),
    [(1, (1, 3, 4, 6, 11, 20)), (2, (1, 7, 10, 12)), (3, (2, 5, 6, 7, 10))],
)
@pytest.mark.parametrize("penalty_every", [1, 3])
def test_a_resumed_run_equals_an_undisturbed_one_to_the_bit(
    phase: int, stops: tuple[int, ...], penalty_every: int, tmp_path: Path
) -> None:
    run = _run(phase, _settings(penalty_every=penalty_every))
    undisturbed = run(_store(tmp_path / "whole"), Silent())
    for stop in stops:
        with pytest.raises(StopRequested):
            run(_store(tmp_path / "parts"), StopAt(stop))
    _assert_equal(run(_store(tmp_path / "parts"), Silent()), undisturbed)
    assert undisturbed.records


def _coupled(weight_2: float, weight_3: float) -> GanSettings:
    plain = _settings()
    return plain.model_copy(
        update={
            "phase_2": plain.phase_2.model_copy(update={"coupling_weight": weight_2}),
            "phase_3": plain.phase_3.model_copy(update={"coupling_weight": weight_3}),
        }
    )


@pytest.mark.parametrize(("phase", "stop"), [(2, 7), (3, 6)])
def test_a_resumed_run_with_a_window_critic_equals_an_undisturbed_one(
    phase: int, stop: int, tmp_path: Path
) -> None:
    run = _run(phase, _coupled(1.0, 1.0))
    undisturbed = run(_store(tmp_path / "whole"), Silent())
    with pytest.raises(StopRequested):
        run(_store(tmp_path / "parts"), StopAt(stop))
    _assert_equal(run(_store(tmp_path / "parts"), Silent()), undisturbed)
    assert "coupling" in undisturbed.critics


@pytest.mark.parametrize("phase", [2, 3])
def test_the_generator_heeds_the_window_critic_by_its_weight(phase: int, tmp_path: Path) -> None:
    paper = _run(phase, _settings())(_store(tmp_path / "paper"), Silent())
    little, much = (
        _run(phase, _coupled(weight, weight))(_store(tmp_path / str(weight)), Silent())
        for weight in (1e-6, 10.0)
    )
    assert "coupling" not in paper.critics

    def moved(result: PhaseResult) -> float:
        pairs = result.generator_weights.items()
        return sum(
            (value - paper.generator_weights[name]).abs().sum().item() for name, value in pairs
        )

    assert moved(much) > moved(little)


def test_phase_3_goes_on_with_the_window_critic_of_phase_2(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gansfer.gan.training.run_step", lambda *rest: None)
    monkeypatch.setattr("gansfer.gan.training.record_is_due", lambda moment: False)
    result = _run(3, _coupled(1.0, 1.0))(_store(tmp_path), Silent())
    kept = build_window_critic(_CHANNELS, seed=9).state_dict()
    assert all(torch.equal(value, kept[name]) for name, value in result.critics["coupling"].items())
    new = _run(3, _coupled(0.0, 1.0))(_store(tmp_path / "new"), Silent())
    assert not torch.equal(new.critics["coupling"]["first.weight"], kept["first.weight"])


def test_saving_often_changes_nothing(tmp_path: Path) -> None:
    run = _run(1, _settings())
    never = run(_store(tmp_path / "never"), Silent())
    always = run(CheckpointStore(tmp_path / "always", "test", every_s=0.0), Silent())
    _assert_equal(never, always)


def test_phase_1_trains_every_part_and_takes_half_precision(tmp_path: Path) -> None:
    settings = _settings()
    result = _train_phase_1(settings, _slices(10, _CHANNELS, 0).half(), tmp_path)
    shape = build_generator(settings, _PX, _CHANNELS).state_dict()
    assert result.generator_weights.keys() == shape.keys()
    other = _train_phase_1(settings, _slices(10, _CHANNELS, 0), tmp_path / "b", seed=2)
    for name, value in result.generator_weights.items():
        assert torch.isfinite(value).all()
        assert not torch.equal(value, other.generator_weights[name]), name
    assert set(result.critics) == {"joint"}
    last = result.records[-1]
    assert last["level_px"] == _PX
    assert last["images"] == 24 * 5
    assert last["skipped_joint"] == last["skipped_generator"] == 0
    assert [r["alpha"] for r in result.records if "alpha" in r][:3] == [0.0, 1 / 3, 2 / 3]


def test_phase_2_changes_the_early_block_and_nothing_else(tmp_path: Path) -> None:
    settings = _settings()
    before = build_generator(settings, _PX, _CHANNELS, seed=7).state_dict()
    after = _run(2, settings)(_store(tmp_path), Silent()).generator_weights
    for name, value in after.items():
        assert torch.equal(value, before[name]) == (not name.startswith("blocks.0.")), name


def test_phase_3_unfreezes_block_after_block_and_never_to_rgb(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = _settings()
    changed: list[set[str]] = []
    without_gradient: list[set[str]] = []
    original = steps.generator_step

    def spy(gan: steps.Gan, *rest: Any) -> None:
        before = {name: value.clone() for name, value in gan.generator.state_dict().items()}
        original(gan, *rest)
        after = gan.generator.state_dict()
        moved = {name for name in before if not torch.equal(before[name], after[name])}
        changed.append({".".join(name.split(".")[:2]) for name in moved})
        named = gan.generator.named_parameters()
        without_gradient.append({".".join(n.split(".")[:2]) for n, p in named if p.grad is None})

    monkeypatch.setattr(steps, "generator_step", spy)
    result = _run(3, settings)(_store(tmp_path), Silent())
    early = {"blocks.0"}
    wanted = [early] * 3 + [early | {"blocks.1"}] * 3 + [early | {"blocks.1", "blocks.2"}] * 4
    assert changed == wanted
    everything = {f"{part}.{level}" for part in ("blocks", "to_rgb") for level in range(3)}
    assert without_gradient == [everything - trained for trained in wanted]
    before = build_generator(settings, _PX, _CHANNELS, seed=7).state_dict()
    for name, value in result.generator_weights.items():
        assert torch.equal(value, before[name]) == name.startswith("to_rgb"), name


def test_the_critic_leads_100_to_1_for_five_cycles(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    paper = {"images": 28, "frozen_top_blocks": 1}
    calls: list[str] = []
    monkeypatch.setattr(steps, "critic_step", lambda gan, critic, *rest: calls.append(critic.name))
    monkeypatch.setattr(steps, "generator_step", lambda *rest: calls.append("generator"))
    _run(2, _settings(phase_2=paper))(_store(tmp_path), Silent())
    cycle = ["image"] * 100 + ["generator"]
    assert calls == cycle * 5 + ["image", "generator"] * 2


@pytest.mark.parametrize("phase", [1, 2, 3])
def test_a_lazy_penalty_weighs_more_and_is_taken_of_each_critics_own_updates(
    phase: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    taken: dict[str, list[float]] = {}

    def spy(gan: steps.Gan, critic: steps.Critic, *rest: Any) -> None:
        taken.setdefault(critic.name, []).append(rest[-1])

    settings = _settings(penalty_every=3, gradient_penalty=7.0)
    monkeypatch.setattr("gansfer.gan.training.record_is_due", lambda moment: False)
    with monkeypatch.context() as watched:
        watched.setattr(steps, "critic_step", spy)
        _run(phase, settings)(_store(tmp_path / "watched"), Silent())
    for name, weights in taken.items():
        assert set(weights) == {0.0, 21.0}, name
    if phase == 2:  # 2 cycles of 5, then 4 of 1: a new stretch begins with a penalty
        lazy = [21.0, 0.0, 0.0]
        assert taken["image"] == [*lazy * 3, 21.0, *lazy, 21.0]
    if phase == 3:  # D_I learns at the end of each cycle of three: not always at the same third
        assert taken["image"][:2] == [21.0, 0.0]
        assert taken["label"][:6] == [21.0, 0.0, 0.0] * 2
    every, lazily = (
        _run(phase, one)(_store(tmp_path / str(one.penalty_every)), Silent())
        for one in (_settings(gradient_penalty=7.0), settings)
    )
    differ = [
        not torch.equal(value, lazily.critics[name][key])
        for name in every.critics
        for key, value in every.critics[name].items()
    ]
    assert any(differ)


def test_a_record_of_a_lazy_penalty_is_the_mean_over_its_own_updates(tmp_path: Path) -> None:
    slices = _slices(10, _CHANNELS, 0)
    settings = _settings(penalty_every=2, phase_1={"fade_images": 24, "stable_images": 8})
    result = _train_phase_1(settings, slices, tmp_path)
    norms = [record["gradient_norm_joint"] for record in result.records]
    # One update a record here: the first of a stretch has a penalty, the second has none.
    fading = [
        (record["level_px"], norm)
        for record, norm in zip(result.records, norms, strict=True)
        if "alpha" in record
    ]
    assert [norm is None for px, norm in fading if px == _PX] == [False, True] * 3
    assert all(norm is None or norm > 0 for norm in norms)
    assert all(record["loss_joint"] is not None for record in result.records)


def test_each_critic_sees_its_channels_and_its_reals(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = _coupled(0.0, 1.0)
    seen: Counter[tuple[str, int, float]] = Counter()

    def spy(gan: steps.Gan, critic: steps.Critic, real: Tensor, fake: Tensor, *rest: Any) -> None:
        assert fake.shape == real.shape
        for value in real.mean(dim=(1, 2, 3)).tolist():
            seen[critic.name, real.shape[1], value] += 1

    monkeypatch.setattr(steps, "critic_step", spy)
    monkeypatch.setattr(steps, "generator_step", lambda *rest: None)
    begun = phase_3(
        settings,
        build_generator(settings, _PX, _CHANNELS).state_dict(),
        {"image": build_critic(settings, _PX, 1).state_dict()},
        torch.full((5, 1, _PX, _PX), 0.5),
        torch.full((3, _CHANNELS, _PX, _PX), 1.0),
        torch.full((50, _CHANNELS, _PX, _PX), 2.0),
        seed=1,
    )
    train_phase(begun, store=_store(tmp_path), watch=Silent())
    n_steps = phase_3_schedule(settings, _PX).n_steps
    assert seen == {
        ("image", 1, 0.5): 10 * 4,
        ("label", 2, 1.0): n_steps * 2,
        ("label", 2, 2.0): n_steps * 2,
        ("coupling", 3, 1.0): n_steps * 2,
        ("coupling", 3, 2.0): n_steps * 2,
    }


def test_phase_3_starts_from_the_image_critic_of_phase_2(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(steps, "run_step", lambda *rest: None)
    monkeypatch.setattr("gansfer.gan.training.run_step", lambda *rest: None)
    monkeypatch.setattr("gansfer.gan.training.record_is_due", lambda moment: False)
    result = _run(3, _settings())(_store(tmp_path), Silent())
    kept = build_critic(_settings(), _PX, 1, seed=8).state_dict()
    assert all(torch.equal(value, kept[name]) for name, value in result.critics["image"].items())


def test_updates_that_are_not_finite_are_skipped_and_counted(tmp_path: Path) -> None:
    settings = _settings(max_skipped_fraction=1.0)
    poisoned = _slices(10, _CHANNELS, 0)
    poisoned[0] = torch.nan
    result = _train_phase_1(settings, poisoned, tmp_path)
    for state in (result.generator_weights, *result.critics.values()):
        assert all(torch.isfinite(value).all() for value in state.values())
    skipped = [record["skipped_joint"] for record in result.records]
    assert 0 < skipped[-1] < len(skipped)
    assert skipped == sorted(skipped)
    assert result.records[-1]["skipped_generator"] == 0
    for before, record in zip([0, *skipped], result.records, strict=False):
        was_skipped = record["skipped_joint"] > before
        assert (record["loss_joint"] is None) == was_skipped


def test_a_skipped_update_leaves_weights_and_moments_as_they_were() -> None:
    weight = torch.nn.Parameter(torch.tensor([1.0, 2.0]))
    optimiser = steps.SkippingAdam([weight], lr=0.1, betas=(0.5, 0.9), fused=True)
    assert steps.update(optimiser, [weight], weight.square().sum()).item() == 0
    kept = weight.detach().clone()
    state = {name: value.clone() for name, value in optimiser.state[weight].items()}
    assert steps.update(optimiser, [weight], weight.sum() * torch.inf).item() == 1
    assert torch.equal(weight, kept)
    assert all(torch.equal(value, state[name]) for name, value in optimiser.state[weight].items())
    assert steps.update(optimiser, [weight], weight.square().sum()).item() == 0
    assert not torch.equal(weight, kept)


def test_every_network_learns_at_its_phases_rate() -> None:
    own = _settings(
        learning_rate=0.01,
        phase_2={"learning_rate": 0.02, "coupling_weight": 1.0},
        phase_3={"learning_rate": 0.03, "coupling_weight": 1.0},
    )
    shared = _settings(learning_rate=0.01)
    for settings, wanted in ((own, [0.01, 0.02, 0.03]), (shared, [0.01] * 3)):
        assert [_rates(phase) for phase in _three_phases(settings)] == [{one} for one in wanted]


def _three_phases(settings: GanSettings) -> list[Phase]:
    labelled, images = _slices(5, _CHANNELS, 1), _slices(6, 1, 2)
    first = phase_1(settings, labelled, seed=0)
    weights = first.gan.average.state_dict()
    second = phase_2(settings, weights, images, labelled, seed=0)
    critics = {name: one.network.state_dict() for name, one in second.gan.critics.items()}
    third = phase_3(settings, weights, critics, images, labelled, labelled, seed=0)
    return [first, second, third]


def _rates(phase: Phase) -> set[float]:
    optimisers = [phase.gan.optimiser, *(one.optimiser for one in phase.gan.critics.values())]
    return {group["lr"] for optimiser in optimisers for group in optimiser.param_groups}


def test_optimisers_forget_at_each_fades_start_and_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    updates_before: dict[int, list[int]] = {}  # by optimiser: the critic's, the generator's
    original = steps.update

    def spy(optimiser: steps.SkippingAdam, *rest: Any) -> Tensor:
        states = optimiser.state.values()
        before = max((int(state["step"].item()) for state in states), default=0)
        updates_before.setdefault(id(optimiser), []).append(before)
        return original(optimiser, *rest)

    monkeypatch.setattr(steps, "update", spy)
    _run(1, _settings())(_store(tmp_path), Silent())
    since_reset = [0, 1, 2] * 3 + [*range(6)] * 2
    assert list(updates_before.values()) == [since_reset, since_reset]


def test_the_average_halves_its_distance_in_a_half_life(tmp_path: Path) -> None:
    settings = _settings(ema_half_life_kimg=0.008)
    gan = phases._gan(settings, build_generator(settings, _PX, _CHANNELS), [], 1, "cpu")
    start, average = gan.generator.blocks[0], gan.average.blocks[0]
    assert isinstance(start, GeneratorStart) and isinstance(average, GeneratorStart)
    weight, kept = start.conv.bias, average.conv.bias
    with torch.no_grad():
        weight.add_(1.0)
    steps.update_ema(gan, minibatch=4)
    steps.update_ema(gan, minibatch=4)
    torch.testing.assert_close(kept, torch.full_like(kept, 0.5))


def test_bfloat16_trains(tmp_path: Path) -> None:
    result = _run(3, _settings(precision="bfloat16"))(_store(tmp_path), Silent())
    assert all(value.dtype == torch.float32 for value in result.generator_weights.values())
    assert all(torch.isfinite(value).all() for value in result.generator_weights.values())


@pytest.mark.parametrize("phase", [1, 2, 3])
def test_a_phase_that_goes_on_in_another_precision_says_so(
    phase: int,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    run, flags = _run(phase, _settings()), {"avx512_bf16": True}
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: flags, raising=False)
    for stop in (2, 4):
        with pytest.raises(StopRequested):
            run(_store(tmp_path), StopAt(stop))
    assert not caplog.records
    flags["avx512_bf16"] = False
    assert run(_store(tmp_path), Silent()).precision == "float32"
    (said,) = (record.getMessage() for record in caplog.records)
    assert said.startswith(f"phase {phase}: begun in bfloat16, goes on in float32")
    assert "gan.precision: bfloat16, set before" in said


def test_phase_1_learns_a_simple_distribution(tmp_path: Path) -> None:
    settings = _settings(
        base_px=6,
        fmaps=(6, 4),
        learning_rate=1e-2,
        minibatch=8,
        phase_1={"fade_images": 240, "stable_images": 480},
        ema_half_life_kimg=0.1,
    )
    bright = torch.full((4, _CHANNELS, _PX, _PX), -1.0)
    bright[:, 0, :, : _PX // 2] = 0.8  # the left half of the first channel
    result = _train_phase_1(settings, bright, tmp_path)
    generator = build_generator(settings, _PX, _CHANNELS)
    generator.load_state_dict(result.generator_weights)
    made = generator(torch.randn(32, 4, generator=torch.Generator().manual_seed(0))).mean(0)
    left, right = made[0, :, :4].mean().item(), made[0, :, -4:].mean().item()
    assert left > 0.3
    assert right < -0.5
    assert made[1:].mean().item() < -0.5

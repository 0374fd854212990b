"""The loop that all three phases share: steps, records and states.

Losses are read from the device only when a record is due, about 200 times a stretch.
"""

from __future__ import annotations

import logging
from typing import Any

from torch import Tensor

from gansfer.gan.real_batches import downsample
from gansfer.gan.schedule import Moment, Schedule, Stretch
from gansfer.gan.skipping import check_skipped, skipped_by_network, skipped_in_words
from gansfer.gan.steps import Gan, freeze, run_step
from gansfer.progress import StopRequested, Watch
from gansfer.training.checkpoint import CheckpointStore
from gansfer.training.precision import warn_of_another_precision

_log = logging.getLogger(__name__)
_RECORDS_PER_STRETCH = 200
_WATCHED = ("loss", "real_score", "fake_score", "gradient_norm")


def train(gan: Gan, schedule: Schedule, *, store: CheckpointStore, watch: Watch) -> None:
    """Run a phase to its end, or from its last checkpoint to its end.

    Args:
        gan: at the start of the phase; changed in place.
        schedule: the phase.
        store: where states are kept.
        watch: told of progress; may ask to stop.

    Raises:
        StopRequested: the watch asked to stop; the state has been saved.
        UserError: too many updates had a gradient that is not finite.
    """
    kept = store.load()
    step = 0
    if kept:
        where = f"phase {schedule.phase}"
        warn_of_another_precision(kept, gan.precision, where=where, setting="gan.precision")
        step = restore(gan, kept)
    for stretch in schedule.stretches:
        end = stretch.first_step + stretch.n_steps
        if step >= end:
            continue
        if step == stretch.first_step and stretch.resets_optimisers:
            reset_optimisers(gan)
        real_sets = begin_stretch(gan, stretch)
        while step < end:
            moment = schedule.at(step)
            run_step(gan, moment, real_sets)
            step += 1
            watch.report(step, schedule.n_steps, "updates", _note(gan, moment))
            if record_is_due(moment):
                gan.records.append(take_record(gan, moment, step))
                watch.record({**gan.records[-1], **_learning_rates(gan)})
                _refuse_skipping(gan, schedule, moment, step)
            save_if_due(gan, step, store, watch, finished=step == schedule.n_steps)


def begin_stretch(gan: Gan, stretch: Stretch) -> dict[str, list[Tensor]]:
    """Freeze what does not learn in a stretch.

    Args:
        gan: its generator is changed in place.
        stretch: the one that begins.

    Returns:
        By critic, its sets of real slices [N, C, H, H] at the stretch's side, for `run_step`.
    """
    freeze(gan.generator, stretch.trainable)
    return {
        name: [downsample(source, stretch.px) for source in critic.sources_nchw]
        for name, critic in gan.critics.items()
    }


def record_is_due(moment: Moment) -> bool:
    """True about 200 times in a stretch, always at the end of a cycle, and at the stretch's end."""
    n_cycles, done = moment.stretch.n_cycles, moment.cycle + 1
    due = done % max(1, n_cycles // _RECORDS_PER_STRETCH) == 0 or done == n_cycles
    return due and moment.generator_learns


def take_record(gan: Gan, moment: Moment, step: int) -> dict[str, Any]:
    """Means since the last record as plain numbers; `skipped` counts from the phase's start."""
    record: dict[str, Any] = {
        "step": step,
        "images": moment.images_seen + moment.stretch.minibatch,
        "level_px": moment.stretch.px,
    }
    if moment.stretch.fades:
        record["alpha"] = moment.alpha
    for name, sums in gan.sums.items():
        totals, updates = sums.tolist()
        for what, total, n in zip(_WATCHED, totals, updates, strict=False):
            record[f"{what}_{name}"] = total / n if n else None
        record[f"skipped_{name}"] = int(gan.skipped[name].item())
    gan.sums.clear()
    return record


def _learning_rates(gan: Gan) -> dict[str, float]:
    optimisers = {"generator": gan.optimiser}
    optimisers |= {name: critic.optimiser for name, critic in gan.critics.items()}
    return {f"learning_rate_{name}": one.param_groups[0]["lr"] for name, one in optimisers.items()}


def _refuse_skipping(gan: Gan, schedule: Schedule, moment: Moment, step: int) -> None:
    """Log what has been skipped at a stretch's end; raise a UserError where it is too much."""
    where = f"phase {schedule.phase}, {moment.stretch.px} px"
    check_skipped(
        gan.records,
        schedule.updates,
        gan.max_skipped_fraction,
        where=where,
        learning_rate=gan.optimiser.param_groups[0]["lr"],
        finished=step == schedule.n_steps,
    )
    skipped = skipped_by_network(gan.records)
    if any(skipped.values()) and step == moment.stretch.first_step + moment.stretch.n_steps:
        _log.warning("%s: %s", where, skipped_in_words(skipped, schedule.updates))


def save_if_due(
    gan: Gan, step: int, store: CheckpointStore, watch: Watch, *, finished: bool
) -> None:
    """Save when the store says so, or when asked to stop; then stop.

    Raises:
        StopRequested: the watch asked to stop before the phase was finished.
    """
    stopping = watch.stopping() and not finished
    if stopping or store.due():
        store.save(step, state_of(gan, step))
    if stopping:
        raise StopRequested


def reset_optimisers(gan: Gan) -> None:
    """Forget every moment, as the official code does where a fade starts and ends."""
    gan.optimiser.state.clear()
    for critic in gan.critics.values():
        critic.optimiser.state.clear()


def state_of(gan: Gan, step: int) -> dict[str, Any]:
    """Everything that a resumed run needs to equal an undisturbed one."""
    return {
        "step": step,
        "precision": gan.precision,
        "generator": gan.generator.state_dict(),
        "average": gan.average.state_dict(),
        "optimiser": gan.optimiser.state_dict(),
        "critics": {
            name: {
                "network": critic.network.state_dict(),
                "optimiser": critic.optimiser.state_dict(),
            }
            for name, critic in gan.critics.items()
        },
        "random": gan.random.get_state(),
        "sums": dict(gan.sums),
        "skipped": dict(gan.skipped),
        "records": list(gan.records),
    }


def restore(gan: Gan, state: dict[str, Any]) -> int:
    """Put a saved state back; returns the steps that were done."""
    gan.generator.load_state_dict(state["generator"])
    gan.average.load_state_dict(state["average"])
    gan.optimiser.load_state_dict(state["optimiser"])
    for name, kept in state["critics"].items():
        gan.critics[name].network.load_state_dict(kept["network"])
        gan.critics[name].optimiser.load_state_dict(kept["optimiser"])
    gan.random.set_state(state["random"])
    sums = {name: value.to(gan.device) for name, value in state["sums"].items()}
    # A state from before each loss had its own count: one record is of fewer updates.
    gan.sums = {name: value for name, value in sums.items() if value.dim() == 2}
    gan.skipped = {name: value.to(gan.device) for name, value in state["skipped"].items()}
    gan.records = list(state["records"])
    return int(state["step"])


def _note(gan: Gan, moment: Moment) -> str:
    note = f"{moment.stretch.px} px"
    if moment.stretch.fades:
        note += f", fading in {moment.alpha:.2f}"
    skipped = sum(skipped_by_network(gan.records).values())
    return f"{note}, {skipped} updates skipped" if skipped else note

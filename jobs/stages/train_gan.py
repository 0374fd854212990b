"""The stage `train_gan`: the three phases of one cell, each with products of its own.

A phase whose products are of the current settings and inputs is not run again, so a changed phase 3
leaves phases 1 and 2 alone.

Legend: K slices, C channels, S structures, H W rows and columns.
"""

from __future__ import annotations

import hashlib
import json
import logging
from dataclasses import dataclass
from typing import Any

import torch
from safetensors.torch import load, load_file, save_file

from gansfer.atomic import replacing, write_json, write_json_lines
from gansfer.cohort.encode import ChannelCode
from gansfer.drawing.losses import loss_curves
from gansfer.drawing.slices import sample_grid
from gansfer.gan.phases import PhaseResult, train_phase_1, train_phase_2, train_phase_3
from gansfer.gan.sample import draw_latents, sample
from gansfer.progress import Watch
from gansfer.sealed import is_intact, seal, unsealed
from jobs.stages.context import Context, Outcome
from jobs.stages.labelling import Labelling
from jobs.store.manifest import file_digests

State = dict[str, torch.Tensor]
_GRID_SLICES = 40

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class _InPhase:
    """The task's watch, with the phase named in front of every note."""

    watch: Watch
    phase: int

    def report(self, done: int, total: int, unit: str, note: str = "") -> None:
        self.watch.report(done, total, unit, f"phase {self.phase}, {note}")

    def stopping(self) -> bool:
        return self.watch.stopping()


def train_gan(context: Context) -> Outcome:
    """Train one GAN through its three phases (II.B)."""
    data, gan = context.data, context.experiment.gan
    labelled_kchw, n_clipped_c = data.encoded_group()
    code = data.code
    write_json(context.files.code, code.to_dict())
    labelled = torch.from_numpy(labelled_kchw)
    pool = torch.from_numpy(data.encoded_pool())
    labelling = Labelling.of_cell(context)
    no_ingredient = {"phase_1", "phase_2", "phase_3", "max_skipped_fraction"}
    networks = gan.model_dump(mode="json", exclude=no_ingredient)
    others = {key: kept for key, kept in context.task.settings.items() if key != "gan"}
    basis: list[Any] = [others, networks, context.input_digest("prepare")]

    def run(phase: int, settings: Any, train: Any) -> tuple[State, dict[str, State]]:
        basis.append(settings.model_dump(mode="json"))
        identity = hashlib.sha256(json.dumps([context.task.id, *basis]).encode()).hexdigest()
        store = context.store(f"phase-{phase}", identity)
        kept = _kept_phase(context, phase, identity)
        if kept is not None:
            store.clear()  # of a process that was killed when the phase was written
            return kept
        result = train(
            seed=context.seed_for("phase", phase),
            store=store,
            watch=_InPhase(context.watch, phase),
            device=context.device,
        )
        _write_phase(context, phase, identity, result, code, labelling)
        store.clear()
        return result.generator_state, result.critics

    state_1, _ = run(1, gan.phase_1, lambda **how: train_phase_1(gan, labelled, **how))
    state_2, critics = run(2, gan.phase_2, lambda **how: train_phase_2(gan, state_1, pool, **how))
    run(
        3,
        gan.phase_3,
        lambda **how: train_phase_3(
            gan,
            state_2,
            critics["image"],
            pool,
            labelled[:, 1:],
            _selftaught(context, state_2),
            **how,
        ),
    )
    products = context.files.relative(
        context.files.code, *(context.files.phase(phase).generator for phase in (1, 2, 3))
    )
    facts = {
        "training_subjects": list(data.group_ids),
        "pool_subjects": len(data.pool_ids),
        "pool_holds_test_subjects": not context.experiment.cohort.exclude_test_from_unlabelled,
        "voxels_clipped_by_channel": n_clipped_c,
    }
    return Outcome(products, facts)


def _selftaught(context: Context, generator_state: State) -> torch.Tensor:
    """Label channels [K, S, H, W] of the phase-2 generator, drawn once and stored (II.B)."""
    path = context.files.phase(2).selftaught
    gan = context.experiment.gan
    n = gan.phase_3.selftaught_slices
    if path.exists() and is_intact(path):
        kept = load(unsealed(path))["channels"]
        if len(kept) == n:
            return kept.float()
    latents = draw_latents(n, gan.latent_size, context.seed_for("selftaught"))
    generator = context.generator(generator_state)
    channels = sample(generator, latents, device=context.device, watch=context.watch)
    halved = channels[:, 1:].half().contiguous()
    with replacing(path) as aside:
        save_file({"channels": halved}, aside)
        seal(aside)
    return halved.float()


def _kept_phase(
    context: Context, phase: int, identity: str
) -> tuple[State, dict[str, State]] | None:
    files = context.files.phase(phase)
    try:
        kept = json.loads(files.identity.read_text())
    except (FileNotFoundError, ValueError):  # none, or damaged
        return None
    if kept["identity"] != identity:
        return None
    written = kept.get("files", {})  # an earlier version kept no digests
    if file_digests(files.folder, [name for name in written if (files.folder / name).exists()]) != (
        written
    ):
        _log.warning("%s: damaged since it was written; phase %d is run again", files.folder, phase)
        return None
    critics = {name: load_file(path) for name, path in files.critics().items()}
    return load_file(files.generator), critics


def _write_phase(
    context: Context,
    phase: int,
    identity: str,
    result: PhaseResult,
    code: ChannelCode,
    labelling: Labelling,
) -> None:
    """Write the phase's weights, log and pictures; its identity last."""
    files = context.files.phase(phase)
    files.identity.unlink(missing_ok=True)
    files.selftaught.unlink(missing_ok=True)
    weights = {files.generator: result.generator_state}
    weights |= {files.critic(name): state for name, state in result.critics.items()}
    for path, state in weights.items():
        with replacing(path) as aside:
            save_file({key: value.contiguous() for key, value in state.items()}, aside)
    write_json_lines(files.log, result.records)
    loss_curves(files.picture("losses"), result.records)
    _write_samples(context, phase, result.generator_state, code, labelling)
    digests = file_digests(files.folder, [path.name for path in weights])
    write_json(files.identity, {"identity": identity, "phase": phase, "files": digests})


def _write_samples(
    context: Context, phase: int, state: State, code: ChannelCode, labelling: Labelling
) -> None:
    """Draw the same latents after every phase, with the labels that postprocessing gives them."""
    gan = context.experiment.gan
    latents = draw_latents(_GRID_SLICES, gan.latent_size, context.seed_for("sample grid"))
    channels = sample(context.generator(state), latents, device=context.device)
    image_khw, contrast_kshw = code.decode(channels.numpy())
    label_khw = labelling.label(image_khw, contrast_kshw).label_khw
    order = labelling.slice_index(image_khw).argsort(kind="stable")
    sample_grid(
        context.files.phase(phase).picture("samples"),
        image_khw[order],
        label_khw[order],
        context.cohort.structures,
        title=f"{context.task.id}: phase {phase}",
        columns=10,
    )

"""The stage `train_gan`: the three phases of one cell, each with products of its own.

A phase whose products are of the current settings and inputs is not run again, so a changed phase 3
leaves phases 1 and 2 alone.

Legend: K slices, C channels, S structures, H W rows and columns.
"""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from safetensors.torch import load, load_file, save_file

from gansfer.atomic import replacing, write_json, write_json_lines, write_text
from gansfer.augmentation.copies import with_deformed_copies
from gansfer.cohort.encode import ChannelCode
from gansfer.cohort.training_data import LabelledVolumes, TrainingData, fit_group_code
from gansfer.drawing.loss_curves import loss_curves
from gansfer.drawing.slices import sample_grid
from gansfer.gan.networks import load_generator
from gansfer.gan.phases import Phase, PhaseResult, Weights, train_phase
from gansfer.gan.sample import draw_latents
from gansfer.gan.sequence import PhaseWeights, selftaught_slices, train_in_phases
from gansfer.gan_settings import PHASES
from gansfer.progress import Watch
from gansfer.quality.failures import generator_failure, variety_ratio
from gansfer.sealed import is_intact, seal, unsealed
from gansfer.synthesis.generate import decoded_slices
from gansfer.synthesis.labelling import Labelling
from gansfer.volumes import as_slices
from jobs.stages.context import Context, Outcome
from jobs.stages.inputs import (
    cell_labelling,
    checkpoints,
    read_cohort,
    training_data,
)
from jobs.store.manifest import file_digests
from jobs.store.task_files import PICTURES_OF_A_PHASE

_GRID_SLICES = 40
_KEPT = {"identity", "phase", "files", "pictures"}  # what a phase's file may say

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

    def record(self, values: Mapping[str, object]) -> None:
        self.watch.record({**values, "phase": self.phase})


def train_gan(context: Context) -> Outcome:
    """Train one GAN through its three phases (II.B)."""
    data, gan = training_data(context, read_cohort(context)), context.experiment.gan
    structures, encoding = data.cohort.structures, context.experiment.cohort.encoding
    code = fit_group_code(data.group, data.pool_images_mzhw, structures, encoding)
    write_json(context.files.code, code.to_dict())
    labelled_kchw, n_clipped_c = data.group.encoded(code)
    labelling = cell_labelling(context, data, code)
    no_ingredient = {"phase_1", "phase_2", "phase_3", "max_skipped_fraction", "labelled_copies"}
    if gan.penalty_every == 1:  # as phases were known before it could be another
        no_ingredient.add("penalty_every")
    networks = gan.model_dump(mode="json", exclude=no_ingredient)
    of_copies = {"gan", "augmentation"}
    others = {key: kept for key, kept in context.task.settings.items() if key not in of_copies}
    cohort_digest = context.storage.digest(context.plan.by_id["prepare"])
    basis: list[Any] = [others, networks, cohort_digest]
    settings = {1: gan.phase_1, 2: gan.phase_2, 3: gan.phase_3}
    with_copies = 2 if gan.phase_2.coupling_weight > 0 else 3  # the first phase that knows them

    def run(phase: int, prepare: Callable[..., Phase]) -> PhaseWeights:
        if phase == with_copies and gan.labelled_copies > 0:
            basis.append([gan.labelled_copies, context.task.settings["augmentation"]])
        # Without a rate of its own, which would be null, as phases were known before they had one.
        basis.append(settings[phase].model_dump(mode="json", exclude_none=True))
        identity = hashlib.sha256(json.dumps([context.task.id, *basis]).encode()).hexdigest()
        store = checkpoints(context, f"phase-{phase}", identity)
        kept = _kept_phase(context, phase, identity, code, labelling)
        if kept is not None:
            store.clear()  # of a process that was killed when the phase was written
            return kept
        prepared = prepare(seed=context.seed_for("phase", phase), device=context.device)
        result = train_phase(prepared, store=store, watch=_InPhase(context.watch, phase))
        _write_phase(context, phase, identity, result, code, labelling)
        store.clear()
        return PhaseWeights(result.generator_weights, result.critics)

    train_in_phases(
        gan,
        torch.from_numpy(labelled_kchw),
        _with_copies(context, data, code, labelled_kchw),
        torch.from_numpy(code.encode_images(data.pool_images_mzhw)),
        run,
        lambda weights: _selftaught(context, weights),
    )
    second = context.files.phase(2)
    if not second.selftaught.exists():
        # It was damaged and trained again, and phase 3, which was whole, has not asked for them.
        _selftaught(context, load_file(second.generator))
    products = context.files.relative(
        context.files.code, *(context.files.phase(phase).generator for phase in settings)
    )
    facts = {
        "training_subjects": list(data.roles.group_ids),
        "pool_subjects": len(data.roles.pool_ids),
        "pool_holds_test_subjects": not context.experiment.cohort.exclude_test_from_unlabelled,
        "voxels_clipped_by_channel": n_clipped_c,
        **_facts_of_phases(context),
    }
    phases = [context.files.phase(phase) for phase in settings]
    pictures = [phase.picture(kind) for phase in phases for kind in PICTURES_OF_A_PHASE]
    return Outcome(products, facts, context.files.relative(*pictures))


def _with_copies(
    context: Context, data: TrainingData, code: ChannelCode, labelled_kchw: npt.NDArray[np.float32]
) -> torch.Tensor:
    """What D_S and D_C know: the group's slices and, where settings ask for it, deformed ones."""
    n_copies = context.experiment.gan.labelled_copies
    if n_copies == 0:
        return torch.from_numpy(labelled_kchw)
    images_nzhw, labels_nzhw = with_deformed_copies(
        data.group.image_nzhw,
        data.group.label_nzhw,
        n_copies,
        context.experiment.augmentation,
        data.cohort.spacing_zhw_mm[1],
        context.seed_for("labelled copies"),
    )
    white_n = np.tile(data.group.white_matter_n, 1 + n_copies)
    return torch.from_numpy(LabelledVolumes(images_nzhw, labels_nzhw, white_n).encoded(code)[0])


def _selftaught(context: Context, generator_weights: Weights) -> torch.Tensor:
    """Slices that the generator teaches itself with, drawn once and stored (II.B)."""
    path = context.files.phase(2).selftaught
    experiment = context.experiment
    n = experiment.gan.phase_3.selftaught_slices
    if path.exists() and is_intact(path):
        kept = load(unsealed(path)).get("slices")  # earlier versions kept channels alone
        if kept is not None and len(kept) == n:
            return kept.float()
    slices = selftaught_slices(
        load_generator(experiment.gan, experiment.slice_px, generator_weights),
        n,
        context.seed_for("selftaught"),
        device=context.device,
        watch=context.watch,
    )
    with replacing(path) as aside:
        save_file({"slices": slices}, aside)
        seal(aside)
    return slices.float()


def _kept_phase(
    context: Context, phase: int, identity: str, code: ChannelCode, labelling: Labelling
) -> PhaseWeights | None:
    """A phase that an earlier attempt has ended; pictures damaged since are drawn again."""
    files = context.files.phase(phase)
    try:
        kept = json.loads(files.identity.read_text())
    except (FileNotFoundError, ValueError):  # none, or damaged
        return None
    if not isinstance(kept, dict) or kept.get("identity") != identity or kept.keys() - _KEPT:
        return None
    if not _as_written(files.folder, kept.get("files", {})):
        _log.warning("%s: damaged since it was written; phase %d is run again", files.folder, phase)
        return None
    if not files.generator.exists():
        return None
    critics = {name: load_file(path) for name, path in files.critics().items()}
    generator_weights = load_file(files.generator)
    if not _as_written(files.folder, kept.get("pictures", {})):
        records = [json.loads(line) for line in files.log.read_text().splitlines()]
        loss_curves(files.picture("losses"), records)
        _write_samples(context, phase, generator_weights, code, labelling)
    there = [path.name for path in (files.generator, files.facts, files.log) if path.exists()]
    _write_identity(context, phase, identity, [*dict.fromkeys([*kept.get("files", {}), *there])])
    return PhaseWeights(generator_weights, critics)


def _as_written(folder: Path, digests: Mapping[str, str]) -> bool:
    """Whether all these files are there as they were; an earlier version kept fewer digests."""
    there = [name for name in digests if (folder / name).exists()]
    return file_digests(folder, there) == digests


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
    for stale in (files.selftaught, *files.critics().values()):
        stale.unlink(missing_ok=True)
    weights = {files.generator: result.generator_weights}
    weights |= {files.critic(name): state for name, state in result.critics.items()}
    for path, state in weights.items():
        with replacing(path) as aside:
            save_file({key: value.contiguous() for key, value in state.items()}, aside)
    write_json_lines(files.log, result.records)
    loss_curves(files.picture("losses"), result.records)
    variety = _write_samples(context, phase, result.generator_weights, code, labelling)
    images = result.records[-1]["images"] if result.records else 0
    _InPhase(context.watch, phase).record({"images": images, "samples": files.picture("samples")})
    facts = {"skipped_updates": result.skipped_updates, "variety": variety}
    write_json(files.facts, {**facts, "precision": result.precision})
    written = [path.name for path in (*weights, files.facts, files.log)]
    _write_identity(context, phase, identity, written)


def _write_identity(context: Context, phase: int, identity: str, written: Sequence[str]) -> None:
    """Say what a phase was trained with and what its files hold, unless just that is said.

    Raises:
        FileNotFoundError: one of them is gone, as with a storage that was away for a while.
    """
    files = context.files.phase(phase)
    pictures = [files.picture(kind).name for kind in PICTURES_OF_A_PHASE]
    said = {
        "identity": identity,
        "phase": phase,
        "files": file_digests(files.folder, written),
        "pictures": file_digests(files.folder, pictures),
    }
    text = json.dumps(said, indent=1) + "\n"
    if not files.identity.exists() or files.identity.read_bytes() != text.encode():
        write_text(files.identity, text)


def _facts_of_phases(context: Context) -> dict[str, Any]:
    """Skipped updates and variety of each phase, and which of them are no results."""
    paths = {n: context.files.phase(n).facts for n in PHASES}
    # A phase that an earlier version trained has none.
    facts = {n: json.loads(path.read_text()) for n, path in paths.items() if path.exists()}
    said = {n: generator_failure(one["variety"]) for n, one in facts.items()}
    return {
        "phases": facts,
        "failed_quality": [f"phase {n} {failure}" for n, failure in said.items() if failure],
    }


def _write_samples(
    context: Context, phase: int, state: Weights, code: ChannelCode, labelling: Labelling
) -> float | None:
    """Draw the same latents after every phase, with the labels that postprocessing gives them.

    Returns:
        The variety of their slices, as a multiple of that of real slices.
    """
    experiment = context.experiment
    latents = draw_latents(
        _GRID_SLICES, experiment.gan.latent_size, context.seed_for("sample grid")
    )
    generator = load_generator(experiment.gan, experiment.slice_px, state)
    image_khw, contrast_kshw = decoded_slices(generator, latents, code, device=context.device)
    labelled = labelling.label(image_khw, contrast_kshw)
    order = labelled.slice_index_k.argsort(kind="stable")
    sample_grid(
        context.files.phase(phase).picture("samples"),
        image_khw[order],
        labelled.label_khw[order],
        code.structures,
        title=f"{context.task.id}: phase {phase}",
        columns=10,
    )
    real_nhw = as_slices(labelling.numbered_nzhw)
    return variety_ratio(image_khw, real_nhw)

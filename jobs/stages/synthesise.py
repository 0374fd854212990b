"""The stage `synthesise`: each phase's generator draws slices, which are labelled and filtered.

Legend: K slices of a phase, S structures, N real slices, H W rows and columns.
"""

from __future__ import annotations

import json
from typing import Any

import numpy as np

from gansfer.cohort.encode import ChannelCode
from gansfer.cohort.training_data import TrainingData
from gansfer.gan.sample import draw_latents
from gansfer.gan_settings import PHASES
from gansfer.progress import StopRequested
from gansfer.synthesis.generate import BLOCK_SLICES, filtered_set, make_slices
from gansfer.synthesis.labelling import Labelling
from gansfer.synthesis.synthetic_sets import SyntheticSet, write_synthetic
from jobs.stages.context import Context, Outcome
from jobs.stages.describe import describe_synthesis
from jobs.stages.inputs import (
    cell_labelling,
    read_code,
    read_cohort,
    read_generator,
    training_data,
)
from jobs.store.partial_results import Parts, remove_parts
from jobs.store.task_files import shown_of_synthesis


def synthesise(context: Context) -> Outcome:
    """Each phase's generator draws slices, which are labelled, scored and filtered (III.B).

    Blocks of slices, and then phases, are kept aside as they are done: a killed task loses one
    block.
    """
    data, code = training_data(context, read_cohort(context)), read_code(context)
    labelling = cell_labelling(context, data, code)
    parts = Parts(context.files.folder, context.identity)
    facts: dict[str, Any] = {}
    for phase in PHASES:
        path, written = context.files.slices(phase), f"phase-{phase}"
        if not (path.exists() and parts.has(written)):
            made = _make(context, data, code, labelling, phase, parts)
            attributes: dict[str, str | int] = {
                "phase": phase,
                "task": context.task.id,
                "structures": ", ".join(data.cohort.structures),
            }
            write_synthetic(path, made, attributes)
            parts.keep(written, {"facts": np.array(json.dumps(_facts(made)))})
            for name in _block_names(len(made), phase).values():
                parts.drop(name)
        facts[f"phase_{phase}"] = json.loads(str(parts.read(written)["facts"]))
    describe_synthesis(context, data, code, labelling)
    remove_parts(context.files.folder)
    files = context.files
    shown = files.relative(*shown_of_synthesis(files))
    return Outcome(files.relative(*map(files.slices, PHASES)), facts, shown)


def _block_names(n_slices: int, phase: int) -> dict[int, str]:
    """Part that each block is kept in, by its first slice."""
    starts = range(0, n_slices, BLOCK_SLICES)
    return {start: f"phase-{phase}-from-{start:06d}" for start in starts}


def _facts(made: SyntheticSet) -> dict[str, Any]:
    return {
        "slices": len(made),
        "kept": int(made.kept_k.sum()),
        "score_median": float(np.median(made.score_k)),
        "labelled_fraction": float((made.label_khw > 0).mean()),
    }


def _make(
    context: Context,
    data: TrainingData,
    code: ChannelCode,
    labelling: Labelling,
    phase: int,
    parts: Parts,
) -> SyntheticSet:
    """All slices of one phase, a block at a time: the contrasts of all would be too many.

    The same latents in every phase, so that Fig 6 and 7 can follow one from phase to phase.
    """
    settings = context.experiment.synthesis
    n, seed = settings.slices_per_phase, context.seed_for("latents")
    latents = draw_latents(n, context.experiment.gan.latent_size, seed)
    generator = read_generator(context, phase)
    blocks = []
    for start, name in _block_names(n, phase).items():
        if not parts.has(name):
            if context.watch.stopping():
                raise StopRequested
            block = latents[start : start + BLOCK_SLICES]
            slices = make_slices(
                generator, block, code, labelling, data.known_images_khw, device=context.device
            )
            parts.keep(name, slices)
        blocks.append(parts.read(name))
        context.watch.report(min(start + BLOCK_SLICES, n), n, "slices", f"phase {phase}")
    return filtered_set(blocks, settings.keep_percentile, seed)

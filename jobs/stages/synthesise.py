"""The stage `synthesise`: each phase's generator draws slices, which are labelled and filtered.

Legend: K slices of a phase, S structures, N real slices, H W rows and columns.
"""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import numpy.typing as npt
from safetensors.torch import load_file
from torch import Tensor

from gansfer.gan.networks import Generator
from gansfer.gan.sample import draw_latents, sample
from gansfer.progress import StopRequested
from gansfer.synthesis.neighbours import nearest
from gansfer.synthesis.realism import keep
from gansfer.synthesis.synthetic_sets import SyntheticSet, write_synthetic
from jobs.stages.context import Context, Outcome
from jobs.stages.labelling import Labelling
from jobs.stages.synthesis_description import describe_synthesis
from jobs.stages.synthesis_pictures import PHASES
from jobs.store.partial_results import Parts, remove_parts

_BLOCK_SLICES = 500

Slices = dict[str, npt.NDArray]


def synthesise(context: Context) -> Outcome:
    """Each phase's generator draws slices, which are labelled, scored and filtered (III.B).

    Blocks of slices, and then phases, are kept aside as they are done: a killed task loses one
    block.
    """
    labelling = Labelling.of_cell(context)
    (gan,) = context.files_needed("train_gan")
    parts = Parts(context.files.folder, context.identity)
    facts: dict[str, Any] = {}
    for phase in PHASES:
        path, written = context.files.slices(phase), f"phase-{phase}"
        if not (path.exists() and parts.has(written)):
            state = load_file(gan.phase(phase).generator)
            made = _make(context, labelling, state, phase, parts)
            attributes: dict[str, str | int] = {
                "phase": phase,
                "task": context.task.id,
                "structures": ", ".join(context.cohort.structures),
            }
            write_synthetic(path, made, attributes)
            parts.keep(written, {"facts": np.array(json.dumps(_facts(made)))})
            for name in _block_names(len(made), phase).values():
                parts.drop(name)
        facts[f"phase_{phase}"] = json.loads(str(parts.read(written)["facts"]))
    describe_synthesis(context, labelling)
    remove_parts(context.files.folder)
    return Outcome(context.files.relative(*map(context.files.slices, PHASES)), facts)


def _block_names(n_slices: int, phase: int) -> dict[int, str]:
    """Part that each block is kept in, by its first slice."""
    starts = range(0, n_slices, _BLOCK_SLICES)
    return {start: f"phase-{phase}-from-{start:06d}" for start in starts}


def _facts(made: SyntheticSet) -> dict[str, Any]:
    return {
        "slices": len(made),
        "kept": int(made.kept_k.sum()),
        "score_median": float(np.median(made.score_k)),
        "labelled_fraction": float((made.label_khw > 0).mean()),
    }


def _make(
    context: Context, labelling: Labelling, state: dict[str, Any], phase: int, parts: Parts
) -> SyntheticSet:
    """All slices of one phase, a block at a time: the contrasts of all would be too many.

    The same latents in every phase, so that Fig 6 and 7 can follow one from phase to phase.
    """
    gan, settings = context.experiment.gan, context.experiment.synthesis
    n, seed = settings.slices_per_phase, context.seed_for("latents")
    latents = draw_latents(n, gan.latent_size, seed)
    generator = context.generator(state)
    blocks = []
    for start, name in _block_names(n, phase).items():
        if not parts.has(name):
            if context.watch.stopping():
                raise StopRequested
            block = latents[start : start + _BLOCK_SLICES]
            parts.keep(name, _made_of(context, labelling, generator, block))
        blocks.append(parts.read(name))
        context.watch.report(min(start + _BLOCK_SLICES, n), n, "slices", f"phase {phase}")
    slices = {key: np.concatenate([block[key] for block in blocks]) for key in blocks[0]}
    return SyntheticSet(
        **slices,
        kept_k=keep(slices["score_k"], settings.keep_percentile),
        latent_seed_k=np.full(n, seed),
        latent_index_k=np.arange(n),
    )


def _made_of(
    context: Context, labelling: Labelling, generator: Generator, latents: Tensor
) -> Slices:
    """Slices of some latents: drawn, labelled, and scored by the nearest real image (III.B)."""
    channels = sample(generator, latents, device=context.device)
    image_khw, contrast_kshw = context.data.code.decode(channels.numpy())
    labelled = labelling.label(image_khw, contrast_kshw)
    _, score_k = nearest(image_khw, context.data.known_images_khw)
    return {
        "image_khw": image_khw,
        "label_khw": labelled.label_khw,
        "slice_index_k": labelled.slice_index_k,
        "score_k": score_k,
    }

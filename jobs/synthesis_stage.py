"""The stage `synthesise`: each phase's generator draws slices, which are labelled and filtered.

Legend: K slices of a phase, S structures, N real slices, H W rows and columns.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from safetensors.torch import load_file

from gansfer.gan.sample import draw_latents, sample
from gansfer.progress import StopRequested
from gansfer.synthesis.export import SyntheticSet, write_synthetic
from gansfer.synthesis.neighbours import nearest
from gansfer.synthesis.realism import keep
from jobs.context import Context, Outcome
from jobs.labelling import Labelled, Labelling
from jobs.synthesis_description import describe_synthesis
from jobs.training_data import as_slices

_BLOCK_SLICES = 500


def synthesise(context: Context) -> Outcome:
    """Each phase's generator draws slices, which are labelled, scored and filtered (III.B)."""
    settings, data = context.experiment.synthesis, context.data
    labelling = Labelling.of_cell(context)
    known_nhw = np.concatenate(
        [as_slices(data.pool_images_nzhw), as_slices(data.training_images_nzhw)]
    )
    gan_folder = context.storage.folder(context.needed("train_gan"))
    facts: dict[str, Any] = {}
    for phase in (1, 2, 3):
        state = load_file(gan_folder / f"phase-{phase}" / "generator.safetensors")
        image_khw, labelled = _draw(context, labelling, state, f"phase {phase}")
        _, score_k = nearest(image_khw, known_nhw, watch=context.watch)
        kept_k = keep(score_k, settings.keep_percentile)
        made = SyntheticSet(
            image_khw=image_khw,
            label_khw=labelled.label_khw,
            slice_index_k=labelled.slice_index_k,
            score_k=score_k,
            kept_k=kept_k,
            latent_seed_k=np.full(len(score_k), context.seed_for("latents")),
            latent_index_k=np.arange(len(score_k)),
        )
        attributes = {
            "phase": phase,
            "task": context.task.id,
            "structures": ", ".join(context.cohort.structures),
        }
        write_synthetic(context.folder / f"phase-{phase}.h5", made, attributes)
        facts[f"phase_{phase}"] = {
            "slices": len(kept_k),
            "kept": int(kept_k.sum()),
            "score_median": float(np.median(score_k)),
            "labelled_fraction": float((labelled.label_khw > 0).mean()),
        }
    describe_synthesis(context, labelling)
    return Outcome(tuple(f"phase-{phase}.h5" for phase in (1, 2, 3)), facts)


def _draw(
    context: Context, labelling: Labelling, state: dict[str, Any], note: str
) -> tuple[npt.NDArray[np.float32], Labelled]:
    """Draw and label the slices of one phase, a block at a time: contrasts of all are too many.

    The same latents in every phase, so that Fig 6 and 7 can follow one from phase to phase.
    """
    gan, n = context.experiment.gan, context.experiment.synthesis.slices_per_phase
    latents = draw_latents(n, gan.latent_size, context.seed_for("latents"))
    generator = context.generator(state)
    images, labels, indices = [], [], []
    for start in range(0, n, _BLOCK_SLICES):
        if context.watch.stopping():
            raise StopRequested
        block = latents[start : start + _BLOCK_SLICES]
        channels = sample(generator, block, device=context.device)
        image_khw, contrast_kshw = context.data.code.decode(channels.numpy())
        labelled = labelling.label(image_khw, contrast_kshw)
        images.append(image_khw)
        labels.append(labelled.label_khw)
        indices.append(labelled.slice_index_k)
        context.watch.report(min(start + _BLOCK_SLICES, n), n, "slices", note)
    return np.concatenate(images), Labelled(np.concatenate(labels), np.concatenate(indices))

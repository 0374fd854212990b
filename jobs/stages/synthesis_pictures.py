"""What a cell's synthetic slices look like: Fig. 3, 4, 6 and 7, drawn beside them.

They are pictures, not products: no task reads them and no digest covers them, so they can be drawn
again at any time for a task that is done (`gansfer pictures`).

Legend: K generated slices, S structures, Z slices of a volume, H W rows and columns.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt
from safetensors.torch import load_file

from gansfer.drawing.embedding import embedding_figure, same_latents_figure, tsne_of_slices
from gansfer.drawing.synthesis_figures import postprocessing_figure, rejected_figure
from gansfer.gan.sample import draw_latents, sample
from gansfer.gan.similar_latents import median_distance, similar_regions
from gansfer.progress import StopRequested
from gansfer.synthesis.postprocess import PostprocessSteps, postprocess_steps
from gansfer.synthesis.synthetic_sets import SyntheticSet, read_synthetic
from jobs.stages.context import Context
from jobs.stages.labelling import Labelling

PHASES = (1, 2, 3)
Sets = Mapping[int, SyntheticSet]

_REJECTED = 8
_EMBEDDED = 300  # latents of each phase in Fig. 6, and real slices at most
_SEARCHED = 4096  # latents of which Fig. 7 shows the nine most alike
_ANY = 200  # latents, all pairs of which tell how alike any two are
_STEPPED = 64  # slices of which Fig. 3 shows the one that the steps change most
_STEPS_SHOWN = 3  # structures in Fig. 3, as in the paper


def read_sets(context: Context) -> dict[int, SyntheticSet]:
    """Every slice of the task, by phase, rejected ones too."""
    return {phase: read_synthetic(context.files.slices(phase), kept_only=False) for phase in PHASES}


def draw_pictures(context: Context, sets: Sets, labelling: Labelling) -> None:
    """Write the four pictures into the task's folder.

    Args:
        context: a task of the stage `synthesise`.
        sets: of `read_sets`; the same latents in every phase.
        labelling: how the cell's slices were labelled.

    Raises:
        StopRequested: the watch asked to stop.
    """
    for draw in (_postprocessing, _rejected, _embedding, _latents):
        if context.watch.stopping():
            raise StopRequested
        context.watch.report(0, 1, "pictures", draw.__name__.strip("_"))
        draw(context, sets, labelling)


def _rejected(context: Context, sets: Sets, labelling: Labelling) -> None:
    """Fig. 4: of the last phase, those farthest from any real slice."""
    made = sets[PHASES[-1]]
    rejected = np.flatnonzero(~made.kept_k & np.isfinite(made.score_k))
    if len(rejected) == 0:
        return
    worst = rejected[np.argsort(-made.score_k[rejected], kind="stable")][:_REJECTED]
    text = f"the farthest {len(worst)} of {len(rejected)} ({len(made)} drawn)"
    rejected_figure(
        context.files.picture("rejected"),
        made.image_khw[worst].astype(np.float32),
        made.score_k[worst],
        f"Rejected after phase {PHASES[-1]}: {text}",
    )


def _embedding(context: Context, sets: Sets, labelling: Labelling) -> None:
    """Fig. 6: the group's real slices and the first latents' slices after each phase."""
    real_nzhw = context.cohort.images(context.data.group_ids)
    real_khw = real_nzhw.reshape(-1, *real_nzhw.shape[2:])
    spread = np.linspace(0, len(real_khw) - 1, min(_EMBEDDED, len(real_khw))).astype(int)
    finite_k = np.all([np.isfinite(made.score_k) for made in sets.values()], axis=0)
    shown = np.flatnonzero(finite_k)[:_EMBEDDED]
    real_n2, by_phase = tsne_of_slices(
        real_khw[spread],
        {f"phase {phase}": made.image_khw[shown] for phase, made in sets.items()},
        context.seed_for("t-SNE"),
    )
    embedding_figure(context.files.picture("embedding"), real_n2, by_phase)


def _latents(context: Context, sets: Sets, labelling: Labelling) -> None:
    """Fig. 7: the nine latents most alike, in two regions; structures must be in view."""
    first = sets[PHASES[0]]
    image_nhw = first.image_khw[:_SEARCHED].astype(np.float32)
    finite_n = np.isfinite(first.score_k[:_SEARCHED])
    labelled_n = (first.label_khw[:_SEARCHED] > 0).sum(axis=(1, 2))
    eligible_n = finite_n & (labelled_n >= np.median(labelled_n))
    image_nhw[~finite_n] = 0.0
    shown = min(9, len(image_nhw))
    region_rk = similar_regions(image_nhw, shown, min(2, int(eligible_n.sum())), eligible_n)
    same_latents_figure(
        context.files.picture("latents"),
        {f"phase {phase}": made.image_khw.astype(np.float32) for phase, made in sets.items()},
        {f"phase {phase}": made.label_khw for phase, made in sets.items()},
        region_rk,
        context.cohort.structures,
        _how_alike(image_nhw, finite_n, region_rk),
    )


def _how_alike(
    image_nhw: npt.NDArray[np.floating],
    finite_n: npt.NDArray[np.bool_],
    region_rk: npt.NDArray[np.integer],
) -> str:
    """Title of Fig. 7: the most alike need not be alike, so their distance beside any pairs'."""
    finite = np.flatnonzero(finite_n)
    any_k = finite[np.linspace(0, len(finite) - 1, min(_ANY, len(finite))).astype(int)]
    within = " and ".join(f"{median_distance(image_nhw[k]):.2f}" for k in region_rk)
    return (
        f"The {region_rk.shape[1]} latents most alike after phase 1, of {len(image_nhw)}: "
        f"median RMS difference {within}, of random pairs {median_distance(image_nhw[any_k]):.2f}"
    )


def _postprocessing(context: Context, sets: Sets, labelling: Labelling) -> None:
    """Fig. 3: of the slices with most structures, the one that the steps change most."""
    made, structures = sets[PHASES[-1]], context.cohort.structures
    n_present_k = np.array([len(np.unique(label_hw)) for label_hw in made.label_khw])
    n_present_k[~made.kept_k] = 0
    chosen = np.sort(np.argsort(-n_present_k, kind="stable")[:_STEPPED])
    image_khw, contrast_kshw = _drawn_again(context, made.latent_index_k[chosen])
    slice_index_k = made.slice_index_k[chosen]
    steps = postprocess_steps(
        image_khw, contrast_kshw, slice_index_k, labelling.mask_szhw, labelling.rule
    )
    most = int((steps.binarised_khw != steps.label_khw).sum(axis=(1, 2)).argmax())
    changed_s = [
        int(
            ((steps.binarised_khw[most] == s + 1) != (steps.label_khw[most] == s + 1)).sum()
            + (steps.binarised_khw[most] == s + 1).any()
        )
        for s in range(len(structures))
    ]
    order = np.argsort(changed_s, kind="stable")[::-1][:_STEPS_SHOWN]
    mask_shw = labelling.mask_szhw[:, slice_index_k[most]]
    postprocessing_figure(
        context.files.picture("postprocessing"),
        image_khw[most],
        steps.masked_kshw[most],
        _by_step(mask_shw, steps, most),
        structures,
        [structures[s] for s in sorted(order)],
        f"One slice of phase {PHASES[-1]} through postprocessing "
        f"(the one that it changes most of {len(chosen)})",
    )


def _drawn_again(
    context: Context, latent_index_k: npt.NDArray[np.integer]
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
    """Images [K, H, W] and contrasts [K, S, H, W] of some latents, which the files do not hold."""
    gan = context.experiment.gan
    (gan_files,) = context.files_needed("train_gan")
    latents = draw_latents(
        int(latent_index_k.max()) + 1, gan.latent_size, context.seed_for("latents")
    )
    generator = context.generator(load_file(gan_files.phase(PHASES[-1]).generator))
    channels = sample(generator, latents[latent_index_k], device=context.device)
    return context.data.code.decode(channels.numpy())


def _by_step(
    mask_shw: npt.NDArray[np.bool_], steps: PostprocessSteps, k: int
) -> dict[str, npt.NDArray[np.bool_]]:
    """Pixels of each structure after each step, under the letters of the paper's Fig. 3."""
    value_s11 = np.arange(1, len(mask_shw) + 1)[:, None, None]
    return {
        "A mask": mask_shw,
        "C binarised": steps.binarised_khw[k] == value_s11,
        "D closed, filled": steps.filled_khw[k] == value_s11,
        "E intensity gate": steps.gated_khw[k] == value_s11,
        "F filled, opened": steps.label_khw[k] == value_s11,
    }

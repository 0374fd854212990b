"""What lies beside a cell's synthetic slices: pictures and `quality.csv`, in the report later.

They are no products: no task reads them and no digest covers them. So a task that was done by an
earlier version gets them afterwards (`gansfer pictures`), and nothing becomes stale.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np

from gansfer.cohort.encode import ChannelCode
from gansfer.cohort.training_data import TrainingData
from gansfer.drawing.embedding import embedding_figure, same_latents_figure, tsne_of_slices
from gansfer.drawing.slices import slice_table
from gansfer.drawing.synthesis_figures import postprocessing_figure, rejected_figure
from gansfer.gan.sample import draw_latents
from gansfer.gan_settings import PHASES
from gansfer.progress import StopRequested, Watch
from gansfer.quality.examples import (
    evenly_spread,
    finite_in_every_phase,
    latents_alike,
    most_changed,
    nearest_pairs,
    with_most_structures,
    worst_rejected,
)
from gansfer.quality.measures import QualitySeeds, measure_quality
from gansfer.quality.quality_file import write_quality
from gansfer.quality.sets import RealSlices, real_slices, unlabelled_only
from gansfer.subjects import people_of
from gansfer.synthesis.generate import decoded_slices
from gansfer.synthesis.labelling import Labelling
from gansfer.synthesis.synthetic_sets import SyntheticSet, read_synthetic
from gansfer.volumes import as_slices
from jobs.experiment.plan import Plan, Task
from jobs.stages.context import Context
from jobs.stages.inputs import (
    cell_labelling,
    read_code,
    read_cohort,
    read_generator,
    training_data,
)
from jobs.store.ledger import Ledger
from jobs.store.manifest import file_digests
from jobs.store.storage import Storage
from jobs.store.task_files import shown_of_synthesis

Sets = Mapping[int, SyntheticSet]


def describe_again(plan: Plan, storage: Storage, watch: Watch) -> Iterator[Task]:
    """Draw and measure for every such task that is done, whatever is there; yield each."""
    ledger = Ledger(plan, storage)
    for task in plan.of_stage("synthesise"):
        if ledger.done(task):
            context = Context(plan, storage, task, watch)
            data, code = training_data(context, read_cohort(context)), read_code(context)
            describe_synthesis(context, data, code, cell_labelling(context, data, code))
            manifest, files = storage.read_manifest(task), context.files
            assert manifest is not None, f"{task.id} is done"
            shown = files.relative(*shown_of_synthesis(files))
            digests = file_digests(files.folder, shown)
            storage.write_manifest(task, {**manifest, "shown": digests})
            yield task


def describe_synthesis(
    context: Context, data: TrainingData, code: ChannelCode, labelling: Labelling
) -> None:
    """Draw and measure the slices that a task of the stage `synthesise` has written.

    Args:
        context: of the task.
        data: what its cell learns from.
        code: the code that its GAN was trained with.
        labelling: how its slices were labelled.

    Raises:
        StopRequested: the watch asked to stop.
    """
    sets = {phase: read_synthetic(context.files.slices(phase), kept_only=False) for phase in PHASES}
    real = _real_slices(data)
    pictures = {
        "Fig. 3": lambda: _draw_postprocessing(context, sets[PHASES[-1]], code, labelling),
        "Fig. 4": lambda: _draw_rejected(context, sets[PHASES[-1]]),
        "Fig. 6": lambda: _draw_embedding(context, sets, data),
        "Fig. 7": lambda: _draw_latents(context, sets, data.cohort.structures),
        "nearest pairs": lambda: _draw_nearest(context, sets, real),
    }
    for name, draw in pictures.items():
        if context.watch.stopping():
            raise StopRequested
        context.watch.report(0, 1, "pictures", name)
        draw()
    rows = measure_quality(
        sets,
        real,
        data.cohort.structures,
        data.cohort.spacing_zhw_mm,
        data.cohort.shape_zhw[0],
        QualitySeeds(
            wasserstein=context.seed_for("quality", "wasserstein"),
            variety=context.seed_for("quality", "variety"),
            people=context.seed_for("quality", "people"),
        ),
        context.watch,
    )
    write_quality(context.files.quality, rows)


def _real_slices(data: TrainingData) -> RealSlices:
    person_of = people_of(data.cohort.subjects)
    training_ids = data.roles.training_ids
    unlabelled_ids = unlabelled_only(data.roles.pool_ids, training_ids)
    return real_slices(
        data.cohort.images(unlabelled_ids),
        [person_of[one] for one in unlabelled_ids],
        data.training_images_nzhw,
        data.training_labels_nzhw,
        [person_of[one] for one in training_ids],
    )


def _draw_postprocessing(
    context: Context, made: SyntheticSet, code: ChannelCode, labelling: Labelling
) -> None:
    """Fig. 3. The files hold no contrasts, so the slices are drawn again, of their latents."""
    chosen = with_most_structures(made)
    latent_k = made.latent_index_k[chosen]
    latents = draw_latents(
        int(latent_k.max()) + 1, context.experiment.gan.latent_size, context.seed_for("latents")
    )
    generator = read_generator(context, PHASES[-1])
    image_khw, contrast_kshw = decoded_slices(
        generator, latents[latent_k], code, device=context.device
    )
    stepped = most_changed(image_khw, contrast_kshw, made.slice_index_k[chosen], labelling)
    postprocessing_figure(
        context.files.picture("postprocessing"),
        image_khw[stepped.k],
        stepped.contrast_shw,
        stepped.mask_by_step,
        code.structures,
        [code.structures[s] for s in stepped.shown],
        f"One slice of phase {PHASES[-1]} through postprocessing "
        f"(the one that it changes most of {len(chosen)})",
    )


def _draw_rejected(context: Context, made: SyntheticSet) -> None:
    """Fig. 4: of the last phase, those farthest from any real slice."""
    worst, n_rejected = worst_rejected(made)
    if n_rejected == 0:
        return
    text = f"the farthest {len(worst)} of {n_rejected} ({len(made)} drawn)"
    rejected_figure(
        context.files.picture("rejected"),
        made.image_khw[worst].astype(np.float32),
        made.score_k[worst],
        f"Rejected after phase {PHASES[-1]}: {text}",
    )


def _draw_embedding(context: Context, sets: Sets, data: TrainingData) -> None:
    """Fig. 6: the group's real slices and the first latents' slices after each phase."""
    real_khw = as_slices(data.group.image_nzhw)
    shown = finite_in_every_phase(sets)
    real_n2, by_phase = tsne_of_slices(
        real_khw[evenly_spread(len(real_khw))],
        {f"phase {phase}": made.image_khw[shown] for phase, made in sets.items()},
        context.seed_for("t-SNE"),
    )
    embedding_figure(context.files.picture("embedding"), real_n2, by_phase)


def _draw_latents(context: Context, sets: Sets, structures: tuple[str, ...]) -> None:
    """Fig. 7. Its title: the most alike need not be alike, so their distance beside any pairs'."""
    found = latents_alike(sets[PHASES[0]])
    within = " and ".join(f"{distance:.2f}" for distance in found.within_r)
    same_latents_figure(
        context.files.picture("latents"),
        {f"phase {phase}": made.image_khw.astype(np.float32) for phase, made in sets.items()},
        {f"phase {phase}": made.label_khw for phase, made in sets.items()},
        found.region_rk,
        structures,
        f"The {found.region_rk.shape[1]} latents most alike after phase 1, "
        f"of {found.n_searched}: median RMS difference {within}, "
        f"of random pairs {found.of_any:.2f}",
    )


def _draw_nearest(context: Context, sets: Sets, real: RealSlices) -> None:
    """The generated slices that are nearest to a real one, each above it, after each phase."""
    images, titles = [], []
    for phase, pairs in nearest_pairs(sets, real.image_nhw).items():
        images += [pairs.made_khw, pairs.real_khw]
        near, far = pairs.distance_k[0], pairs.distance_k[-1]
        titles += [f"phase {phase}", f"nearest real\nat {near:.1f} to {far:.1f}"]
    shown = len(images[0])
    slice_table(
        context.files.picture("nearest"),
        np.stack(images),
        None,
        (),
        f"The {shown} generated slices nearest to a real one, and that one",
        row_titles=titles,
        column_titles=[f"{place + 1}" for place in range(shown)],
        also_pdf=True,
    )

"""How much memory a task of each stage needs, from the experiment alone: an upper estimate."""

from __future__ import annotations

from jobs.experiment.cohort_section import PhantomImages, PropagationReferences
from jobs.experiment.model import Experiment
from jobs.experiment.resources import StageName

_PROCESS_GB = 0.7  # Python, torch and the libraries
_OASIS_IMAGES = 436  # where the cohort's size is known only once its files are read
# Copies of the pool at once: as read, as encoded, the pyramid of box averages.
_POOL_COPIES = 3.4
# Copies of an atlas at once: as read, warped, and as ANTs holds it for the fusion.
_ATLAS_COPIES = 10
# Maps kept for the backward pass (twice, for the gradient penalty's), with their gradients.
_MAPS_KEPT = 12


def task_memory_gb(experiment: Experiment) -> dict[StageName, float]:
    """GiB at the peak of one task of each stage."""
    n = n_images(experiment)
    z, h, w = experiment.cohort.roi.shape_zhw
    pool_gb = n * z * h * w * 4 / 2**30
    self_labelled_gb = 3 * pool_gb if "self_training" in experiment.grid.rival_arms else 0.0
    made_gb = experiment.synthesis.slices_per_phase * experiment.n_channels * h * w * 4 * 3 / 2**30
    return {
        "prepare": _PROCESS_GB + 0.5,
        "train_gan": _PROCESS_GB + _POOL_COPIES * pool_gb + _training_gb(experiment),
        "synthesise": _PROCESS_GB + 2 * pool_gb + made_gb,
        "train_segmenter": _PROCESS_GB + 0.5 + made_gb / experiment.n_channels + self_labelled_gb,
        "propagate": _PROCESS_GB + 0.5 + _ATLAS_COPIES * most_atlases(experiment) * pool_gb / n,
        "segment_cohort": _PROCESS_GB + pool_gb + 0.5,
        "aggregate": _PROCESS_GB,
    }


def n_images(experiment: Experiment) -> int:
    """Images of the cohort; a guess, OASIS-1's number, where only the files can tell."""
    images = experiment.cohort.images
    return (
        images.labelled + images.unlabelled if isinstance(images, PhantomImages) else _OASIS_IMAGES
    )


def most_atlases(experiment: Experiment) -> int:
    """Atlases of one propagated label map, at most; 0 where nothing is propagated."""
    references, rival = experiment.cohort.references, experiment.rival
    counts = list(rival[1]) if rival else []
    if isinstance(references, PropagationReferences):
        counts.append(references.atlases)
    return max(counts, default=0)


def _training_gb(experiment: Experiment) -> float:
    gan = experiment.gan
    ladder = gan.ladder_px(experiment.slice_px)
    widths = gan.widths(len(ladder))
    largest = 0.0
    for top, px in enumerate(ladder):
        batch = gan.at_px(gan.minibatch, px, "minibatch")
        maps = sum(
            2 * width * side**2
            for width, side in zip(widths[: top + 1], ladder[: top + 1], strict=True)
        )
        largest = max(largest, batch * maps * _MAPS_KEPT * 4 / 2**30)
    weights = (
        sum(
            9 * (wide + narrow) * narrow
            for wide, narrow in zip((widths[0], *widths), widths, strict=False)
        )
        + gan.latent_size * widths[0] * gan.base_px**2
    )
    return largest + 3 * 4 * 4 * weights / 2**30

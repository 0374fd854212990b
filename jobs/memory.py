"""How much memory a task of each stage needs, from the experiment alone: an upper estimate."""

from __future__ import annotations

from jobs.cohort_spec import PhantomImages
from jobs.spec import Experiment, StageName

_PROCESS_GB = 0.7  # Python, torch and the libraries
_OASIS_IMAGES = 436  # where the cohort's size is known only once its files are read
# Copies of the pool at once: as read, as encoded, the pyramid of box averages.
_POOL_COPIES = 3.4
# Maps kept for the backward pass (twice, for the gradient penalty's), with their gradients.
_MAPS_KEPT = 12


def task_memory_gb(experiment: Experiment) -> dict[StageName, float]:
    """GiB at the peak of one task of each stage."""
    images = experiment.cohort.images
    n = images.labelled + images.unlabelled if isinstance(images, PhantomImages) else _OASIS_IMAGES
    z, h, w = experiment.cohort.roi.shape_zhw
    pool_gb = n * z * h * w * 4 / 2**30
    made_gb = experiment.synthesis.slices_per_phase * experiment.n_channels * h * w * 4 * 3 / 2**30
    return {
        "prepare": _PROCESS_GB + 0.5,
        "train_gan": _PROCESS_GB + _POOL_COPIES * pool_gb + _training_gb(experiment),
        "synthesise": _PROCESS_GB + 2 * pool_gb + made_gb,
        "train_segmenter": _PROCESS_GB + 0.5 + made_gb / experiment.n_channels,
        "segment_cohort": _PROCESS_GB + pool_gb + 0.5,
        "aggregate": _PROCESS_GB,
    }


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

"""From a generator to a synthetic set: slices drawn, decoded, labelled, scored, filtered (III.B).

Legend: K generated slices, N real slices, S structures, L latent, H W rows and columns.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt
from torch import Tensor

from gansfer.cohort.encode import ChannelCode
from gansfer.gan.networks import Generator
from gansfer.gan.sample import sample
from gansfer.synthesis.labelling import Labelled, Labelling
from gansfer.synthesis.neighbours import nearest
from gansfer.synthesis.realism import keep
from gansfer.synthesis.synthetic_sets import SyntheticSet

Floats = npt.NDArray[np.float32]
Slices = dict[str, npt.NDArray]
# The contrasts of more at a time would be too many for memory.
BLOCK_SLICES = 500


def decoded_slices(
    generator: Generator, latents_kl: Tensor, code: ChannelCode, *, device: str = "cpu"
) -> tuple[Floats, Floats]:
    """Z-scored images [K, H, W] and label contrasts [K, S, H, W] of some latents.

    Args:
        generator: fully grown.
        latents_kl: [K, L].
        code: the code that the generator was trained with.
        device: "cpu" or "cuda".
    """
    return code.decode(sample(generator, latents_kl, device=device).numpy())


def labelled_slices(
    generator: Generator,
    latents_kl: Tensor,
    code: ChannelCode,
    labelling: Labelling,
    *,
    device: str = "cpu",
) -> tuple[Floats, Labelled]:
    """Z-scored images [K, H, W] of some latents, at most `BLOCK_SLICES`, and their labels.

    Args:
        generator: fully grown.
        latents_kl: [K, L].
        code: the code that the generator was trained with.
        labelling: the cell's.
        device: "cpu" or "cuda".
    """
    image_khw, contrast_kshw = decoded_slices(generator, latents_kl, code, device=device)
    return image_khw, labelling.label(image_khw, contrast_kshw)


def make_slices(
    generator: Generator,
    latents_kl: Tensor,
    code: ChannelCode,
    labelling: Labelling,
    known_nhw: Floats,
    *,
    device: str = "cpu",
) -> Slices:
    """Slices of some latents: drawn, labelled, and scored by the nearest real image (III.B).

    Args:
        generator: fully grown.
        latents_kl: [K, L].
        code: the code that the generator was trained with.
        labelling: the cell's.
        known_nhw: [N, H, W] every real slice that a generated one may resemble, labelled or not.
        device: "cpu" or "cuda".

    Returns:
        The columns `image_khw`, `label_khw`, `slice_index_k` and `score_k` of a `SyntheticSet`.
    """
    image_khw, labelled = labelled_slices(generator, latents_kl, code, labelling, device=device)
    _, score_k = nearest(image_khw, known_nhw)
    return {
        "image_khw": image_khw,
        "label_khw": labelled.label_khw,
        "slice_index_k": labelled.slice_index_k,
        "score_k": score_k,
    }


def filtered_set(
    blocks: Sequence[Mapping[str, npt.NDArray]], keep_percentile: float, seed: int
) -> SyntheticSet:
    """One phase's set from its blocks: the percentile is of all their scores together (III.B).

    Args:
        blocks: of `make_slices`, in the order of their latents.
        keep_percentile: slices above this percentile of the scores are rejected.
        seed: of the stream of latents.
    """
    slices = {key: np.concatenate([block[key] for block in blocks]) for key in blocks[0]}
    n = len(slices["score_k"])
    return SyntheticSet(
        image_khw=slices["image_khw"],
        label_khw=slices["label_khw"],
        slice_index_k=slices["slice_index_k"],
        score_k=slices["score_k"],
        kept_k=keep(slices["score_k"], keep_percentile),
        latent_seed_k=np.full(n, seed),
        latent_index_k=np.arange(n),
    )

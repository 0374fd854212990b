"""Which generated slices the pictures show: Fig. 3, 4, 6 and 7, and the nearest pairs.

Legend: K generated slices, N real slices or latents searched, R regions, S structures.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from gansfer.gan.similar_latents import median_distance, similar_regions
from gansfer.synthesis.labelling import Labelling
from gansfer.synthesis.neighbours import nearest
from gansfer.synthesis.postprocess import PostprocessSteps, postprocess_steps
from gansfer.synthesis.synthetic_sets import SyntheticSet

Sets = Mapping[int, SyntheticSet]
Indices = npt.NDArray[np.integer]
Floats = npt.NDArray[np.floating]

_REJECTED = 8
_EMBEDDED = 300  # latents of each phase in Fig. 6, and real slices at most
_SEARCHED = 4096  # latents of which Fig. 7 shows the nine most alike
_ANY = 200  # latents, all pairs of which tell how alike any two are
_STEPPED = 64  # slices of which Fig. 3 shows the one that the steps change most
_STEPS_SHOWN = 3  # structures in Fig. 3, as in the paper
_PAIRS_SHOWN = 8


def worst_rejected(made: SyntheticSet) -> tuple[Indices, int]:
    """The rejected slices farthest from any real one, farthest first (Fig. 4), and of how many."""
    rejected = np.flatnonzero(~made.kept_k & np.isfinite(made.score_k))
    return rejected[np.argsort(-made.score_k[rejected], kind="stable")][:_REJECTED], len(rejected)


def evenly_spread(n: int, most: int = _EMBEDDED) -> Indices:
    """At most `most` of the places 0 to n - 1, ends included, evenly spread."""
    return np.linspace(0, n - 1, min(most, n)).astype(int)


def finite_in_every_phase(sets: Sets) -> Indices:
    """The first latents whose slice has a realism score in every phase (Fig. 6)."""
    finite_k = np.all([np.isfinite(made.score_k) for made in sets.values()], axis=0)
    return np.flatnonzero(finite_k)[:_EMBEDDED]


@dataclass(frozen=True)
class LatentsAlike:
    """Fig. 7: latents of nearly one slice, in some regions.

    Attributes:
        region_rk: [R, K] latents of each region, its centre first.
        n_searched: latents searched.
        within_r: [R] median RMS difference of a region's slices.
        of_any: the same of random pairs.
    """

    region_rk: Indices
    n_searched: int
    within_r: tuple[float, ...]
    of_any: float


def latents_alike(first: SyntheticSet) -> LatentsAlike:
    """The nine latents most alike after phase 1, in two regions; structures must be in view.

    Args:
        first: phase 1's slices, rejected ones too.
    """
    image_nhw = first.image_khw[:_SEARCHED].astype(np.float32)
    finite_n = np.isfinite(first.score_k[:_SEARCHED])
    labelled_n = (first.label_khw[:_SEARCHED] > 0).sum(axis=(1, 2))
    eligible_n = finite_n & (labelled_n >= np.median(labelled_n))
    image_nhw[~finite_n] = 0.0
    shown = min(9, len(image_nhw))
    region_rk = similar_regions(image_nhw, shown, min(2, int(eligible_n.sum())), eligible_n)
    finite = np.flatnonzero(finite_n)
    any_k = finite[evenly_spread(len(finite), _ANY)]
    return LatentsAlike(
        region_rk=region_rk,
        n_searched=len(image_nhw),
        within_r=tuple(median_distance(image_nhw[k]) for k in region_rk),
        of_any=median_distance(image_nhw[any_k]),
    )


def with_most_structures(made: SyntheticSet) -> Indices:
    """The retained slices that show most structures, in order: Fig. 3 chooses among them."""
    n_present_k = np.array([len(np.unique(label_hw)) for label_hw in made.label_khw])
    n_present_k[~made.kept_k] = 0
    return np.sort(np.argsort(-n_present_k, kind="stable")[:_STEPPED])


@dataclass(frozen=True)
class Stepped:
    """Fig. 3: one slice through the steps of postprocessing.

    Attributes:
        k: which of the given slices: the one that the steps change most.
        contrast_shw: [S, H, W] its contrast inside the masks (panel B).
        mask_by_step: name of a step -> [S, H, W] pixels of each structure after it.
        shown: [at most 3] structures that the steps change most, in order of their labels.
    """

    k: int
    contrast_shw: Floats
    mask_by_step: dict[str, npt.NDArray[np.bool_]]
    shown: list[int]


def most_changed(
    image_khw: Floats, contrast_kshw: Floats, slice_index_k: Indices, labelling: Labelling
) -> Stepped:
    """Of some slices, the one that postprocessing changes most, step by step.

    Args:
        image_khw: [K, H, W] generated MR, z-scored.
        contrast_kshw: [K, S, H, W] generated contrasts.
        slice_index_k: [K] their slice numbers.
        labelling: the cell's.
    """
    steps = postprocess_steps(
        image_khw, contrast_kshw, slice_index_k, labelling.mask_szhw, labelling.rule
    )
    k = int((steps.binarised_khw != steps.label_khw).sum(axis=(1, 2)).argmax())
    value_s11 = np.arange(1, len(labelling.mask_szhw) + 1)[:, None, None]
    before_shw, after_shw = (
        label_khw[k] == value_s11 for label_khw in (steps.binarised_khw, steps.label_khw)
    )
    # A structure that no step changes is still worth more than one that is not there.
    changed_s = (before_shw != after_shw).sum(axis=(1, 2)) + before_shw.any(axis=(1, 2))
    order = np.argsort(changed_s, kind="stable")[::-1][:_STEPS_SHOWN]
    mask_shw = labelling.mask_szhw[:, slice_index_k[k]]
    return Stepped(
        k, steps.masked_kshw[k], _by_step(mask_shw, steps, k, value_s11), sorted(order.tolist())
    )


def _by_step(
    mask_shw: npt.NDArray[np.bool_], steps: PostprocessSteps, k: int, value_s11: Indices
) -> dict[str, npt.NDArray[np.bool_]]:
    """Pixels of each structure after each step, under the letters of the paper's Fig. 3."""
    return {
        "A mask": mask_shw,
        "C binarised": steps.binarised_khw[k] == value_s11,
        "D closed, filled": steps.filled_khw[k] == value_s11,
        "E intensity gate": steps.gated_khw[k] == value_s11,
        "F filled, opened": steps.label_khw[k] == value_s11,
    }


@dataclass(frozen=True)
class NearestPairs:
    """Generated slices [K, H, W], the real slice nearest to each, and their distance [K]."""

    made_khw: npt.NDArray[np.float32]
    real_khw: Floats
    distance_k: npt.NDArray[np.float64]


def nearest_pairs(sets: Sets, real_nhw: Floats) -> dict[int, NearestPairs]:
    """Of each phase, the retained slices that are nearest to a real one, nearest first.

    Args:
        sets: phase -> its slices.
        real_nhw: [N, H, W] every real slice that the GAN has seen.
    """
    shown = min(_PAIRS_SHOWN, *(int(made.kept_k.sum()) for made in sets.values()))
    pairs = {}
    for phase, made in sets.items():
        order = np.argsort(np.where(made.kept_k, made.score_k, np.inf), kind="stable")[:shown]
        near, distance_k = nearest(made.image_khw[order], real_nhw)
        made_khw = made.image_khw[order].astype(np.float32)
        pairs[phase] = NearestPairs(made_khw, real_nhw[near], distance_k)
    return pairs

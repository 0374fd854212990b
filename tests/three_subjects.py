"""Three small labelled subjects, the third unlike the others, for quick tests of what is compared.

Legend: N = 3 subjects, M images of the pool, Z = 4 slices, H = W = 16, S = 2 structures.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from gansfer.cohort.encode import ChannelCode
from gansfer.cohort.training_data import LabelledVolumes, Roles, TrainingData
from gansfer.gan.networks import Generator
from gansfer.quality.sets import RealSlices, real_slices
from gansfer.subjects import Subject
from gansfer.synthesis.synthetic_sets import SyntheticSet

IDS = ("A", "B", "C")
POOL_IDS = ("P0", "P1", "P2")
STRUCTURES = ("dark", "bright")
SHAPE_ZHW = (4, 16, 16)
SPACING_ZHW_MM = (1.0, 1.0, 1.0)
# Subject C is scanned brighter and its structures lie elsewhere.
WHITE_MATTER = {"A": 1.0, "B": 1.0, "C": 3.0}
# Intensities and contrasts are stored at an eighth, so that none is clipped.
EIGHTH_CODE = ChannelCode(STRUCTURES, (-1, 1), (0.0, 0.0, 0.0), (0.125, 0.125, 0.125))

Images = npt.NDArray[np.float32]
Labels = npt.NDArray[np.uint8]


@dataclass(frozen=True)
class ThreeSubjects:
    """A cohort in memory: A, B and C are labelled; P0 is A again, P1 and P2 are other people."""

    image_of: dict[str, Images]
    label_of: dict[str, Labels]
    structures: tuple[str, ...] = STRUCTURES
    spacing_zhw_mm: tuple[float, float, float] = SPACING_ZHW_MM
    shape_zhw: tuple[int, int, int] = SHAPE_ZHW

    @property
    def subjects(self) -> tuple[Subject, ...]:
        labelled = [Subject(one, labelled=True, in_pool=True) for one in IDS]
        own_copy = {"P0": "A"}
        pool = [Subject(one, in_pool=True, labelled_as=own_copy.get(one)) for one in POOL_IDS]
        return (*labelled, *pool)

    def images(self, ids: Sequence[str]) -> Images:
        return np.stack([self.image_of[one] for one in ids])

    def labels(self, ids: Sequence[str]) -> Labels:
        return np.stack([self.label_of[one] for one in ids])

    def white_matter(self, ids: Sequence[str]) -> Images:
        return np.array([WHITE_MATTER[one] for one in ids], np.float32)


def three_subjects() -> ThreeSubjects:
    """Every slice differs from every other; structures are in the slices 1 to 3."""
    rng = np.random.default_rng(3)
    image_of: dict[str, Images] = {}
    label_of: dict[str, Labels] = {}
    for one in (*IDS, *POOL_IDS):
        shift = 3 if one == "C" else 0
        label_zhw = np.zeros(SHAPE_ZHW, np.uint8)
        label_zhw[1:3, 2 + shift : 7 + shift, 2:7] = 1
        label_zhw[2:4, 10:14, 9 : 13 + shift] = 2
        white = WHITE_MATTER.get(one, 1.0)
        image_zhw = rng.normal(white, 0.05, SHAPE_ZHW)
        image_zhw += 0.2 * np.arange(SHAPE_ZHW[0])[:, None, None]
        image_zhw[label_zhw == 1] -= 2.0
        image_zhw[label_zhw == 2] += 1.5
        image_of[one] = image_zhw.astype(np.float32)
        if one in IDS:
            label_of[one] = label_zhw
    return ThreeSubjects(image_of, label_of)


def cell_of_three(group_ids: tuple[str, ...] = IDS) -> TrainingData:
    """A cell that trains on A, B and C and whose pool is everybody; nobody is tested."""
    roles = Roles((), IDS, group_ids, (*IDS, *POOL_IDS))
    cohort: Any = three_subjects()
    return TrainingData(cohort, roles)


def group_of(*ids: str) -> LabelledVolumes:
    """Some of the labelled subjects as arrays."""
    return cell_of_three(ids).group


def everything_seen() -> RealSlices:
    """All slices of the pool, of which P0 is A again, and the three labelled subjects."""
    cohort = three_subjects()
    return real_slices(
        cohort.images(POOL_IDS), ("A", "P1", "P2"), cohort.images(IDS), cohort.labels(IDS), IDS
    )


class FixedGenerator(Generator):
    """A generator that knows its slices by heart: latent k is a row of which every number is k."""

    def __init__(self, channels_kchw: npt.NDArray) -> None:
        nn.Module.__init__(self)  # no layer of its own
        self.channels_kchw = torch.from_numpy(channels_kchw)
        self.n_channels, self.base_px = channels_kchw.shape[1], channels_kchw.shape[2]
        self.n_levels = 1

    def forward(
        self, latent_bl: Tensor, level: int | None = None, alpha: float | Tensor = 1.0
    ) -> Tensor:
        return self.channels_kchw[latent_bl[:, 0].long()]


def latents_of(n: int) -> Tensor:
    """Latents of the first `n` slices of a `FixedGenerator`."""
    return torch.arange(float(n))[:, None]


def synthetic_set(
    image_khw: npt.NDArray,
    label_khw: npt.NDArray | None = None,
    score_k: npt.NDArray | None = None,
    kept_k: npt.NDArray | None = None,
) -> SyntheticSet:
    """Generated slices, all of them retained and at distance 0 unless said otherwise."""
    n = len(image_khw)
    return SyntheticSet(
        image_khw=image_khw,
        label_khw=np.zeros(image_khw.shape, np.uint8) if label_khw is None else label_khw,
        slice_index_k=np.arange(n),
        score_k=np.zeros(n) if score_k is None else score_k,
        kept_k=np.ones(n, bool) if kept_k is None else kept_k,
        latent_seed_k=np.zeros(n, np.int64),
        latent_index_k=np.arange(n),
    )

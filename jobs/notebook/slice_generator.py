"""A cell's generator in a notebook: labelled slices of any seed, as `synthesise` makes them.

Legend: K slices, H rows, W columns.
"""

from __future__ import annotations

from functools import cached_property
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from gansfer.cohort.shards import Cohort
from gansfer.errors import UserError
from gansfer.gan.sample import draw_latents
from gansfer.synthesis.generate import BLOCK_SLICES, labelled_slices
from gansfer.synthesis.labelling import Labelling
from jobs.stages.context import Context
from jobs.stages.inputs import cell_labelling, read_code, read_generator, training_data


class LabelledSlices(NamedTuple):
    """Generated slices: `images, label_maps = generator.sample(100, seed=1)`.

    Attributes:
        image_khw: [K, H, W] float32, z-scored: in standard deviations of the brain's intensities.
        label_khw: [K, H, W] uint8, 0 background, k + 1 the cohort's structure k.
    """

    image_khw: npt.NDArray[np.float32]
    label_khw: npt.NDArray[np.uint8]


class SliceGenerator:
    """The generator of one cell and group after one phase, with the cell's code and labelling.

    Attributes:
        phase: 1, 2 or 3.
        seed: that the run's own slices of this cell were drawn with; a sample of it gives them
            again, those that the realism filter rejects included.
    """

    def __init__(self, context: Context, cohort: Cohort, phase: int) -> None:
        self.phase = phase
        self.seed = context.seed_for("latents")
        self._context, self._cohort = context, cohort
        self._network, self._code = read_generator(context, phase), read_code(context)

    def sample(self, n: int, seed: int) -> LabelledSlices:
        """Generate slices and label them, without the realism filter (III.B).

        Args:
            n: slices wanted; the first m of n are those of m.
            seed: of their latents; the same in every phase, so that slice k can be followed.

        Returns:
            Images [n, H, W] and label maps [n, H, W]. The first call reads the cell's images.

        Raises:
            UserError: n is below 1.
        """
        if n < 1:
            raise UserError(f"sample({n}): expected a number of slices, at least 1")
        latents_kl = draw_latents(n, self._context.experiment.gan.latent_size, seed)
        images, label_maps = [], []
        for start in range(0, n, BLOCK_SLICES):
            image_khw, labelled = labelled_slices(
                self._network,
                latents_kl[start : start + BLOCK_SLICES],
                self._code,
                self._labelling,
                device=self._context.device,
            )
            images.append(image_khw)
            label_maps.append(labelled.label_khw)
        return LabelledSlices(np.concatenate(images), np.concatenate(label_maps))

    def __repr__(self) -> str:
        return f"<SliceGenerator {'/'.join(self._context.task.cell.parts)} phase {self.phase}>"

    @cached_property
    def _labelling(self) -> Labelling:
        return cell_labelling(self._context, training_data(self._context, self._cohort), self._code)

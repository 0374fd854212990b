"""The stream of training segments: which are drawn when, cut on the training's device."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from gansfer.augmentation.deform import Augmentation
from gansfer.errors import UserError
from gansfer.seeds import seed_for
from gansfer.segmentation.patches import Pool, Sampler, Segments, cut, draw, probability_synthetic
from gansfer.segmentation.presets import Preset
from gansfer.settings import SegmenterSettings

_SYNTHETIC = 1  # index of the generated slices' pool
_AUGMENTATION = (("augmentation",), ("augmentation", "synthetic"))  # streams of the two pools


class SegmentSource:
    """Gives the segments of any subepoch, mixed from a real and a synthetic pool.

    Args:
        settings: segments of a subepoch, chances of foreground and reflection.
        preset: the geometry.
        real: labelled real slices, or None.
        synthetic: generated slices, or None.
        real_per_synthetic: real segments per synthetic one where there are both pools, else None.
        n_classes: structures + 1.
        seed: of the training; a subepoch's segments depend on it and on the subepoch's number.
        device: where the pools are kept and segments are cut.
        augmentation: how some slices of both pools are deformed, in each subepoch anew; None: not.

    Raises:
        UserError: slices too small, or labels beyond `n_classes`.
    """

    def __init__(
        self,
        settings: SegmenterSettings,
        preset: Preset,
        real: Pool | None,
        synthetic: Pool | None,
        real_per_synthetic: float | None,
        n_classes: int,
        seed: int,
        device: torch.device,
        augmentation: Augmentation | None = None,
    ) -> None:
        self.settings, self.preset, self.seed = settings, preset, seed
        self.augmentation, self.n_classes = augmentation, n_classes
        self.probability = probability_synthetic(
            real_per_synthetic, has_real=real is not None, has_synthetic=synthetic is not None
        )
        self.pools = pools = (real, synthetic)
        for pool in pools:
            if pool is not None and pool.label_nhw.max() >= n_classes:
                raise UserError(
                    f"{pool.name}: label {pool.label_nhw.max()}, at most {n_classes - 1} wanted "
                    f"with {n_classes} classes; do the structures match the labels?"
                )
        self.samplers = [
            None if pool is None else Sampler(pool, preset.output_px) for pool in pools
        ]
        self.tensors = [
            None
            if pool is None
            else (
                torch.from_numpy(pool.image_nhw).to(device),
                torch.from_numpy(pool.label_nhw).to(device),
            )
            for pool in pools
        ]
        self.device = device

    def subepoch(self, number: int) -> tuple[Tensor, Tensor, npt.NDArray[np.bool_]]:
        """Patches [n, 1, P, P], labels [n, out, out], and which of them are synthetic [n]."""
        n = self.settings.segments_per_subepoch
        samplers, pools = self._deformed(number)
        segments = draw(
            samplers,
            self.probability,
            n,
            np.random.default_rng(seed_for(self.seed, "segments", number)),
            foreground_fraction=self.settings.foreground_fraction,
            reflection_probability=self.settings.reflection_probability,
        )
        patch_px, output_px = self.preset.patch_px(self.preset.output_px), self.preset.output_px
        patch_n1pp = torch.empty((n, 1, patch_px, patch_px), device=self.device)
        label_noo = torch.empty((n, output_px, output_px), dtype=torch.long, device=self.device)
        for which, tensors in enumerate(pools):
            chosen = np.flatnonzero(segments.pool_n == which)
            if tensors is None or chosen.size == 0:
                continue
            chosen_on_device = torch.from_numpy(chosen).to(self.device)
            patch_c1pp, label_coo = cut(*tensors, _choose(segments, chosen), self.preset)
            patch_n1pp[chosen_on_device], label_noo[chosen_on_device] = patch_c1pp, label_coo
        return patch_n1pp, label_noo, segments.pool_n == 1

    def _deformed(
        self, number: int
    ) -> tuple[list[Sampler | None], list[tuple[Tensor, Tensor] | None]]:
        """Samplers and pools of a subepoch: where there is augmentation, newly deformed.

        Of the generated slices, thousands, only as many are taken as the subepoch has segments.
        """
        if self.augmentation is None:
            return self.samplers, self.tensors
        samplers: list[Sampler | None] = [None, None]
        tensors: list[tuple[Tensor, Tensor] | None] = [None, None]
        for which, (pool, given) in enumerate(zip(self.pools, self.tensors, strict=True)):
            if pool is None or given is None:
                continue
            seed = seed_for(self.seed, *_AUGMENTATION[which], number)
            image_nhw, label_nhw, like = *given, pool
            n_wanted = self.settings.segments_per_subepoch
            if which == _SYNTHETIC and n_wanted < len(pool.subject_n):
                drawn = np.random.default_rng(seed).permutation(len(pool.subject_n))[:n_wanted]
                drawn_on_device = torch.from_numpy(drawn).to(self.device)
                image_nhw, label_nhw = image_nhw[drawn_on_device], label_nhw[drawn_on_device]
                like = replace(
                    pool,
                    image_nhw=pool.image_nhw[drawn],
                    subject_n=pool.subject_n[drawn],
                    label_nhw=pool.label_nhw[drawn],
                )
            image_nhw, label_nhw = self.augmentation.deform(
                image_nhw, label_nhw, self.n_classes, seed
            )
            moved = replace(like, label_nhw=label_nhw.cpu().numpy())  # a sampler sees labels only
            samplers[which] = Sampler(moved, self.preset.output_px)
            tensors[which] = image_nhw, label_nhw
        return samplers, tensors


def _choose(segments: Segments, chosen: npt.NDArray[np.int64]) -> Segments:
    return Segments(
        segments.pool_n[chosen],
        segments.slice_n[chosen],
        segments.row_n[chosen],
        segments.column_n[chosen],
        segments.mirrored_n[chosen],
    )

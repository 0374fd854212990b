"""Pools of labelled slices, and the segments that are drawn from them.

Legend: N slices, M subjects, n segments, H rows, W columns, P side of a patch (see `presets`).
A pixel beyond the image is, as in the official code, its reflection for 8 px and then the mean of
the (padded) image's corners. Images stay as they are: padding is a matter of indices.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from gansfer.errors import UserError
from gansfer.segmentation.presets import MARGIN_PX, Preset

Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Pool:
    """Labelled slices of one kind.

    Attributes:
        image_nhw: [N, H, W], z-scored intensities.
        label_nhw: [N, H, W], 0 background, k + 1 for structure k.
        subject_n: [N], whose slice it is; a synthetic slice is a subject of its own.
        name: what messages call it.
    """

    image_nhw: npt.NDArray[np.float32]
    label_nhw: npt.NDArray[np.uint8]
    subject_n: Ints
    name: str = "pool"

    def __post_init__(self) -> None:
        shape = self.image_nhw.shape
        if len(shape) != 3 or self.label_nhw.shape != shape or self.subject_n.shape != shape[:1]:
            raise ValueError(
                f"{self.name}: images {shape}, labels {self.label_nhw.shape}, subjects "
                f"{self.subject_n.shape}; wanted [N, H, W], the same and [N]"
            )
        if shape[0] == 0:
            raise UserError(f"{self.name}: 0 slices, at least 1 wanted; was everything rejected?")


@dataclass(frozen=True)
class Segments:
    """Where n segments lie: slice, centre pixel, whether mirrored, and from which pool.

    Attributes:
        pool_n: [n], 0 real, 1 synthetic.
        slice_n: [n], index into the pool.
        row_n: [n], of the centre.
        column_n: [n], of the centre.
        mirrored_n: [n], left/right reflected about the centre.
    """

    pool_n: Ints
    slice_n: Ints
    row_n: Ints
    column_n: Ints
    mirrored_n: Bools


class Sampler:
    """Draws segment centres from one pool: subjects equally, then pixels of a category equally.

    Args:
        pool: the slices.
        output_px: side of a segment's output, which has to lie inside the image (official).

    Raises:
        UserError: the slices are smaller than a segment's output.
    """

    def __init__(self, pool: Pool, output_px: int) -> None:
        n_slices, height, width = pool.label_nhw.shape
        smallest_px = max(output_px, MARGIN_PX + 1)
        if min(height, width) < smallest_px:
            raise UserError(
                f"{pool.name}: slices of {height} x {width} px, at least {smallest_px} wanted by a "
                f"segment's output of {output_px}; use smaller voxels or preset deepmedic-original"
            )
        self.edge_px = output_px // 2
        rows = slice(self.edge_px, height - self.edge_px)
        columns = slice(self.edge_px, width - self.edge_px)
        self._label_nhw = pool.label_nhw[:, rows, columns]
        # Slices by subject; then how many pixels of a category come before each, background first.
        self._order = np.argsort(pool.subject_n, kind="stable")
        _, first_m = np.unique(pool.subject_n[self._order], return_index=True)
        self._first_m = np.append(first_m, n_slices)
        foreground_n = np.count_nonzero(self._label_nhw, axis=(1, 2))[self._order]
        background_n = self._label_nhw[0].size - foreground_n
        self._before = np.concatenate([[0], background_n, foreground_n]).cumsum()

    @property
    def n_subjects(self) -> int:
        """Subjects in the pool."""
        return len(self._first_m) - 1

    def draw(
        self, n: int, foreground_fraction: float, rng: np.random.Generator
    ) -> tuple[Ints, Ints, Ints]:
        """Slices, rows and columns of `n` segment centres.

        A subject without a pixel of the wanted category gives one of the other (official).

        Args:
            n: segments.
            foreground_fraction: probability that a segment is centred on a structure.
            rng: source of the draws.
        """
        n_slices = len(self._order)
        subject_n = rng.integers(self.n_subjects, size=n)
        foreground_n = rng.random(n) < foreground_fraction
        first_n, end_n = self._first_m[subject_n], self._first_m[subject_n + 1]

        def span(category_n: Bools) -> tuple[Ints, Ints]:
            shift_n = n_slices * category_n
            return self._before[first_n + shift_n], self._before[end_n + shift_n]

        low_n, high_n = span(foreground_n)
        foreground_n = np.where(high_n > low_n, foreground_n, ~foreground_n)
        low_n, high_n = span(foreground_n)
        target_n = rng.integers(low_n, high_n)
        place_n = np.searchsorted(self._before, target_n, side="right") - 1
        rank_n = target_n - self._before[place_n]
        slice_n = self._order[place_n - n_slices * foreground_n]
        # The rank-th pixel of the category within the slice: as many pixels have a count <= rank.
        wanted = (self._label_nhw[slice_n] > 0) == foreground_n[:, None, None]
        count = wanted.reshape(n, -1).cumsum(axis=1, dtype=np.int32)
        flat_n = np.count_nonzero(count <= rank_n[:, None], axis=1)
        row_n, column_n = np.divmod(flat_n, self._label_nhw.shape[2])
        return slice_n, row_n + self.edge_px, column_n + self.edge_px


def probability_synthetic(
    real_per_synthetic: float | None, *, has_real: bool, has_synthetic: bool
) -> float:
    """Probability that a segment comes from the synthetic pool.

    Args:
        real_per_synthetic: segments drawn (2.0 for 2:1); None when there is but one pool.
        has_real: there is a real pool.
        has_synthetic: there is a synthetic pool.

    Raises:
        ValueError: no pool, or a ratio without both pools, or both pools without a ratio.
    """
    if not (has_real or has_synthetic):
        raise ValueError("neither a real nor a synthetic pool; at least one wanted")
    if has_real != has_synthetic:
        if real_per_synthetic is not None:
            raise ValueError(
                f"ratio {real_per_synthetic:g} with one pool; both wanted, or ratio None"
            )
        return float(has_synthetic)
    if real_per_synthetic is None or real_per_synthetic <= 0:
        raise ValueError(
            f"ratio {real_per_synthetic} with two pools; wanted real segments per synthetic one"
        )
    return 1.0 / (1.0 + real_per_synthetic)


def draw(
    samplers: Sequence[Sampler | None],
    probability_synthetic: float,
    n: int,
    generator: np.random.Generator,
    *,
    foreground_fraction: float = 0.5,
    reflection_probability: float = 0.5,
) -> Segments:
    """Draw `n` segments, each from the real or the synthetic pool by chance.

    Args:
        samplers: of the real and of the synthetic pool; one that is never drawn from may be None.
        probability_synthetic: chance of the second pool.
        n: segments.
        generator: source of the draws.
        foreground_fraction: chance of a centre on a structure.
        reflection_probability: chance of a left/right reflection (III.C).
    """
    pool_n = (generator.random(n) < probability_synthetic).astype(np.int64)
    place_3n = np.empty((3, n), dtype=np.int64)
    for which, sampler in enumerate(samplers):
        chosen = pool_n == which
        if sampler is not None and chosen.any():
            n_chosen = int(chosen.sum())
            place_3n[:, chosen] = sampler.draw(n_chosen, foreground_fraction, generator)
    mirrored_n = generator.random(n) < reflection_probability
    slice_n, row_n, column_n = place_3n
    return Segments(pool_n, slice_n, row_n, column_n, mirrored_n)


def border_value(image_nhw: Tensor) -> Tensor:
    """[N], the mean of each reflect-padded slice's corners: what lies beyond the padding."""
    return image_nhw[:, [MARGIN_PX, -1 - MARGIN_PX]][:, :, [MARGIN_PX, -1 - MARGIN_PX]].mean((1, 2))


def take(image_nhw: Tensor, slice_n: Tensor, row_np: Tensor, column_nq: Tensor) -> Tensor:
    """Pixels at any coordinates, also beyond the image: [n, P, Q].

    Args:
        image_nhw: [N, H, W], at least 9 px a side.
        slice_n: [n].
        row_np: [n, P] or [1, P].
        column_nq: [n, Q] or [1, Q].
    """
    height, width = image_nhw.shape[1:]
    border_n = border_value(image_nhw)[slice_n]
    row, row_inside = _reflected(row_np, height)
    column, column_inside = _reflected(column_nq, width)
    taken = image_nhw[slice_n[:, None, None], row[:, :, None], column[:, None, :]]
    inside = row_inside[:, :, None] & column_inside[:, None, :]
    return torch.where(inside, taken, border_n[:, None, None])


def cut(
    image_nhw: Tensor, label_nhw: Tensor, segments: Segments, preset: Preset
) -> tuple[Tensor, Tensor]:
    """Patches and labels of segments of one pool.

    Args:
        image_nhw: [N, H, W], the pool's images.
        label_nhw: [N, H, W], on the same device.
        segments: n of them; `pool_n` is not looked at.
        preset: the geometry.

    Returns:
        [n, 1, P, P] float32 and [n, output_px, output_px] int64.
    """
    device = image_nhw.device
    slice_n, row_n, column_n = (
        torch.from_numpy(index).to(device)
        for index in (segments.slice_n, segments.row_n, segments.column_n)
    )
    sign_n = torch.from_numpy(np.where(segments.mirrored_n, -1, 1)).to(device)

    def coordinates(side_px: int) -> tuple[Tensor, Tensor]:
        offset = torch.arange(side_px, device=device) - side_px // 2
        return row_n[:, None] + offset, column_n[:, None] + sign_n[:, None] * offset

    patch_npp = take(image_nhw, slice_n, *coordinates(preset.patch_px(preset.output_px)))
    row_no, column_no = coordinates(preset.output_px)
    label_noo = label_nhw[slice_n[:, None, None], row_no[:, :, None], column_no[:, None, :]]
    return patch_npp[:, None], label_noo.long()


def _reflected(coordinate: Tensor, length: int) -> tuple[Tensor, Tensor]:
    """Index of each coordinate's reflection, and whether the reflect-padding reaches it."""
    inside = (coordinate >= -MARGIN_PX) & (coordinate < length + MARGIN_PX)
    last = length - 1
    return (last - (last - coordinate.abs()).abs()).clamp(0, last), inside

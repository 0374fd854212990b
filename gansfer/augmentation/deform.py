"""Random deformations of slices with their label maps, and random intensities ("classical").

Not in the paper. Each slice gets an affine map near the identity, a smooth displacement drawn on a
coarse lattice, and a gamma curve. Sizes are in millimetres, so voxels of any side are deformed
alike.

Legend: K slices, H rows, W columns, 2 = (x, y) as of `torch.nn.functional.grid_sample`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from gansfer.settings import AugmentationSettings

# As far beyond the edge as the last row is before it: nothing new is drawn there.
_BEYOND_EDGE = "reflection"


@dataclass(frozen=True)
class Augmentation:
    """How slices of one pixel size are deformed.

    Attributes:
        settings: how much.
        spacing_mm: side of a pixel.
    """

    settings: AugmentationSettings
    spacing_mm: float

    def deform(
        self, image_khw: Tensor, label_khw: Tensor, n_classes: int, seed: int
    ) -> tuple[Tensor, Tensor]:
        """Slices and label maps, some of them deformed: each by chance, image and labels alike.

        The result depends on the arguments alone, and is on the device of the images.

        Args:
            image_khw: [K, H, W] float32.
            label_khw: [K, H, W] of any integer type, 0 to n_classes - 1.
            n_classes: structures + 1.
            seed: of all that is drawn.

        Returns:
            [K, H, W] each, in the types given. What is not deformed is as it was, to the bit.
        """
        drawn = torch.Generator().manual_seed(seed)
        chance_k = torch.rand(len(image_khw), generator=drawn)
        chosen = torch.nonzero(chance_k < self.settings.probability).flatten()
        image_out, label_out = image_khw.clone(), label_khw.clone()
        if not len(chosen):
            return image_out, label_out
        grid_khw2 = self.sampling_grid(len(chosen), tuple(image_khw.shape[1:]), drawn)
        exponent_k = torch.exp(torch.randn(len(chosen), generator=drawn) * self.settings.gamma_sd)
        device = image_khw.device
        chosen, grid_khw2 = chosen.to(device), grid_khw2.to(device)
        given_khw = image_khw[chosen]
        image_out[chosen] = gamma_curve(
            resampled_image(given_khw, grid_khw2), given_khw, exponent_k.to(device)
        )
        label_out[chosen] = resampled_labels(label_khw[chosen], grid_khw2, n_classes)
        return image_out, label_out

    def sampling_grid(self, n: int, shape_hw: tuple[int, ...], drawn: torch.Generator) -> Tensor:
        """Where each pixel of `n` deformed slices comes from: [n, H, W, 2], -1..1 edge to edge.

        Args:
            n: slices.
            shape_hw: H and W.
            drawn: source of the draws, on the CPU, so that any device sees the same.
        """
        settings, (height, width) = self.settings, shape_hw
        half_mm_2 = torch.tensor([width, height]) * self.spacing_mm / 2
        angle_n = torch.randn(n, generator=drawn) * math.radians(settings.rotation_sd_deg)
        scale_n2 = torch.exp(torch.randn(n, 2, generator=drawn) * settings.scale_sd)
        shift_n2 = torch.randn(n, 2, generator=drawn) * settings.shift_sd_mm / half_mm_2
        cos_n, sin_n = angle_n.cos(), angle_n.sin()
        rows = [torch.stack([cos_n, -sin_n], 1), torch.stack([sin_n, cos_n], 1)]
        linear_n22 = torch.stack(rows, 1) * scale_n2[:, None, :]
        # From millimetres to fractions of half a side, in which x and y differ in length.
        linear_n22 = linear_n22 * half_mm_2[None, None, :] / half_mm_2[None, :, None]
        affine_n23 = torch.cat([linear_n22, shift_n2[:, :, None]], 2)
        grid_nhw2 = F.affine_grid(affine_n23, [n, 1, height, width], align_corners=False)
        points_yx = [
            max(2, round(side_px * self.spacing_mm / settings.lattice_mm) + 1)
            for side_px in (height, width)
        ]
        lattice_n2yx = torch.randn(n, 2, *points_yx, generator=drawn) * settings.elastic_sd_mm
        moved_mm_n2hw = F.interpolate(
            lattice_n2yx, size=(height, width), mode="bicubic", align_corners=True
        )
        return grid_nhw2 + moved_mm_n2hw.permute(0, 2, 3, 1) / half_mm_2


def resampled_image(image_khw: Tensor, grid_khw2: Tensor) -> Tensor:
    """Images [K, H, W] at the places of a sampling grid, by cubic convolution."""
    resampled_k1hw = F.grid_sample(
        image_khw[:, None],
        grid_khw2,
        mode="bicubic",
        padding_mode=_BEYOND_EDGE,
        align_corners=False,
    )
    return resampled_k1hw[:, 0]


def resampled_labels(label_khw: Tensor, grid_khw2: Tensor, n_classes: int) -> Tensor:
    """Label maps [K, H, W] at the places of a sampling grid.

    A pixel gets the class whose map, 1 inside and 0 outside, is largest when interpolated linearly.
    """
    label_out = torch.zeros_like(label_khw)
    largest_khw = torch.full(label_khw.shape, -1.0, device=label_khw.device)
    for value in range(n_classes):
        share_k1hw = F.grid_sample(
            (label_khw == value).float()[:, None],
            grid_khw2,
            mode="bilinear",
            padding_mode=_BEYOND_EDGE,
            align_corners=False,
        )
        larger_khw = share_k1hw[:, 0] > largest_khw
        largest_khw = torch.where(larger_khw, share_k1hw[:, 0], largest_khw)
        label_out[larger_khw] = value
    return label_out


def gamma_curve(image_khw: Tensor, given_khw: Tensor, exponent_k: Tensor) -> Tensor:
    """Intensities raised to a power within the range of the slice that they come from.

    Cubic convolution overshoots at edges: what lies beyond that range is clipped first.

    Args:
        image_khw: [K, H, W].
        given_khw: [K, H, W] before they were resampled; their ranges stay.
        exponent_k: [K], 1 changes nothing.
    """
    low_k11 = given_khw.amin((1, 2), keepdim=True)
    width_k11 = given_khw.amax((1, 2), keepdim=True) - low_k11
    share_khw = (image_khw - low_k11) / width_k11.clamp_min(torch.finfo(torch.float32).tiny)
    return low_k11 + width_k11 * share_khw.clamp(0, 1) ** exponent_k[:, None, None]

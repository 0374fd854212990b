"""2-D DeepMedic: pathways at several resolutions, joined by fully connected layers (III.C).

Legend: B batch, C channels, H rows, W columns, K classes. A block is, in the official order, batch
norm (or a bias) -> PReLU -> dropout -> convolution without bias. Convolutions are valid; see
`presets` for the geometry. Tensors are channels-last inside: twice as quick on a CPU.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from gansfer.segmentation.pathway import Block, Pathway, RollingNorm, TrainingStep
from gansfer.segmentation.presets import FC_DROPOUT, MARGIN_PX, PATHWAY_MAPS, PRESETS, Preset


class DeepMedic(nn.Module):
    """The whole network: a patch in, class scores of its output pixels out.

    Args:
        preset: the architecture.
        n_classes: structures + 1.
        n_channels: image channels.
        generator: source of the initial weights (CPU); None: torch's own.
    """

    def __init__(
        self,
        preset: Preset,
        n_classes: int,
        n_channels: int = 1,
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__()
        self.preset = preset
        self.n_classes = n_classes
        ins = (n_channels, *PATHWAY_MAPS[:-1])
        self.pathways = nn.ModuleList(
            Pathway(
                [
                    Block(n_in, n_out, 3, first=layer == 0, edge_pad=False, dropout=0.0)
                    for layer, (n_in, n_out) in enumerate(zip(ins, PATHWAY_MAPS, strict=True))
                ],
                preset.residual_layers,
            )
            for _ in (1, *preset.factors)
        )
        fc_ins = (PATHWAY_MAPS[-1] * (1 + len(preset.factors)), *preset.fc_maps)
        fc_outs = (*preset.fc_maps, n_classes)
        fc_kernels = (preset.fc_first_kernel, *(1 for _ in preset.fc_maps))
        self.fc = Pathway(
            [
                Block(n_in, n_out, kernel, first=False, edge_pad=True, dropout=dropout)
                for n_in, n_out, kernel, dropout in zip(
                    fc_ins, fc_outs, fc_kernels, FC_DROPOUT, strict=True
                )
            ],
            preset.fc_residual_layers,
        )
        self.class_bias = nn.Parameter(torch.zeros(n_classes))
        for module in self.modules():
            if isinstance(module, Block):
                module.initialise(generator)

    def forward(self, patch_bchw: Tensor, step: TrainingStep | None = None) -> Tensor:
        """Class scores (before the softmax) of the patch's output pixels.

        Args:
            patch_bchw: [B, C, H, W], sides as `Preset.patch_px` says.
            step: given in training; None: inference with settled statistics, without dropout.

        Returns:
            [B, K, H', W'], sides less 2 * (8 + context_px).
        """
        return self.join(self.high(patch_bchw, step), patch_bchw, step)

    def high(self, patch_bchw: Tensor, step: TrainingStep | None = None) -> Tensor:
        """The normal pathway's maps of a patch; those of a larger patch hold those of its parts."""
        edge_px = self.preset.context_px
        segment_bchw = patch_bchw[..., edge_px:-edge_px, edge_px:-edge_px]
        maps_bchw: Tensor = self.pathways[0](_channels_last(segment_bchw), step)
        return maps_bchw

    def join(
        self, high_bchw: Tensor, patch_bchw: Tensor, step: TrainingStep | None = None
    ) -> Tensor:
        """Class scores from the normal pathway's maps and the patch around them."""
        joined = [high_bchw]
        output_hw = high_bchw.shape[-2:]
        for factor, pathway in zip(self.preset.factors, list(self.pathways)[1:], strict=True):
            low_bchw = pick_low(patch_bchw, self.preset, factor)
            repeated = F.interpolate(pathway(_channels_last(low_bchw), step), scale_factor=factor)
            joined.append(repeated[..., : output_hw[0], : output_hw[1]])
        logits_bkhw = self.fc(_channels_last(torch.cat(joined, dim=1)), step)
        return logits_bkhw + self.class_bias[:, None, None]

    def kernels(self) -> list[nn.Parameter]:
        """The convolution kernels, which alone are regularised."""
        return [module.kernel for module in self.modules() if isinstance(module, Block)]

    def norms(self) -> list[RollingNorm]:
        """Every batch norm, in a fixed order."""
        return [module for module in self.modules() if isinstance(module, RollingNorm)]

    def settle(self, n_batches: int) -> None:
        """Make the statistics of the last of `n_batches` batches those of inference."""
        for norm in self.norms():
            norm.settle(n_batches)


def build(
    preset: str, n_classes: int, n_channels: int = 1, generator: torch.Generator | None = None
) -> DeepMedic:
    """A freshly initialised network of a named preset.

    Args:
        preset: a name in `presets.PRESETS`.
        n_classes: structures + 1.
        n_channels: image channels.
        generator: source of the initial weights (CPU); None: torch's own.
    """
    return DeepMedic(PRESETS[preset], n_classes, n_channels, generator)


def pick_low(patch_bchw: Tensor, preset: Preset, factor: int) -> Tensor:
    """The input of a low-resolution pathway: every `factor`-th pixel of the patch, not averaged.

    Args:
        patch_bchw: [B, C, H, W].
        preset: the geometry.
        factor: of this pathway.
    """
    start = preset.context_px - preset.low_pad_px(factor)
    picked = patch_bchw
    for axis in (2, 3):
        output_px = patch_bchw.shape[axis] - preset.patch_px(0)
        n_picked = preset.low_output_px(factor, output_px) + 2 * MARGIN_PX
        stop = start + factor * (n_picked - 1) + 1
        window = (slice(None),) * axis + (slice(start, stop, factor),)
        picked = picked[window]
    return picked


def _channels_last(x_bchw: Tensor) -> Tensor:
    return x_bchw.contiguous(memory_format=torch.channels_last)

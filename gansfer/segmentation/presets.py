"""The two published 2-D DeepMedic architectures and their geometry, as plain numbers without torch.

Legend: a *segment* is what the normal pathway reads, its *output* the pixels that are classified
(a segment less 8 px on each side). A *patch* is a segment with the surroundings that the
low-resolution pathways read: `context_px` more on each side.

Sources: paper III.C names DeepMedic; numbers are the official implementation's model and training
configurations (v0.7.0, and the one of 2016), with 3x3x3 kernels and factors made 2-D.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import ceil

PATHWAY_MAPS = (30, 30, 40, 40, 40, 40, 50, 50)  # eight layers of 3x3, in every pathway
RECEPTIVE_FIELD_PX = 2 * len(PATHWAY_MAPS) + 1
MARGIN_PX = len(PATHWAY_MAPS)  # what valid convolutions take from each side
FC_DROPOUT = (0.0, 0.5, 0.5)
PRESET_EPOCHS = 35  # the length of training that `halve_at_epochs` belongs to


@dataclass(frozen=True)
class Preset:
    """One published architecture.

    Attributes:
        factors: odd subsampling factors of the low-resolution pathways.
        residual_layers: pathway layers (from 1) whose output gets the previous layer's input.
        fc_maps: widths of the two hidden fully connected layers.
        fc_first_kernel: side of the first fully connected layer's kernel (edge-padded).
        fc_residual_layers: as `residual_layers`, in the fully connected part.
        segment_px: side of a training segment.
        halve_at_epochs: epochs (from 0), at whose end the learning rate is halved.
    """

    factors: tuple[int, ...]
    residual_layers: tuple[int, ...]
    fc_maps: tuple[int, ...]
    fc_first_kernel: int
    fc_residual_layers: tuple[int, ...]
    segment_px: int
    halve_at_epochs: tuple[int, ...]

    @property
    def output_px(self) -> int:
        """Side of a training segment's output."""
        return self.segment_px - 2 * MARGIN_PX

    @property
    def context_px(self) -> int:
        """What a patch has on each side beyond its segment."""
        return max(self.low_pad_px(factor) + factor - 1 for factor in self.factors)

    def patch_px(self, output_px: int) -> int:
        """Side of the patch that gives an output of side `output_px`."""
        return output_px + 2 * (MARGIN_PX + self.context_px)

    @staticmethod
    def low_pad_px(factor: int) -> int:
        """How far before the segment a low-resolution pathway starts to pick.

        Its first output stands for the first block of `factor` x `factor` output pixels; its
        receptive field is centred on that block's middle pixel. (The official code starts
        `(factor - 1) / 2` px earlier, which centres it on the block's first pixel.)
        """
        return (factor // 2) * (RECEPTIVE_FIELD_PX - 2)

    @staticmethod
    def low_output_px(factor: int, output_px: int) -> int:
        """Side of a low-resolution pathway's output: whole blocks that cover `output_px`."""
        return ceil(output_px / factor)

    def n_parameters(self, n_classes: int, n_channels: int = 1) -> int:
        """Trainable numbers: kernels, batch-norm scales and shifts, PReLU slopes and biases."""
        n_pathways = 1 + len(self.factors)
        kernels = [*self._joining(n_classes), *(n_pathways * list(_pathway(n_channels)))]
        normed = n_pathways * sum(PATHWAY_MAPS[:-1]) + sum(self._fc_inputs())
        n_weights = sum(n_in * n_out * side**2 for n_in, n_out, side in kernels)
        return n_weights + 3 * normed + n_pathways * n_channels + n_classes

    def flops_per_segment(self, n_classes: int, n_channels: int = 1) -> int:
        """Operations of one training segment, forward and backward (3 x forward).

        Two for each multiply-add of a convolution; the rest is not counted.
        """
        side_px = self.output_px
        high = _pathway_flops(n_channels, side_px, side_px)
        return 3 * (high + self._join_flops(n_classes, n_channels, side_px))

    def flops_per_image(
        self, height_px: int, width_px: int, tile_px: int, n_classes: int, n_channels: int = 1
    ) -> int:
        """Operations to segment one slice in tiles of output side `tile_px`, counted as above."""
        n_tiles = ceil(height_px / tile_px) * ceil(width_px / tile_px)
        high = _pathway_flops(n_channels, max(height_px, tile_px), max(width_px, tile_px))
        return high + n_tiles * self._join_flops(n_classes, n_channels, tile_px)

    def _join_flops(self, n_classes: int, n_channels: int, side_px: int) -> int:
        low_px = [self.low_output_px(factor, side_px) for factor in self.factors]
        low = sum(_pathway_flops(n_channels, px, px) for px in low_px)
        fc = sum(n_in * n_out * kernel**2 for n_in, n_out, kernel in self._joining(n_classes))
        return low + 2 * fc * side_px**2

    def _fc_inputs(self) -> tuple[int, ...]:
        return (PATHWAY_MAPS[-1] * (1 + len(self.factors)), *self.fc_maps)

    def _joining(self, n_classes: int) -> list[tuple[int, int, int]]:
        """Maps in, maps out and kernel side of the fully connected layers."""
        kernels = (self.fc_first_kernel, *(1 for _ in self.fc_maps))
        return list(zip(self._fc_inputs(), (*self.fc_maps, n_classes), kernels, strict=True))


def _pathway(n_channels: int) -> list[tuple[int, int, int]]:
    """Maps in, maps out and kernel side of a pathway's layers."""
    ins = (n_channels, *PATHWAY_MAPS[:-1])
    return [(n_in, n_out, 3) for n_in, n_out in zip(ins, PATHWAY_MAPS, strict=True)]


def _pathway_flops(n_channels: int, height_px: int, width_px: int) -> int:
    """Forward operations of one pathway with an output of `height_px` x `width_px`."""
    total = 0
    for layer, (n_in, n_out, kernel) in enumerate(_pathway(n_channels), start=1):
        more_px = 2 * (len(PATHWAY_MAPS) - layer)
        total += 2 * n_in * n_out * kernel**2 * (height_px + more_px) * (width_px + more_px)
    return total


PRESETS: Mapping[str, Preset] = {
    "deepmedic": Preset(
        factors=(3, 5),
        residual_layers=(4, 6, 8),
        fc_maps=(250, 250),
        fc_first_kernel=3,
        fc_residual_layers=(2,),
        segment_px=37,
        halve_at_epochs=(17, 22, 27, 30, 33),
    ),
    "deepmedic-original": Preset(
        factors=(3,),
        residual_layers=(),
        fc_maps=(150, 150),
        fc_first_kernel=1,
        fc_residual_layers=(),
        segment_px=25,
        halve_at_epochs=(12, 16, 19, 22, 25, 28, 31, 34),
    ),
}

"""Volumes as stacks of slices: Z is the axis that the GAN and the segmenter never see."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy.typing as npt


def as_slices(volume_nzhw: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """[N, Z, H, W] -> [N * Z, H, W], a subject's slices together; copies only where it must."""
    return volume_nzhw.reshape(-1, *volume_nzhw.shape[2:])

"""Deformed copies of labelled volumes, made once, for a GAN to learn from. Not in the paper.

Legend: N volumes, Z slices, H rows, W columns.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch

from gansfer.augmentation.deform import Augmentation
from gansfer.settings import AugmentationSettings

Floats = npt.NDArray[np.float32]
Labels = npt.NDArray[np.uint8]


def with_deformed_copies(
    image_nzhw: Floats,
    label_nzhw: Labels,
    n_copies: int,
    settings: AugmentationSettings,
    spacing_mm: float,
    seed: int,
) -> tuple[Floats, Labels]:
    """Labelled volumes, and after them copies of which every slice is deformed, each otherwise.

    Image and label map of a slice are deformed alike, so a copy's labels lie on what they name.

    Args:
        image_nzhw: [N, Z, H, W] z-scored images.
        label_nzhw: [N, Z, H, W] label maps.
        n_copies: of each volume.
        settings: how much; its probability does not count, a copy is deformed.
        spacing_mm: side of a pixel.
        seed: of all that is drawn.

    Returns:
        [(1 + n_copies) * N, Z, H, W] each: the volumes as given, to the bit, then all of them
        again, `n_copies` times.
    """
    augmentation = Augmentation(settings.model_copy(update={"probability": 1.0}), spacing_mm)
    n_classes = int(label_nzhw.max(initial=0)) + 1
    copied_nzhw, copied_label_nzhw = (
        np.tile(a, (n_copies, 1, 1, 1)) for a in (image_nzhw, label_nzhw)
    )
    shape_nzhw = copied_nzhw.shape
    image_khw, label_khw = augmentation.deform(
        torch.from_numpy(copied_nzhw.reshape(-1, *shape_nzhw[2:])),
        torch.from_numpy(copied_label_nzhw.reshape(-1, *shape_nzhw[2:])),
        n_classes,
        seed,
    )
    return (
        np.concatenate([image_nzhw, image_khw.numpy().reshape(shape_nzhw)]),
        np.concatenate([label_nzhw, label_khw.numpy().reshape(shape_nzhw)]),
    )

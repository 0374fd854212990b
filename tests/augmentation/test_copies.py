from __future__ import annotations

import numpy as np
import numpy.typing as npt

from gansfer.augmentation.copies import with_deformed_copies
from gansfer.settings import AugmentationSettings

N, Z, H, W = 2, 3, 24, 24
NO_GAMMA = AugmentationSettings(probability=0.0, gamma_sd=0.0)


def volumes() -> tuple[npt.NDArray[np.float32], npt.NDArray[np.uint8]]:
    """A disc in each slice, as bright as its label."""
    rows, columns = np.mgrid[:H, :W]
    label_nzhw = np.zeros((N, Z, H, W), np.uint8)
    for n in range(N):
        for z in range(Z):
            inside = (rows - 12) ** 2 + (columns - 8 - 2 * z) ** 2 < 25
            label_nzhw[n, z][inside] = 1 + n
    return label_nzhw.astype(np.float32), label_nzhw


def test_the_volumes_come_first_as_they_were_and_then_their_copies() -> None:
    image_nzhw, label_nzhw = volumes()
    images, labels = with_deformed_copies(image_nzhw, label_nzhw, 3, NO_GAMMA, 2.0, seed=5)
    assert images.shape == labels.shape == (4 * N, Z, H, W)
    assert (images.dtype, labels.dtype) == (np.float32, np.uint8)
    assert np.array_equal(images[:N], image_nzhw)
    assert np.array_equal(labels[:N], label_nzhw)
    for copy in range(1, 4):  # the volumes in their order, so that what is known of each tiles
        for n in range(N):
            found = set(np.unique(labels[copy * N + n]))
            assert found == {0, 1 + n}


def test_every_slice_is_deformed_otherwise_and_its_labels_alike() -> None:
    image_nzhw, label_nzhw = volumes()
    images, labels = with_deformed_copies(image_nzhw, label_nzhw, 3, NO_GAMMA, 2.0, seed=5)
    copies_khw = images[N:].reshape(-1, H, W)
    given_khw = np.tile(image_nzhw, (3, 1, 1, 1)).reshape(-1, H, W)
    assert not any(
        np.array_equal(copy, given) for copy, given in zip(copies_khw, given_khw, strict=True)
    )
    assert len(np.unique(copies_khw, axis=0)) == 3 * N * Z
    # The image says the label: half of its brightness is where one ends.
    seen_khw = copies_khw > 0.5 * copies_khw.max((1, 2), keepdims=True)
    labelled_khw = labels[N:].reshape(-1, H, W) > 0
    overlap = 2 * (seen_khw & labelled_khw).sum() / (seen_khw.sum() + labelled_khw.sum())
    assert overlap > 0.97


def test_copies_are_drawn_from_the_seed() -> None:
    given = volumes()
    first = with_deformed_copies(*given, 1, NO_GAMMA, 2.0, seed=5)
    again = with_deformed_copies(*given, 1, NO_GAMMA, 2.0, seed=5)
    other = with_deformed_copies(*given, 1, NO_GAMMA, 2.0, seed=6)
    assert np.array_equal(first[0], again[0])
    assert not np.array_equal(first[0], other[0])

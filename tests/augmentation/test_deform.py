from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
import torch
from scipy.ndimage import map_coordinates

from gansfer.augmentation.deform import (
    Augmentation,
    gamma_curve,
    resampled_image,
    resampled_labels,
)
from gansfer.settings import AugmentationSettings

N_CLASSES = 4
K, H, W = 6, 24, 32
NOTHING = {
    "rotation_sd_deg": 0.0,
    "scale_sd": 0.0,
    "shift_sd_mm": 0.0,
    "elastic_sd_mm": 0.0,
    "gamma_sd": 0.0,
}


def augmentation(spacing_mm: float = 2.0, **changed: float) -> Augmentation:
    settings = AugmentationSettings.model_validate({"probability": 1.0} | changed)
    return Augmentation(settings, spacing_mm)


def slices(shape_hw: tuple[int, int] = (H, W)) -> tuple[torch.Tensor, torch.Tensor]:
    """Label maps of three discs, and images that are noise upon their values."""
    rng = np.random.default_rng(0)
    rows, columns = np.mgrid[: shape_hw[0], : shape_hw[1]]
    label_khw = np.zeros((K, *shape_hw), np.uint8)
    for k in range(K):
        for value in range(1, N_CLASSES):
            row, column = rng.uniform(5, min(shape_hw) - 5, 2)
            label_khw[k][(rows - row) ** 2 + (columns - column) ** 2 < 20] = value
    image_khw = label_khw + rng.normal(0, 0.1, label_khw.shape)
    return torch.from_numpy(image_khw.astype(np.float32)), torch.from_numpy(label_khw)


def source_pixels(grid_khw2: torch.Tensor) -> npt.NDArray[np.float64]:
    """[2, K, H, W], rows and columns in pixels, of a grid that has x before y."""
    x_khw, y_khw = grid_khw2.double().numpy().transpose(3, 0, 1, 2)
    return np.stack([((y_khw + 1) * H - 1) / 2, ((x_khw + 1) * W - 1) / 2])


def drawn_grid(**changed: float) -> torch.Tensor:
    generator = torch.Generator().manual_seed(3)
    return augmentation(**changed).sampling_grid(K, (H, W), generator)


def keys_kernel(distance: npt.NDArray[np.float64], a: float = -0.75) -> npt.NDArray[np.float64]:
    d = np.abs(distance)
    near = (a + 2) * d**3 - (a + 3) * d**2 + 1
    far = a * d**3 - 5 * a * d**2 + 8 * a * d - 4 * a
    return np.where(d <= 1, near, np.where(d < 2, far, 0.0))


def test_labels_are_those_of_a_slow_oracle() -> None:
    _, label_khw = slices()
    grid_khw2 = drawn_grid()
    place = source_pixels(grid_khw2)
    wanted = np.stack(
        [
            np.stack(
                [
                    map_coordinates(
                        (label_khw[k].numpy() == value).astype(float),
                        place[:, k],
                        order=1,
                        mode="reflect",
                    )
                    for value in range(N_CLASSES)
                ]
            )
            for k in range(K)
        ]
    )
    ours = resampled_labels(label_khw, grid_khw2, N_CLASSES).numpy()
    chosen = np.take_along_axis(wanted, ours[:, None].astype(int), axis=1)[:, 0]
    assert np.allclose(chosen, wanted.max(axis=1), atol=1e-4)  # a tie may fall to either
    assert ours.dtype == np.uint8 and (ours != label_khw.numpy()).mean() > 0.02


def test_images_are_those_of_a_slow_oracle() -> None:
    image_khw, _ = slices()
    grid_khw2 = drawn_grid()
    place = source_pixels(grid_khw2)
    # SciPy reads single pixels beyond the edge, and the kernel's formula does the rest.
    wanted = np.zeros((K, H, W))
    for k in range(K):
        first = np.floor(place[:, k])
        for down in range(-1, 3):
            for right in range(-1, 3):
                at = np.stack([first[0] + down, first[1] + right])
                pixel = map_coordinates(image_khw[k].numpy(), at, order=0, mode="reflect")
                weight = keys_kernel(place[0, k] - at[0]) * keys_kernel(place[1, k] - at[1])
                wanted[k] += weight * pixel
    ours = resampled_image(image_khw, grid_khw2).numpy()
    # Where a place lies beyond the edge, torch reflects the place and SciPy the pixels: the same
    # but for the kernel's order of pixels. Inside there is no such choice.
    inside = (place[0] >= 1) & (place[0] <= H - 3) & (place[1] >= 1) & (place[1] <= W - 3)
    assert inside.mean() > 0.6
    assert np.allclose(ours[inside], wanted[inside], atol=1e-4)


@pytest.mark.parametrize("shape_hw", [(H, W), (40, 40)])
def test_zero_strength_is_the_identity(shape_hw: tuple[int, int]) -> None:
    image_khw, label_khw = slices(shape_hw)
    image_out, label_out = augmentation(**NOTHING).deform(image_khw, label_khw, N_CLASSES, 5)
    assert torch.allclose(image_out, image_khw, atol=1e-5)
    assert torch.equal(label_out, label_khw)


def test_image_and_labels_move_together() -> None:
    """The image is its label map, so the deformed image is the deformed label map, but at edges."""
    _, label_khw = slices((40, 40))
    image_khw = (label_khw == 1).float() * 2
    image_out, label_out = augmentation(gamma_sd=0.0).deform(image_khw, label_khw, N_CLASSES, 5)
    assert (label_out != label_khw).float().mean() > 0.02
    agreement = ((image_out > 1) == (label_out == 1)).float().mean(dim=(1, 2))
    assert agreement.min() > 0.995
    unmoved = ((image_out > 1) == (label_khw == 1)).float().mean(dim=(1, 2))
    assert unmoved.min() < 0.98


def test_a_known_shift_is_in_millimetres() -> None:
    """Whatever the voxel's side, the displacement has the spread that the settings say."""
    for spacing_mm in (1.0, 2.0):
        one = augmentation(spacing_mm, **NOTHING | {"shift_sd_mm": 3.0})
        generator = torch.Generator().manual_seed(0)
        grid_khw2 = one.sampling_grid(500, (20, 40), generator)
        still = augmentation(spacing_mm, **NOTHING).sampling_grid(1, (20, 40), generator)
        half_mm = torch.tensor([40.0, 20.0]) * spacing_mm / 2
        moved_mm = (grid_khw2 - still) * half_mm
        assert moved_mm.std(dim=(1, 2)).max() < 1e-4  # a shift moves all alike
        assert moved_mm[:, 0, 0].std(dim=0).numpy() == pytest.approx([3.0, 3.0], rel=0.1)


def test_a_rotation_keeps_distances_on_slices_that_are_not_square() -> None:
    one = augmentation(**NOTHING | {"rotation_sd_deg": 20.0})
    grid_khw2 = one.sampling_grid(4, (20, 40), torch.Generator().manual_seed(0))
    place_mm = grid_khw2 * torch.tensor([40.0, 20.0])
    step_mm = (place_mm[:, 1:] - place_mm[:, :-1]).norm(dim=-1)
    assert torch.allclose(step_mm, torch.full_like(step_mm, 2.0), atol=1e-4)
    turned = (place_mm[:, 0, 1] - place_mm[:, 0, 0])[:, 1].abs()
    assert turned.max() > 0.2


def test_an_elastic_displacement_is_smooth_and_as_large_as_said() -> None:
    one = augmentation(**NOTHING | {"elastic_sd_mm": 2.5})
    generator = torch.Generator().manual_seed(0)
    grid_khw2 = one.sampling_grid(300, (40, 40), generator)
    still = augmentation(**NOTHING).sampling_grid(1, (40, 40), generator)
    moved_mm = (grid_khw2 - still) * 40.0
    corner = moved_mm[:, 0, 0]  # nearly a point of the lattice
    assert corner.std(dim=0).numpy() == pytest.approx([2.5, 2.5], rel=0.15)
    step = (moved_mm[:, 1:] - moved_mm[:, :-1]).abs()
    assert 0.02 < step.mean() < 0.5  # of pixels that are 2 mm apart


def test_chance_decides_which_slices_change_and_the_others_are_untouched() -> None:
    image_khw, label_khw = (tensor.repeat(50, 1, 1) for tensor in slices())
    half = augmentation(probability=0.5)
    image_out, label_out = half.deform(image_khw, label_khw, N_CLASSES, 1)
    same_k = (image_out == image_khw).flatten(1).all(1)
    assert 0.4 < same_k.float().mean() < 0.6
    assert torch.equal(label_out[same_k], label_khw[same_k])
    image_none, label_none = augmentation(probability=0.0).deform(image_khw, label_khw, 4, 1)
    assert torch.equal(image_none, image_khw) and torch.equal(label_none, label_khw)


def test_the_seed_decides_all_and_the_arguments_stay_as_they_are() -> None:
    image_khw, label_khw = slices()
    before = image_khw.clone(), label_khw.clone()
    one, same, other = (
        augmentation().deform(image_khw, label_khw, N_CLASSES, seed) for seed in (1, 1, 2**62)
    )
    assert torch.equal(one[0], same[0]) and torch.equal(one[1], same[1])
    assert not torch.equal(one[0], other[0])
    assert torch.equal(image_khw, before[0]) and torch.equal(label_khw, before[1])


def test_gamma_keeps_range_and_order() -> None:
    image_khw, _ = slices()
    out_khw = gamma_curve(image_khw, image_khw, torch.full((K,), 1.3))
    assert torch.allclose(out_khw.amax((1, 2)), image_khw.amax((1, 2)), atol=1e-5)
    assert torch.allclose(out_khw.amin((1, 2)), image_khw.amin((1, 2)), atol=1e-5)
    order = image_khw.flatten(1).argsort(1)
    assert (out_khw.flatten(1).gather(1, order).diff(dim=1) >= -1e-6).all()
    assert (out_khw <= image_khw + 1e-5).all() and (out_khw < image_khw - 0.05).any()
    flat = torch.full((2, H, W), 0.5)
    assert torch.equal(gamma_curve(flat, flat, torch.tensor([0.8, 1.2])), flat)

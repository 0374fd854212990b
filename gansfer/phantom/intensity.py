"""From tissues to a T1-weighted image: contrast, bias field, noise.

Intensities are relative to white matter (1) until the scanner's units come in.
N are the points of the grid, flattened.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from gansfer.phantom.anatomy import Axes, Places, lattice_field
from gansfer.phantom.individual import Individual
from gansfer.phantom.shapes import Floats

# T1 intensity of the pure tissue in young adults, white matter being 1: round numbers in the order
# that T1-weighted scans are known for (the more myelin, the brighter).
YOUNG_T1: Mapping[str, float] = {
    "white_matter": 1.0,
    "csf": 0.20,
    "cortex": 0.60,
    "diencephalon": 0.75,
    "brainstem": 0.90,
    "cerebellum": 0.65,
    "accumbens": 0.65,
    "amygdala": 0.62,
    "caudate": 0.70,
    "hippocampus": 0.62,
    "pallidum": 0.95,
    "putamen": 0.75,
    "thalamus": 0.80,
    "vessel": 1.9,
}
CONTRAST_LOSS = 0.25  # of grey against white matter, from 20 to 80 years
DARKEST = 0.02


def _gradients(name: str, places: Places) -> npt.NDArray[np.floating] | float:
    """How a tissue's intensity changes from place to place."""
    x, z = places.inner_lateral_n, places.inner_z_n
    if name == "white_matter":  # brightest in the corpus callosum and the internal capsule
        return 0.07 * np.exp(-((x / 24) ** 2) - ((z - 8) / 26) ** 2) - 0.03
    if name == "thalamus":  # towards the capsule it is rich in myelin
        return 0.10 * np.clip((x - 9) / 8, -1, 1) - 0.03 * np.clip((z - 8) / 8, -1, 1)
    if name == "putamen":
        return -0.05 * np.clip((x - 23) / 5, -1, 1)
    if name == "brainstem":
        return 0.06 * np.clip((places.lateral_n - 8) / 8, -1, 1)
    if name == "cerebellum":
        radius = np.sqrt(x**2 + 2.2 * (places.y_n + 52) ** 2 + 2.2 * (places.z_n + 40) ** 2)
        return 0.08 * np.sin(radius * (2 * np.pi / 6.5))
    return 0.0


def t1_image(
    shares: Mapping[str, Floats],
    brain_n: npt.NDArray[np.bool_],
    individual: Individual,
    places: Places,
    axes_mm: Axes,
    voxel_mm: float,
    rng: np.random.Generator,
) -> Floats:
    """A scan: positive inside the brain, 0 outside.

    Args:
        shares: [N] by tissue.
        brain_n: [N].
        individual: the subject's anatomy.
        places: of the grid's voxels.
        axes_mm: coordinates of the grid along x, y and z, mm.
        voxel_mm: voxel side, in a slice; noise averages out in larger voxels.
        rng: of the noise.

    Returns:
        [N] in the scanner's units.
    """
    lost = CONTRAST_LOSS * max(individual.ageing, 0.0)
    image = np.zeros(brain_n.shape, dtype=np.float32)
    for name, share_n in shares.items():
        mean = YOUNG_T1[name] + individual.contrast.get(name, 0.0)
        if name == "csf":
            mean -= 0.04 * max(individual.ageing, 0.0)
        else:
            mean += lost * (1.0 - mean)
        image += share_n * (np.float32(mean) + _gradients(name, places))
    spacing_mm, texture = individual.texture
    uneven = lattice_field(texture, spacing_mm, axes_mm).ravel()
    spacing_mm, bias = individual.bias
    uneven += lattice_field(bias, spacing_mm, axes_mm).ravel()
    image *= np.exp(uneven)
    # Rician, as in a magnitude image.
    noise_sd = np.float32(individual.noise_sd / max(voxel_mm, 1.0))
    noise = rng.standard_normal((2, image.size), dtype=np.float32) * noise_sd
    image = np.hypot(image + noise[0], noise[1])
    return np.where(brain_n, np.maximum(image, DARKEST) * individual.white_matter, 0.0).astype(
        np.float32
    )

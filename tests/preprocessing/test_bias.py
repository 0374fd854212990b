"""N4 takes a known smooth field out of a known image."""

import numpy as np

from gansfer.preprocessing.bias import correct_bias
from gansfer.subjects import Volume


def test_a_known_field_is_removed() -> None:
    shape = (40, 44, 36)
    rng = np.random.default_rng(0)
    grid = np.stack(np.meshgrid(*[np.linspace(-1, 1, n) for n in shape], indexing="ij"))
    brain_xyz = (grid**2).sum(0) < 0.8
    tissue_xyz = np.where(grid[2] + 0.3 * np.sin(9 * grid[0]) > 0, 1000.0, 600.0)
    clean_xyz = np.where(brain_xyz, tissue_xyz + rng.normal(0, 15, shape), 0)
    field_xyz = np.exp(0.3 * grid[0] - 0.2 * grid[1] ** 2)
    affine = np.diag([-4.0, 4, 4, 1])
    found = correct_bias(Volume((clean_xyz * field_xyz).astype(np.float32), affine), brain_xyz)
    ratio_v = np.asarray(found.array_xyz)[brain_xyz] / clean_xyz[brain_xyz]
    before_v = field_xyz[brain_xyz]
    assert ratio_v.std() / ratio_v.mean() < 0.35 * before_v.std() / before_v.mean()
    mean_before = (clean_xyz * field_xyz)[brain_xyz].mean()
    np.testing.assert_allclose(
        np.asarray(found.array_xyz)[brain_xyz].mean(), mean_before, rtol=1e-4
    )
    assert (np.asarray(found.array_xyz)[~brain_xyz] == 0).all()

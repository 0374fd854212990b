"""Paint one phantom subject on a grid: tissues, as layers with partial volume.

A point of the common space is led back to the average anatomy: residual affine, random warp, then
the expansion of the ventricles, which pushes the caudate, thalamus and their neighbours outward.
There each tissue is an implicit solid or sheet.

Axes legend: X Y Z are right, anterior and superior; N the points of the grid, flattened.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from gansfer.phantom.individual import HEAD_MM, Individual
from gansfer.phantom.shapes import LOFTS, STEP_MM, Floats
from gansfer.phantom.ventricle import VENTRICLE_Y_T, ventricle_axes

PUSH_REACH_MM = 12.0
CORTEX_MM = 3.0
Axes = tuple[Floats, Floats, Floats]


@dataclass(frozen=True)
class Layer:
    """A tissue over those painted before it: its share of each voxel that it covers.

    Attributes:
        name: tissue or structure.
        where_n: flat indices of the voxels, or None for all.
        share_n: 0 to 1, of the same length.
    """

    name: str
    where_n: npt.NDArray[np.intp] | None
    share_n: Floats


@dataclass(frozen=True)
class Places:
    """Each voxel's place in the average anatomy, mm, flattened; lateral is folded at the midline.

    Attributes:
        right_n: in the right hemisphere.
        lateral_n, y_n, z_n: after the affine and the random warp.
        inner_lateral_n, inner_z_n: the same with the ventricles shrunk to the average young.
        ventricle_n: depth in the lateral ventricle.
    """

    right_n: npt.NDArray[np.bool_]
    lateral_n: Floats
    y_n: Floats
    z_n: Floats
    inner_lateral_n: Floats
    inner_z_n: Floats
    ventricle_n: Floats


def lattice_field(lattice: Floats, spacing_mm: float, axes_mm: Axes) -> Floats:
    """Cubic B-spline of a lattice over the head, on a grid.

    Sums are written out, so that the result does not depend on a threaded library.

    Args:
        lattice: [K, K, K, ...].
        spacing_mm: between lattice points; the middle one lies at 0.
        axes_mm: coordinates of the grid along x, y and z, mm.
    """
    field = lattice
    for axis, line_mm in enumerate(axes_mm):
        place = np.clip((line_mm + HEAD_MM) / spacing_mm, 0.0, lattice.shape[axis] - 4 - 1e-3)
        first = place.astype(np.intp)
        t = (place - first).astype(np.float32)
        weights = (
            (1 - t) ** 3 / 6,
            (3 * t**3 - 6 * t**2 + 4) / 6,
            (-3 * t**3 + 3 * t**2 + 3 * t + 1) / 6,
            t**3 / 6,
        )
        shape = [1] * field.ndim
        shape[axis] = -1
        total = weights[0].reshape(shape) * np.take(field, first, axis=axis)
        for k in range(1, 4):
            total += weights[k].reshape(shape) * np.take(field, first + k, axis=axis)
        field = total
    return np.asarray(field, dtype=np.float32)


def _push(expansion: float, lateral_n: Floats, y_n: Floats, z_n: Floats) -> Axes:
    """Undo a lateral ventricle's expansion; also the depth of each point in that ventricle."""
    centre_s, axes_s = ventricle_axes(expansion)
    centre_t, axes_t = ventricle_axes(0.0)
    xx, xz, zz = axes_s.T
    radius = np.sqrt(xx * zz - xz**2)
    inverse = np.stack([zz, -xz, xx], axis=1) / (radius**2)[:, None]
    table = np.column_stack([centre_s, inverse, radius, centre_t - centre_s, axes_t])
    rows = np.clip(np.rint((y_n - VENTRICLE_Y_T[0]) / STEP_MM), 0, len(table) - 1)
    columns = table.astype(np.float32).T.copy()
    at = rows.astype(np.intp)
    x, z = lateral_n - columns[0][at], z_n - columns[1][at]
    ixz = columns[3][at]
    unit_x = columns[2][at] * x + ixz * z
    unit_z = ixz * x + columns[4][at] * z
    rho_squared = unit_x * unit_x + unit_z * unit_z
    rho = np.sqrt(rho_squared + 1e-6)
    ray = np.sqrt((x * x + z * z + 1e-3 * columns[5][at] ** 2) / (rho_squared + 1e-3))
    depth = (1.0 - rho) * ray
    shrink = 1.0 / np.maximum(rho, 1.0)
    fade = np.exp(np.minimum(depth, 0.0) / PUSH_REACH_MM)
    mixed = columns[9][at]
    move_x = columns[6][at] - x * shrink + (columns[8][at] * unit_x + mixed * unit_z) * shrink
    move_z = columns[7][at] - z * shrink + (mixed * unit_x + columns[10][at] * unit_z) * shrink
    moved = lateral_n + fade * move_x
    # Stay on this side of the midline, smoothly.
    inner_lateral = 0.5 * (moved + np.sqrt(moved * moved + 1.0)) - 0.5 * np.exp(-lateral_n)
    return np.maximum(inner_lateral, 0.0), z_n + fade * move_z, depth


def find_places(individual: Individual, axes_mm: Axes) -> Places:
    """Lead every voxel of a grid back to the average anatomy.

    Args:
        individual: the subject's anatomy.
        axes_mm: coordinates of the grid along x, y and z, mm.
    """
    grid = np.meshgrid(*axes_mm, indexing="ij", sparse=True)
    moved = []
    warp = sum(lattice_field(lattice, spacing, axes_mm) for spacing, lattice in individual.warps)
    for axis, row in enumerate(individual.affine):
        along = row[0] * grid[0] + row[1] * grid[1] + row[2] * grid[2] + row[3]
        moved.append((along + np.asarray(warp)[..., axis]).ravel())
    x_n, y_n, z_n = moved
    lateral_n = np.abs(x_n)
    inner_lateral_n, inner_z_n, ventricle_n = _push(individual.ventricle, lateral_n, y_n, z_n)
    # The third ventricle's walls move apart, the thalami with them.
    wider_mm = individual.third_ventricle_mm - 1.4
    wider_n = wider_mm * np.exp(-(((y_n + 11) / 14) ** 2) - ((inner_z_n + 1) / 13) ** 2)
    wall_n = 1.4 + wider_n
    inner_lateral_n = np.where(
        inner_lateral_n < wall_n,
        inner_lateral_n * (1.4 / wall_n),
        inner_lateral_n - wider_n * np.exp((wall_n - inner_lateral_n) / 14.0),
    )
    return Places(
        right_n=x_n > 0,
        lateral_n=lateral_n,
        y_n=y_n,
        z_n=z_n,
        inner_lateral_n=inner_lateral_n,
        inner_z_n=inner_z_n,
        ventricle_n=ventricle_n,
    )


def ramp(depth_n: Floats, blur_mm: float) -> Floats:
    """Share of a voxel inside a surface that lies `depth_n` mm away."""
    return np.clip(depth_n / blur_mm + 0.5, 0.0, 1.0)


def sheet(distance_n: Floats, half_mm: float, blur_mm: float) -> Floats:
    """Share of a voxel inside a sheet of a given half-width whose middle is `distance_n` away."""
    return ramp(distance_n + half_mm, blur_mm) - ramp(distance_n - half_mm, blur_mm)


def solid_layer(
    name: str,
    individual: Individual,
    places: Places,
    blur_mm: float,
    *,
    pushed: bool = True,
    grow_mm: float = 0.0,
) -> Layer:
    """One of `LOFTS`, in a subject's size and place.

    Args:
        name: which.
        individual: the subject's anatomy.
        places: of the grid's voxels.
        blur_mm: width over which its border is blurred.
        pushed: the lateral ventricle moves it.
        grow_mm: thickness added all round.
    """
    loft = LOFTS[name]
    lateral_n = places.inner_lateral_n if pushed else places.lateral_n
    z_n = places.inner_z_n if pushed else places.z_n
    box = [
        (line_n > low - 4.0) & (line_n < high + 4.0)
        for line_n, low, high in zip(
            (lateral_n, places.y_n, z_n), loft.low_mm, loft.high_mm, strict=True
        )
    ]
    where = np.flatnonzero(box[0] & box[1] & box[2])
    side = np.where(places.right_n[where], 0, 1)
    scale = np.asarray(individual.scale[name], dtype=np.float32)[side]
    shift = individual.shift_mm[name][side]
    local = [
        (line_n[where] - shift[:, k] - centre) / scale + np.float32(centre)
        for k, (line_n, centre) in enumerate(
            zip((lateral_n, places.y_n, z_n), loft.centre_mm, strict=True)
        )
    ]
    depth = loft.depth_mm(local[0], local[1], local[2]) * scale + np.float32(grow_mm)
    return Layer(name, where, ramp(depth, blur_mm))


def paint(layers: Iterator[Layer] | Sequence[Layer], n_voxels: int) -> dict[str, Floats]:
    """Each tissue's share of every voxel once later layers have covered earlier ones.

    Args:
        layers: from the bottom to the top.
        n_voxels: N.
    """
    shares: dict[str, Floats] = {}
    for layer in layers:
        if layer.where_n is None:
            for share_n in shares.values():
                share_n *= 1.0 - layer.share_n
            added = layer.share_n
        else:
            rest = 1.0 - layer.share_n
            for share_n in shares.values():
                share_n[layer.where_n] *= rest
            added = np.zeros(n_voxels, dtype=np.float32)
            added[layer.where_n] = layer.share_n
        shares[layer.name] = shares[layer.name] + added if layer.name in shares else added
    return shares

"""What lies around the deep grey matter: hull, cortex with sulci, brainstem, cerebellum, cisterns.

All distances are in millimetres, positive inside; N are the points of the grid, flattened.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import numpy.typing as npt
from scipy.ndimage import map_coordinates

from gansfer.phantom.anatomy import (
    CORTEX_MM,
    Axes,
    Layer,
    Places,
    lattice_field,
    ramp,
    sheet,
    solid_layer,
)
from gansfer.phantom.individual import Individual
from gansfer.phantom.shapes import Floats

Triple = tuple[float, float, float]
FAR_MM = 99.0
RIM_MM = 58.0
VAGUE_MM = {"thalamus": 1.5, "pallidum": 0.8, "accumbens": 0.8}  # borders rich in fibres


def _ellipsoid(places: Places, centre: Triple, radii: Triple, inner: bool = False) -> Floats:
    """Depth in an ellipsoid (and its mirror image)."""
    lateral_n = places.inner_lateral_n if inner else places.lateral_n
    z_n = places.inner_z_n if inner else places.z_n
    parts = [
        (line_n - np.float32(c)) / np.float32(r)
        for line_n, c, r in zip((lateral_n, places.y_n, z_n), centre, radii, strict=True)
    ]
    rho = np.sqrt(parts[0] ** 2 + parts[1] ** 2 + parts[2] ** 2)
    return np.asarray((1.0 - rho) * np.float32(min(radii)), dtype=np.float32)


def hull_depth_mm(places: Places) -> Floats:
    """Depth in the skull-stripped brain: [N] mm, negative outside.

    Args:
        places: of the grid's voxels.
    """
    x, y, z = places.lateral_n, places.y_n, places.z_n
    whole = _ellipsoid(places, (0, -17, 8), (66, 86, 63))
    temporal = _ellipsoid(places, (37, -8, -22), (24, 31, 24))
    stem = _ellipsoid(places, (0, -27, -34), (18, 15, 36))
    cerebellum = _ellipsoid(places, (0, -60, -34), (50, 32, 24))
    # Where there is no brain: the sella, the floor of the orbits, the petrous bones.
    orbit_floor = -21.0 + 9.0 * np.clip((x - 9.0) / 16.0, 0.0, 1.0)
    orbit = np.minimum(orbit_floor - z, y - 7.0)
    sella = _ellipsoid(places, (0, 2, -25), (15, 10, 12))
    petrous = np.minimum(-22.0 - z, np.minimum(x - 12.0, 28.0 - 0.9 * (y + 60.0) + FAR_MM))
    gap = np.minimum(
        np.maximum(orbit, petrous), -np.maximum(np.maximum(temporal, stem), cerebellum)
    )
    gap = np.maximum(gap, np.minimum(sella, -stem))
    return np.minimum(whole, -gap)


def _folds(
    individual: Individual,
    places: Places,
    shape: tuple[int, ...],
    steps_mm: tuple[float, ...],
    outside_core_n: npt.NDArray[np.bool_],
) -> Floats:
    """Distance to the nearest sheet of a random labyrinth whose walls run inward.

    Args:
        individual: the subject's anatomy.
        places: of the grid's voxels.
        shape: of the grid.
        steps_mm: sides of a voxel along x, y and z.
        outside_core_n: where it is wanted, and a voxel further; 0 elsewhere.
    """
    spacing_mm, lattice = individual.folds
    x_n = np.where(places.right_n, places.lateral_n, -places.lateral_n)
    centred = (x_n, places.y_n + 15.0, places.z_n - 8.0)
    radius = np.sqrt(centred[0] ** 2 + (0.8 * centred[1]) ** 2 + centred[2] ** 2) + 1.0
    outward = ((RIM_MM / radius) ** 0.6 / np.float32(spacing_mm)).astype(np.float32)
    middle = (np.asarray(lattice.shape, dtype=np.float32) - 1.0) / 2.0
    where = np.flatnonzero(outside_core_n)
    at = [(line_n * outward)[where] + c for line_n, c in zip(centred, middle, strict=True)]
    fold = np.zeros(outside_core_n.size, dtype=np.float32)
    # The lattice holds the coefficients of a cubic B-spline: no prefilter.
    fold[where] = map_coordinates(lattice, np.stack(at), order=3, prefilter=False, mode="nearest")
    fold = fold.reshape(shape)
    slope = np.sqrt(sum(part**2 for part in np.gradient(fold, *steps_mm)) + 4e-4)
    return np.asarray((np.abs(fold) / slope).ravel(), dtype=np.float32)


def _sulci(individual: Individual, places: Places, axes_mm: Axes, hull: Floats) -> Floats:
    """Distance to the nearest sulcus' middle."""
    spacing_mm, lattice = individual.wobble
    wobble = lattice_field(lattice, spacing_mm, axes_mm).reshape(-1, 3)
    x = np.abs(places.lateral_n + 0.5 * wobble[:, 0] * np.tanh(places.lateral_n / 6.0))
    y, z = places.y_n + wobble[:, 1], places.z_n + wobble[:, 2]
    wavy = replace(places, lateral_n=x, y_n=y, z_n=z)
    core = np.maximum(
        _ellipsoid(wavy, (0, -12, 16), (33, 44, 28)),
        _ellipsoid(wavy, (0, -2, 3), (44, 32, 20)),
    )
    core = np.maximum(core, _ellipsoid(wavy, (36, -20, -14), (9, 26, 6)))
    shape = tuple(len(line_mm) for line_mm in axes_mm)
    steps_mm = tuple(float(line_mm[1] - line_mm[0]) for line_mm in axes_mm)
    reach_mm = 3 * max(steps_mm)
    wanted = (core < 6.0 + reach_mm) & (hull > -reach_mm)
    nearest = np.maximum(_folds(individual, places, shape, steps_mm, wanted), core)
    # Interhemispheric fissure, outside the corpus callosum.
    callosum = _ellipsoid(places, (0, -7, 6), (FAR_MM, 35, 22.5), inner=True) * 1.25
    nearest = np.minimum(nearest, np.maximum(x, callosum))
    cingulate = np.maximum(np.abs(callosum + 10.0 + wobble[:, 0]), x - 9.0 - wobble[:, 1])
    nearest = np.minimum(nearest, np.maximum(cingulate, -12.0 - z))
    # Sylvian fissure: over the insula, out between the opercula, and in from the base.
    insula = np.abs(x - 37.0 + 0.012 * (z - 4.0) ** 2 + 0.006 * (y + 2.0) ** 2)
    patch = 1.0 - np.sqrt(((y + 4.0) / 23.0) ** 2 + ((z - 4.0) / 15.0) ** 2)
    nearest = np.minimum(nearest, np.maximum(insula, -14.0 * patch))
    opening = np.maximum(np.abs(z - 1.0 + 0.4 * (y + 4.0)), 35.5 - x)
    nearest = np.minimum(nearest, np.maximum(opening, np.abs(y + 4.0) - 27.0))
    basal = np.maximum(np.abs(y - 5.0 - 0.5 * (z + 10.0)), np.maximum(z + 7.0, 12.0 - x))
    nearest = np.minimum(nearest, basal)
    # Collateral sulcus, under the hippocampus.
    collateral = np.maximum(np.abs(x - 25.0 - 0.3 * (z + 30.0)), z + 22.0)
    return np.minimum(nearest, np.maximum(collateral, np.abs(y + 22.0) - 24.0))


def _stem(places: Places) -> tuple[Floats, Floats]:
    """Depth in the midbrain and pons, and in the cerebellum."""
    z = places.z_n
    knots = [-60.0, -36.0, -26.0, -20.0, -14.0, -8.0, -3.0]
    centre = np.interp(z, knots, [-30, -27, -24, -23.5, -23, -21, -19])
    pons = np.interp(z, knots, [12, 17, 17, 13.5, 9, 6, 4])
    peduncle = np.interp(z, knots, [0.1, 0.1, 0.1, 5, 7.5, 8, 7])
    tegmentum = np.interp(z, knots, [9, 11, 12, 12, 12.5, 12, 10])
    parts = []
    for x_mm, back_mm, half_x, half_y in (
        (0.0, -1.0, pons, 0.8 * pons + 0.1),
        (0.0, 3.5, tegmentum, 0.75 * tegmentum),
        (9.5, -3.0, peduncle, 1.2 * peduncle),
    ):
        x, y = (places.lateral_n - x_mm) / half_x, (places.y_n - centre + back_mm) / half_y
        parts.append((1.0 - np.sqrt(x * x + y * y)) * half_y)
    stem = np.maximum.reduce(parts)
    cerebellum = np.maximum(
        _ellipsoid(places, (0, -58, -34), (47, 28, 24)),
        _ellipsoid(places, (0, -50, -18), (14, 11, 11)),
    )
    return stem.astype(np.float32), np.minimum(cerebellum, -stem - 1.0).astype(np.float32)


def surroundings(
    individual: Individual, places: Places, axes_mm: Axes, blur_mm: float, hull: Floats
) -> Iterator[Layer]:
    """Layers under the deep grey matter, from the bottom up; the first is white matter.

    Args:
        individual: the subject's anatomy.
        places: of the grid's voxels.
        axes_mm: coordinates of the grid along x, y and z, mm.
        blur_mm: width over which a border is blurred.
        hull: [N] depth in the brain, mm.
    """
    yield Layer("white_matter", None, np.ones_like(places.lateral_n))
    sulci = _sulci(individual, places, axes_mm, hull)
    surface = np.minimum(hull - 0.8, sulci)
    yield Layer("cortex", None, ramp(CORTEX_MM + individual.sulcus_mm / 2 - surface, blur_mm))
    deep = _ellipsoid(places, (0, -4, -9), (9, 13, 8), inner=True)
    basal = _ellipsoid(places, (14, 3, -9), (13, 4, 4.5), inner=True)
    bridge = _ellipsoid(places, (14, 10, -4), (6, 5, 5), inner=True)  # of the ventral striatum
    grey = np.maximum(np.maximum(deep, basal), bridge)
    yield Layer("diencephalon", None, ramp(grey, blur_mm + 2.0))
    stem, cerebellum = _stem(places)
    yield Layer(
        "csf", None, sheet(sulci, individual.sulcus_mm, blur_mm) * ((stem < 0) | (places.z_n > -5))
    )
    artery = 0.9 - np.hypot(places.y_n - 3.0 - 0.2 * places.lateral_n, places.z_n + 14.0)
    artery = np.minimum(artery, 11.0 - np.abs(places.lateral_n - 15.0))
    yield Layer("vessel", None, ramp(artery, blur_mm))
    yield Layer(
        "csf",
        None,
        ramp(individual.sulcus_mm - 0.4 - hull, blur_mm) * ((stem < 0) | (places.z_n > -5)),
    )
    cistern_mm = 0.6 + 1.8 * individual.sulcus_mm
    below = ramp(-6.0 - places.z_n, 5.0)  # upwards it goes over into the thalamus and the capsule
    ambient = ramp(stem + cistern_mm, blur_mm) * ramp(-13.0 - places.y_n, 6.0)
    yield Layer("csf", None, ambient * (1.0 - ramp(stem, blur_mm)) * below)
    yield Layer("csf", None, ramp(cerebellum + cistern_mm, blur_mm))
    for centre, radii in (((0, -38, 3), (6, 4, 7)), ((8, -38, 1), (6.5, 1.6, 3))):
        yield Layer("csf", None, ramp(_ellipsoid(places, centre, radii) + cistern_mm / 2, blur_mm))
    yield Layer("cerebellum", None, ramp(cerebellum, blur_mm))
    yield Layer("brainstem", None, ramp(stem, blur_mm + 0.5) * below)
    aqueduct = 1.3 - np.hypot(places.lateral_n, places.y_n + 32.5)
    fourth = _ellipsoid(places, (0, -37, -33), (7, 4, 10))
    yield Layer(
        "csf", None, ramp(np.maximum(np.minimum(aqueduct, -2.0 - places.z_n), fourth), blur_mm)
    )


def deep_structures(individual: Individual, places: Places, blur_mm: float) -> Iterator[Layer]:
    """The seven structures and the ventricles, over the surroundings.

    Args:
        individual: the subject's anatomy.
        places: of the grid's voxels.
        blur_mm: width over which a border is blurred.
    """
    for name in ("thalamus", "putamen", "accumbens", "pallidum", "caudate"):
        yield solid_layer(name, individual, places, blur_mm + VAGUE_MM.get(name, 0.0))
    horn = solid_layer(
        "temporal_horn",
        individual,
        places,
        blur_mm,
        pushed=False,
        grow_mm=individual.temporal_horn_mm,
    )
    yield Layer("csf", horn.where_n, horn.share_n)
    for name in ("hippocampus", "amygdala"):
        yield solid_layer(name, individual, places, blur_mm, pushed=False)
    septum = places.lateral_n - 0.6
    lateral = ramp(places.ventricle_n, blur_mm) * ramp(septum, blur_mm)
    yield Layer("csf", None, lateral)
    third = solid_layer("third_ventricle", individual, places, blur_mm)
    yield Layer("csf", third.where_n, third.share_n)

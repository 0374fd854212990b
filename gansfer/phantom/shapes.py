"""The phantom's average anatomy: a few plain parameters for each structure, as solids.

A structure is a tapered tube: a bent centreline from its back end to its front end, and coronal
sections along it that are ellipses, widest somewhere between. The parameters are round numbers,
written from general anatomical knowledge (Talairach-like RAS millimetres) so that places and
volumes come near the textbook's; they were not measured on anyone's images. One hemisphere; the
other is its mirror image.

Axes legend: N points, T steps along y.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float32]
STEP_MM = 0.25
EMPTY_MM = 0.05


@dataclass(frozen=True)
class Tube:
    """A solid of elliptic coronal sections along a bent centreline.

    Attributes:
        back_mm, front_mm: the centreline's ends (lateral, y, height).
        bow_mm: how far its middle lies off the straight line (lateral, height).
        half_mm: half the long and the short axis of the widest section.
        tilt_degrees: of the long axis, from upright towards lateral, at the back and the front.
        taper: how each end closes, back and front: 0.5 as an ellipsoid, 1 as a cone, less bluntly.
            The widest section lies nearer to the blunter end.
    """

    back_mm: tuple[float, float, float]
    front_mm: tuple[float, float, float]
    bow_mm: tuple[float, float]
    half_mm: tuple[float, float]
    tilt_degrees: tuple[float, float]
    taper: tuple[float, float] = (0.5, 0.5)


TUBES: dict[str, Tube] = {
    # Under the head of the caudate, from beside the septum down towards the putamen.
    "accumbens": Tube((8, 5, -6), (11, 18, -2), (0, 0), (6, 3), (-45, -45)),
    # An almond before the hippocampus' head.
    "amygdala": Tube((20, -11, -13), (22, 2, -18), (0, 0), (7, 5), (-65, -55), (0.5, 0.4)),
    # Over the thalamus' shoulder: a thick head in front, a body that thins out backwards.
    "caudate": Tube((17, -21, 22), (13, 24, 2), (-2, 5), (10, 4.5), (35, 15), (0.9, 0.35)),
    # A bow around the midbrain; the tail rises behind the thalamus, the head is broad.
    "hippocampus": Tube((21, -38, 1), (22, -5, -18), (5, -3), (9.5, 5.5), (-65, -85), (0.5, 0.35)),
    # A wedge between the internal capsule and the putamen, nearer to the midline in front.
    "pallidum": Tube((24, -15, 1), (14, 6, 1), (0, 0), (6.5, 5), (0, 45), (0.5, 0.45)),
    # A lens lateral to the pallidum; its front turns in under the capsule.
    "putamen": Tube((28, -20, 4), (18, 20, 2), (2, 1), (11, 5.5), (-15, 25)),
    # An egg beside the third ventricle that opens outwards to the pulvinar.
    "thalamus": Tube((16, -33, 6), (6, -2, 7), (0, 2), (12, 10.5), (-45, 25), (0.4, 0.55)),
    # A slit over the hippocampus' outer side: the last part of the ventricle's C.
    "temporal_horn": Tube((32, -38, 0), (27, -5, -18), (4, 0), (5.5, 1.3), (-35, -50), (0.3, 0.5)),
    # A slit in the midline between the thalami.
    "third_ventricle": Tube((0, -27, 3), (0, 3, -8), (0, 0), (8, 1.4), (0, 0), (0.4, 0.4)),
}


def ellipse_axes(
    long_t: npt.NDArray[np.float64],
    short_t: npt.NDArray[np.float64],
    degrees_t: npt.NDArray[np.float64],
) -> npt.NDArray[np.float64]:
    """Symmetric semi-axis matrices of ellipses: [T, 3] their lateral, mixed and height elements.

    Args:
        long_t: [T] long semi-axes, mm.
        short_t: [T] short semi-axes, mm.
        degrees_t: [T] the long one's angle from upright towards lateral.
    """
    sine, cosine = np.sin(np.radians(degrees_t)), np.cos(np.radians(degrees_t))
    return np.stack(
        [
            long_t * sine**2 + short_t * cosine**2,
            (long_t - short_t) * sine * cosine,
            long_t * cosine**2 + short_t * sine**2,
        ],
        axis=1,
    )


def width_profile(
    along_t: npt.NDArray[np.float64], taper: tuple[float, float]
) -> npt.NDArray[np.float64]:
    """Width along a tube, 0 at its ends and 1 where it is widest.

    Args:
        along_t: [T] 0 at the back end, 1 at the front end; outside, the width is 0.
        taper: see `Tube`.
    """
    back, front = taper
    widest = back / (back + front)
    inside_t = np.clip(along_t, 0.0, 1.0)
    return (inside_t / widest) ** back * ((1.0 - inside_t) / (1.0 - widest)) ** front


def tube_sections(
    tube: Tube, y_t: npt.NDArray[np.float64]
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Coronal sections of a tube.

    Args:
        tube: which.
        y_t: [T] mm.

    Returns:
        centres [T, 2] (lateral, height; mm) and semi-axis matrices [T, 3] as of `ellipse_axes`.
        Past the ends the semi-axes are almost 0.
    """
    back, front = np.asarray(tube.back_mm), np.asarray(tube.front_mm)
    along_t = np.clip((y_t - back[1]) / (front[1] - back[1]), 0.0, 1.0)
    straight = back[[0, 2]] + along_t[:, None] * (front - back)[[0, 2]]
    centre = straight + (4.0 * along_t * (1.0 - along_t))[:, None] * np.asarray(tube.bow_mm)
    width_t = width_profile(along_t, tube.taper)
    long_t, short_t = (np.maximum(half_mm * width_t, EMPTY_MM) for half_mm in tube.half_mm)
    first, last = tube.tilt_degrees
    return centre, ellipse_axes(long_t, short_t, first + along_t * (last - first))


@dataclass(frozen=True)
class Loft:
    """A solid by its coronal ellipses, tabulated along y.

    Attributes:
        first_mm: y of the table's first row.
        table: [T, 6] lateral and height of the centre, the inverse semi-axis matrix (lateral,
            mixed, height; 1/mm) and the mean radius (mm).
        low_mm, high_mm: corners of its box (lateral, y, height).
        centre_mm: its centre of mass, about which it is scaled.
    """

    first_mm: float
    table: Floats
    low_mm: tuple[float, float, float]
    high_mm: tuple[float, float, float]
    centre_mm: tuple[float, float, float]

    @classmethod
    def from_tube(cls, tube: Tube) -> Loft:
        """Tabulate a tube."""
        y_t = np.arange(tube.back_mm[1] - 2.0, tube.front_mm[1] + 2.0 + STEP_MM / 2, STEP_MM)
        centre_t2, axes_t3 = tube_sections(tube, y_t)
        xx, xz, zz = axes_t3.T
        determinant = xx * zz - xz**2
        inverse = np.stack([zz, -xz, xx], axis=1) / determinant[:, None]
        radius = np.sqrt(determinant)
        solid = radius > 2 * EMPTY_MM
        reach = np.stack([np.hypot(xx, xz), np.hypot(xz, zz)], axis=1)[solid]
        low, high = (centre_t2[solid] - reach).min(0), (centre_t2[solid] + reach).max(0)
        y = y_t[solid]
        weight = np.pi * radius[solid] ** 2
        mean = (centre_t2[solid] * weight[:, None]).sum(0) / weight.sum()
        return cls(
            first_mm=float(y_t[0]),
            table=np.column_stack([centre_t2, inverse, radius]).astype(np.float32),
            low_mm=(float(low[0]), float(y[0]), float(low[1])),
            high_mm=(float(high[0]), float(y[-1]), float(high[1])),
            centre_mm=(float(mean[0]), float((y * weight).sum() / weight.sum()), float(mean[1])),
        )

    def depth_mm(self, lateral_n: Floats, y_n: Floats, height_n: Floats) -> Floats:
        """About how deep points lie under the surface, mm (negative outside).

        Args:
            lateral_n: [N] mm from the midline.
            y_n: [N] mm forward.
            height_n: [N] mm upward.
        """
        rows = np.clip(np.rint((y_n - self.first_mm) / STEP_MM), 0, len(self.table) - 1)
        centre_x, centre_z, ixx, ixz, izz, radius = self.table[rows.astype(np.intp)].T
        x, z = lateral_n - centre_x, height_n - centre_z
        rho_squared = (ixx * x + ixz * z) ** 2 + (ixz * x + izz * z) ** 2
        ray = np.sqrt((x * x + z * z + 1e-3 * radius**2) / (rho_squared + 1e-3))
        return np.asarray((1.0 - np.sqrt(rho_squared)) * ray, dtype=np.float32)


LOFTS: dict[str, Loft] = {name: Loft.from_tube(tube) for name, tube in TUBES.items()}

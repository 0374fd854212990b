"""The built-in cohort: brains from formulas, for trials, tests and demonstrations.

Every subject's true labels are known. They are handed out as `reference`, for measuring only;
`label` is there for the labelled subjects alone.

Axes legend: X Y Z are RAS.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from gansfer.errors import UserError
from gansfer.phantom.anatomy import Axes, find_places, paint
from gansfer.phantom.demographics import draw_subjects
from gansfer.phantom.individual import Individual, draw_individual
from gansfer.phantom.intensity import t1_image
from gansfer.phantom.surroundings import deep_structures, hull_depth_mm, surroundings
from gansfer.seeds import seed_for
from gansfer.settings import RoiSettings
from gansfer.structures import PAPER_STRUCTURES, label_value
from gansfer.subjects import RawSubject, Subject, Volume

MARGIN_MM = 16.0
SCANNER_BLUR_MM = 1.6


class PhantomSource:
    """A `Source` of simulated subjects, simulated on demand.

    The field of view is the region of interest and about 16 mm around it (whole voxels), so that
    cortex and the brain's lower outline are in it; intensities are later standardised over the
    brain inside it. A subject's anatomy depends on `seed` and its id alone: not on the voxel
    size, the region, or which process makes it.

    Args:
        n_labelled: young, healthy subjects with labels.
        n_unlabelled: subjects of all ages, up to CDR 2, without labels.
        seed: of the cohort.
        roi: region and voxel size; its voxel centres are voxel centres of the images.
        structures: which structures to label, in order.

    Raises:
        UserError: a structure is not one of the seven.
    """

    def __init__(
        self,
        n_labelled: int,
        n_unlabelled: int,
        *,
        seed: int,
        roi: RoiSettings,
        structures: Sequence[str] = PAPER_STRUCTURES,
    ) -> None:
        unknown = [name for name in structures if name not in PAPER_STRUCTURES]
        if unknown:
            raise UserError(
                f"structures: the built-in cohort has no {', '.join(unknown)}; "
                f"choose from {', '.join(PAPER_STRUCTURES)}"
            )
        self._seed = seed
        self._roi = roi
        self._structures = tuple(structures)
        self._subjects = {
            subject.id: subject for subject in draw_subjects(n_labelled, n_unlabelled, seed=seed)
        }

    def subjects(self) -> list[Subject]:
        """Everyone: labelled subjects first, all of them in the unlabelled pool too."""
        return list(self._subjects.values())

    def tables(self) -> tuple[Path, ...]:
        """None: nothing is read."""
        return ()

    def files(self, subject_id: str) -> tuple[Path, ...]:
        """None: nothing is read."""
        return ()

    def in_common_space(self, subject_id: str) -> bool:
        """Every image is simulated there."""
        return True

    def load(self, subject_id: str) -> RawSubject:
        """Make one subject's image, mask and labels.

        Args:
            subject_id: as in `subjects()`.

        Raises:
            UserError: no subject has this id.
        """
        if subject_id not in self._subjects:
            raise UserError(
                f"{subject_id}: not in the built-in cohort of {len(self._subjects)} subjects; "
                f"ids run from phantom-0001 to phantom-{len(self._subjects):04d}"
            )
        subject = self._subjects[subject_id]
        age_years, cdr = subject.age_years or 0.0, subject.cdr or 0.0
        rng = np.random.default_rng(seed_for(self._seed, "phantom", subject_id))
        individual = draw_individual(rng, age_years, cdr)
        noise_rng = np.random.default_rng(seed_for(self._seed, "phantom-noise", subject_id))
        axes_mm, affine_ras = field_of_view(self._roi)
        image_xyz, true_xyz, white_xyz = scan(individual, axes_mm, self._roi.voxel_mm, noise_rng)
        label_of = np.zeros(len(PAPER_STRUCTURES) + 1, dtype=np.uint8)
        for name in self._structures:
            label_of[label_value(name, PAPER_STRUCTURES)] = label_value(name, self._structures)
        reference_xyz = label_of[true_xyz]
        return RawSubject(
            subject=subject,
            image=Volume(image_xyz, affine_ras),
            brain_mask=image_xyz > 0,
            label=reference_xyz.copy() if subject.labelled else None,
            white_matter_mask=white_xyz if subject.labelled else None,
            reference=reference_xyz,
            in_common_space=True,
        )


def field_of_view(roi: RoiSettings) -> tuple[Axes, npt.NDArray[np.float64]]:
    """Voxel centres of the region and its margin.

    Args:
        roi: region and voxel size.

    Returns:
        coordinates along x, y and z (mm), and the affine [4, 4] voxel index -> RAS mm.
    """
    affine_ras = np.diag([*roi.spacing_xyz_mm, 1.0])
    lines = []
    for axis, step_mm in enumerate(roi.spacing_xyz_mm):
        margin = round(MARGIN_MM / step_mm)
        n_voxels = round(roi.size_mm[axis] / step_mm) + 2 * margin
        first_mm = roi.centre_mm[axis] - roi.size_mm[axis] / 2 + (0.5 - margin) * step_mm
        affine_ras[axis, 3] = first_mm
        lines.append((first_mm + step_mm * np.arange(n_voxels)).astype(np.float32))
    return (lines[0], lines[1], lines[2]), affine_ras


def scan(
    individual: Individual, axes_mm: Axes, voxel_mm: float, rng: np.random.Generator
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.uint8], npt.NDArray[np.bool_]]:
    """A subject's image, true labels and true white matter on a grid.

    Args:
        individual: the subject's anatomy.
        axes_mm: coordinates of the grid along x, y and z, mm.
        voxel_mm: voxel side, in a slice.
        rng: of the image's noise.

    Returns:
        image [X, Y, Z] in the scanner's units, 0 outside the brain; labels [X, Y, Z] in the order
        of `PAPER_STRUCTURES` (the tissue with the largest share of the voxel); white matter
        [X, Y, Z].
    """
    shape = (len(axes_mm[0]), len(axes_mm[1]), len(axes_mm[2]))
    blur_mm = float(np.hypot(voxel_mm, SCANNER_BLUR_MM))
    places = find_places(individual, axes_mm)
    hull_n = hull_depth_mm(places)
    brain_n = hull_n > 0.0
    layers = [
        *surroundings(individual, places, axes_mm, blur_mm, hull_n),
        *deep_structures(individual, places, blur_mm),
    ]
    shares = paint(layers, places.lateral_n.size)
    image_n = t1_image(shares, brain_n, individual, places, axes_mm, voxel_mm, rng)
    label_n = np.zeros(brain_n.shape, dtype=np.uint8)
    largest_n = 1.0 - sum(shares[name] for name in PAPER_STRUCTURES)
    for value, name in enumerate(PAPER_STRUCTURES, start=1):
        label_n[shares[name] > largest_n] = value
        largest_n = np.maximum(largest_n, shares[name])
    label_n[~brain_n] = 0
    white_n = (shares["white_matter"] > 0.5) & brain_n & (label_n == 0)
    return image_n.reshape(shape), label_n.reshape(shape), white_n.reshape(shape)

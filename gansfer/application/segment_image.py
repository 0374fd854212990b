"""One new image through a model: the preprocessing of its cohort, the network, and back.

Axes legend: x y z are voxel axes of the image; Z H W slices, rows and columns of the region.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from gansfer.application.label_numbers import numbered, volumes_mm3
from gansfer.application.likeness import unlike, volumes_ml
from gansfer.application.model_file import SegmenterModel
from gansfer.application.own_grid import to_own_grid
from gansfer.preprocessing.placing import place_and_align
from gansfer.preprocessing.roi_check import roi_affine
from gansfer.progress import Silent, Watch
from gansfer.resampling import resample_labels
from gansfer.segmentation.predict import segment_slices
from gansfer.subjects import RawSubject


@dataclass(frozen=True)
class SegmentedImage:
    """An image and its segmentation.

    Attributes:
        id: of the image.
        written_xyz: label map on the image's own grid, in the protocol's numbers.
        affine_ras: [4, 4] of that grid, voxel index -> RAS mm.
        placed: the image's header says where it lies.
        volume_mm3: by the name of each number, in the image's own millimetres.
        image_zhw: normalised, in the region of interest.
        label_zhw: the network's labels there, 0 and 1..S.
        shown_zhw: the written label map, brought there again, to be looked at.
        common_from_native: [4, 4] RAS mm of the image -> of the common space.
        similarity: of the registration; None where there was none.
        warnings: what is unlike the training cohort or missing, in words.
        notes: what is odd with the files, though they can be used.
    """

    id: str
    written_xyz: npt.NDArray[np.integer]
    affine_ras: npt.NDArray[np.float64]
    placed: bool
    volume_mm3: dict[str, float]
    image_zhw: npt.NDArray[np.float32]
    label_zhw: npt.NDArray[np.uint8]
    shown_zhw: npt.NDArray[np.uint8]
    common_from_native: npt.NDArray[np.float64]
    similarity: float | None
    warnings: tuple[str, ...]
    notes: tuple[str, ...]


def segment_image(
    raw: RawSubject, model: SegmenterModel, *, device: str = "cpu", watch: Watch | None = None
) -> SegmentedImage:
    """Segment an image as it was read.

    Args:
        raw: the image and its brain; registered if it is not in the common space.
        model: the segmenter; it has a template where the image is to be registered.
        device: where the network runs.
        watch: told of progress; asked whether to stop.

    Raises:
        UserError: no alignment was found, or the region holds none of the brain.
        StopRequested: the watch asked for it.
    """
    facts = model.facts
    prepared, common_from_native = place_and_align(raw, facts.roi, model.template, correct=facts.n4)
    # The shards that the network learnt from hold float16.
    image_zhw = prepared.image_zhw.astype(np.float16).astype(np.float32)
    label_zhw = segment_slices(
        model.state,
        image_zhw,
        facts.segmenter,
        1 + len(facts.structures),
        watch=watch or Silent(),
        device=device,
    )
    affine_ras = raw.image.affine_ras
    common_from_voxel = common_from_native @ affine_ras
    voxel_from_roi = np.linalg.inv(common_from_voxel) @ roi_affine(facts.roi)
    x, y, z = raw.image.array_xyz.shape
    label_xyz = to_own_grid(label_zhw, voxel_from_roi, (x, y, z))
    written_xyz = numbered(label_xyz, facts.structures, facts.numbers, common_from_voxel)
    warnings = unlike(
        facts.likeness,
        model.mean_zhw,
        image_zhw,
        volumes_ml(label_zhw, facts.structures, facts.roi.spacing_zhw_mm),
    )
    return SegmentedImage(
        id=raw.subject.id,
        written_xyz=written_xyz,
        affine_ras=affine_ras,
        placed=raw.image.placed,
        volume_mm3=volumes_mm3(written_xyz, facts.numbers, affine_ras),
        image_zhw=image_zhw,
        label_zhw=label_zhw,
        shown_zhw=resample_labels(label_xyz, voxel_from_roi, facts.roi.shape_zhw),
        common_from_native=common_from_native,
        similarity=prepared.registration_similarity,
        warnings=warnings,
        notes=prepared.notes,
    )

"""A trained segmenter in a notebook.

Legend: Z slices, H rows, W columns.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from safetensors.torch import load_file

from gansfer.cohort.shards import Cohort
from gansfer.errors import UserError
from gansfer.progress import Silent
from jobs.stages.context import Context
from jobs.stages.segmenting import segment_volumes


class TrainedSegmenter:
    """The segmenter of one cell and arm.

    Attributes:
        structures: names of labels 1, 2, ...
    """

    def __init__(self, context: Context, cohort: Cohort) -> None:
        self.structures = cohort.structures
        self._context, self._cohort = context, cohort
        self._state = load_file(context.files.model)

    def predict(self, volume: str | npt.NDArray[np.floating]) -> npt.NDArray[np.uint8]:
        """Segment a subject of the cohort, a volume or generated slices.

        Args:
            volume: a subject's id; or [Z, H, W] in the cohort's common space, z-scored: in
                standard deviations of the brain's intensities. Z is free, H and W the cohort's.

        Returns:
            Label map [Z, H, W] uint8, 0 background, k + 1 structure k.

        Raises:
            UserError: no such subject, another shape, or a value that is not finite.
        """
        image_nzhw = (
            self._cohort.images([volume]) if isinstance(volume, str) else self._checked(volume)
        )
        n_classes = 1 + len(self.structures)
        return segment_volumes(self._context, self._state, image_nzhw, n_classes, Silent())[0]

    def __repr__(self) -> str:
        return f"<TrainedSegmenter {'/'.join(self._context.task.cell.parts)}>"

    def _checked(self, volume_zhw: npt.NDArray[np.floating]) -> npt.NDArray[np.float32]:
        image_zhw = np.ascontiguousarray(volume_zhw, np.float32)
        in_plane = self._cohort.shape_zhw[1:]
        if image_zhw.ndim != 3 or image_zhw.shape[1:] != in_plane or not len(image_zhw):
            raise UserError(
                f"volume: shape {image_zhw.shape}, expected [Z, {in_plane[0]}, {in_plane[1]}], "
                "the cohort's grid; gansfer segment takes an image on its own grid"
            )
        if not np.isfinite(image_zhw).all():
            raise UserError("volume: not all of its values are finite; expected z-scores")
        return image_zhw[None]

"""Predicted label maps as one HDF5 file: `id` [N] and `label` [N, Z, H, W], uint8.

Attributes: `structures`, the names of labels 1, 2, ...; `spacing_zhw_mm`; `ras_from_zhw`, the
affine from voxel index to RAS millimetres of the common space.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from pathlib import Path

import h5py
import numpy as np
import numpy.typing as npt

from gansfer.hdf5 import dataset, reading_hdf5, replacing_hdf5


def write_predictions(
    path: Path,
    ids: Sequence[str],
    label_nzhw: npt.NDArray[np.uint8],
    names: Sequence[str],
    spacing_zhw_mm: tuple[float, float, float],
    ras_from_zhw: npt.NDArray[np.float64],
) -> None:
    """Write label maps of subjects, atomically.

    Args:
        path: the file.
        ids: subject of each map.
        label_nzhw: [N, Z, H, W], 0 background and 1..S.
        names: of labels 1, 2, ...
        spacing_zhw_mm: voxel size.
        ras_from_zhw: [4, 4] voxel index -> RAS millimetres of the common space.
    """
    with replacing_hdf5(path) as file:
        file.create_dataset("id", data=list(ids), dtype=h5py.string_dtype())
        # HDF5 cannot chunk a data set without elements.
        options = {"chunks": (1, *label_nzhw.shape[1:]), "compression": "gzip"} if len(ids) else {}
        file.create_dataset("label", data=label_nzhw, **options)
        file.attrs["structures"] = list(names)
        file.attrs["spacing_zhw_mm"] = spacing_zhw_mm
        file.attrs["ras_from_zhw"] = ras_from_zhw


def read_predictions(
    path: Path, only: Collection[str] | None = None
) -> dict[str, npt.NDArray[np.uint8]]:
    """Label maps [Z, H, W] by subject.

    Args:
        path: the file.
        only: the subjects to read, as far as they are there; None: all.

    Raises:
        UserError: the file is missing or damaged.
    """
    with reading_hdf5(path, "run the stage that wrote it again") as file:
        ids = [str(one) for one in dataset(file, "id", 1).asstr()[:]]
        labels = dataset(file, "label", 4)
        if len(set(ids)) != len(labels) or labels.dtype != np.uint8:
            raise ValueError(f"{len(set(ids))} subjects for {labels.shape} of {labels.dtype}")
        if only is not None:
            return {one: labels[k] for k, one in enumerate(ids) if one in only}
        return dict(zip(ids, labels[:], strict=True))

"""The synthetic data set on disk: one HDF5 file for each GAN and phase (III.B).

Rejected slices stay in the file, marked, so that the filter can be looked at and changed.

Axes legend: K generated slices, H rows, W columns.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np
import numpy.typing as npt

from gansfer.errors import UserError
from gansfer.hdf5 import dataset, reading_hdf5, replacing_hdf5

Attribute = str | int | float | bool
_CHUNK_SLICES = 64

# Field of SyntheticSet -> (name in the file, type in the file).
_COLUMNS = {
    "image_khw": ("image", np.float16),
    "label_khw": ("label", np.uint8),
    "slice_index_k": ("slice_index", np.int32),
    "score_k": ("score", np.float32),
    "kept_k": ("kept", np.bool_),
    "latent_seed_k": ("latent_seed", np.int64),
    "latent_index_k": ("latent_index", np.int64),
}


@dataclass(frozen=True)
class SyntheticSet:
    """Generated slices with their labels, and where each came from.

    Attributes:
        image_khw: [K, H, W] MR channel, z-scored intensities.
        label_khw: [K, H, W] uint8 label map, 0 background.
        slice_index_k: [K] z of the nearest real training slice.
        score_k: [K] distance to the nearest real image, in the image's units.
        kept_k: [K] passed the realism filter.
        latent_seed_k: [K] seed of the stream of latents (below 2**63).
        latent_index_k: [K] which latent of that stream.
    """

    image_khw: npt.NDArray[np.floating]
    label_khw: npt.NDArray[np.uint8]
    slice_index_k: npt.NDArray[np.integer]
    score_k: npt.NDArray[np.floating]
    kept_k: npt.NDArray[np.bool_]
    latent_seed_k: npt.NDArray[np.integer]
    latent_index_k: npt.NDArray[np.integer]

    def __post_init__(self) -> None:
        if self.image_khw.ndim != 3 or self.image_khw.shape != self.label_khw.shape:
            raise ValueError(
                f"image_khw is {self.image_khw.shape} and label_khw {self.label_khw.shape}, "
                "expected the same three axes"
            )
        for field in fields(self):
            if len(getattr(self, field.name)) != len(self.image_khw):
                raise ValueError(
                    f"{field.name} has {len(getattr(self, field.name))} entries "
                    f"for {len(self.image_khw)} slices"
                )

    def __len__(self) -> int:
        return len(self.image_khw)

    def kept(self) -> SyntheticSet:
        """Only the slices that passed the realism filter."""
        return SyntheticSet(**{f.name: getattr(self, f.name)[self.kept_k] for f in fields(self)})


def write_synthetic(
    path: Path, synthetic: SyntheticSet, attributes: Mapping[str, Attribute]
) -> None:
    """Write a set to one HDF5 file, atomically, every slice of it.

    Args:
        path: the file; replaced if there.
        synthetic: the set; images are stored as float16.
        attributes: what the file should say of itself (phase, units, versions).

    Raises:
        UserError: a kept image is not finite in float16.
    """
    image_khw = synthetic.image_khw.astype(np.float16)
    bad_k = synthetic.kept_k & ~np.isfinite(image_khw).all(axis=(1, 2))
    if bad_k.any():
        raise UserError(
            f"{path.name}: {bad_k.sum()} of {len(bad_k)} slices are kept but not finite, expected "
            "z-scored intensities; the generator has diverged, train it again"
        )
    with replacing_hdf5(path) as file:
        for field, (name, dtype) in _COLUMNS.items():
            values = image_khw if field == "image_khw" else getattr(synthetic, field)
            values = np.asarray(values, dtype)
            if values.ndim == 3 and len(values):
                file.create_dataset(
                    name,
                    data=values,
                    chunks=(min(_CHUNK_SLICES, len(values)), *values.shape[1:]),
                    compression="gzip",
                    compression_opts=1,
                    shuffle=True,
                )
            else:
                file.create_dataset(name, data=values)
        for key, value in attributes.items():
            file.attrs[key] = value


def read_synthetic(path: Path, *, kept_only: bool = True) -> SyntheticSet:
    """Read a set written by `write_synthetic`.

    Args:
        path: the file.
        kept_only: leave out the slices that the realism filter rejected.

    Raises:
        UserError: the file is missing, damaged or lacks a column.
    """
    with reading_hdf5(path, "run the stage synthesise again") as file:
        missing = [name for name, _ in _COLUMNS.values() if name not in file]
        if missing:
            raise UserError(
                f"{path}: no {', '.join(missing)}, expected a file written by the stage "
                "synthesise; run that stage again"
            )
        values = {}
        for field, (name, dtype) in _COLUMNS.items():
            column = dataset(file, name, 3 if field.endswith("khw") else 1)
            if column.dtype != dtype:
                raise ValueError(f"{name} is {column.dtype}, expected {np.dtype(dtype)}")
            values[field] = column[...]
        synthetic = SyntheticSet(**values)
    return synthetic.kept() if kept_only else synthetic


def concatenate(sets: Sequence[SyntheticSet]) -> SyntheticSet:
    """The union of several sets, in order: phases ("P2&3", IV.A) or a cell's groups (III.F).

    Raises:
        ValueError: no set is given.
    """
    if not sets:
        raise ValueError("no synthetic sets to concatenate")
    return SyntheticSet(
        **{
            field: np.concatenate([getattr(synthetic, field) for synthetic in sets])
            for field in _COLUMNS
        }
    )

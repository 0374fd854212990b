"""A cell as NIfTI stacks with affines, or as PNG grids to look at.

Legend: Z slices of a subject, K synthetic slices, H W rows and columns.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import nibabel
import numpy as np
import numpy.typing as npt

from gansfer.atomic import write_csv, write_json
from gansfer.drawing.slices import sample_grid
from gansfer.export.cell import ExportedCell, SyntheticPart, new_folder

_GRID_SLICES = 64
_COLUMNS = ("slice_index", "score", "latent_seed", "latent_index")


def write_nifti(out: Path, cell: ExportedCell) -> Path:
    """Write an image and a label file for each subject and each synthetic set.

    A subject's stack lies in the common space. A synthetic set has its in-plane geometry, but its
    third axis is a count: the table beside it says which slice of the region each stands for.

    Args:
        out: the cell's folder is created in it.
        cell: what to write.

    Raises:
        UserError: the folder is there already.
    """
    with new_folder(out / cell.name) as folder:
        for which, subjects in (("training", cell.training), ("test", cell.test)):
            for subject in subjects:
                stem = f"{which}_{subject.id}"
                _write_stack(folder / f"{stem}_image.nii.gz", subject.image_zhw, cell.ras_from_zhw)
                _write_stack(folder / f"{stem}_label.nii.gz", subject.label_zhw, cell.ras_from_zhw)
        for part in cell.synthetic:
            stem = f"synthetic_{part.name}"
            image_khw = part.slices.image_khw.astype(np.float32)
            _write_stack(folder / f"{stem}_image.nii.gz", image_khw, cell.ras_from_zhw)
            _write_stack(folder / f"{stem}_label.nii.gz", part.slices.label_khw, cell.ras_from_zhw)
            _write_table(folder / f"{stem}.csv", part)
        labels = {name: k + 1 for k, name in enumerate(cell.structures)}
        write_json(folder / "labels.json", {"background": 0} | labels)
    return out / cell.name


def write_png(out: Path, cell: ExportedCell) -> Path:
    """Write grids of 64 slices, structures outlined: each training subject, then synthetic ones.

    Args:
        out: the cell's folder is created in it.
        cell: what to write.

    Raises:
        UserError: the folder is there already.
    """
    with new_folder(out / cell.name) as folder:
        for stem, image_khw, label_khw in _stacks(cell):
            starts = range(0, len(image_khw), _GRID_SLICES)
            for page, start in enumerate(starts, start=1):
                here = slice(start, start + _GRID_SLICES)
                sample_grid(
                    folder / f"{stem}_{page:03d}.png",
                    image_khw[here],
                    label_khw[here],
                    cell.structures,
                    title=f"{stem.replace('_', ' ')}, {page} of {len(starts)}",
                )
    return out / cell.name


def _stacks(
    cell: ExportedCell,
) -> Iterator[tuple[str, npt.NDArray[np.float32], npt.NDArray[np.uint8]]]:
    for subject in cell.training:
        yield f"training_{subject.id}", subject.image_zhw, subject.label_zhw
    for part in cell.synthetic:
        slices = part.slices
        yield f"synthetic_{part.name}", slices.image_khw.astype(np.float32), slices.label_khw


def _write_stack(path: Path, stack_zhw: npt.NDArray, ras_from_zhw: npt.NDArray[np.float64]) -> None:
    # Columns first, as readers of NIfTI expect; the affine's columns go with them.
    affine = ras_from_zhw[:, [2, 1, 0, 3]]
    image = nibabel.Nifti1Image(np.ascontiguousarray(stack_zhw.transpose(2, 1, 0)), affine)
    image.header.set_xyzt_units("mm")
    nibabel.save(image, path)


def _write_table(path: Path, part: SyntheticPart) -> None:
    columns = [getattr(part.slices, f"{name}_k").tolist() for name in _COLUMNS]
    rows = zip(range(len(part.slices)), *columns, strict=True)
    write_csv(path, ("place", *_COLUMNS), rows)

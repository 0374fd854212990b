"""A cell as an nnU-Net v2 dataset: its raw layout, `dataset.json` and `splits_final.json`.

After nnU-Net's documentation (dataset_format.md, manual_data_splits.md) and the reader SimpleITKIO,
which takes 2-D NIfTI files as they are: every slice is a case. Synthetic cases are in every
training set and in no validation set.

Legend: Z slices of a subject, K synthetic slices, H W rows and columns.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import SimpleITK

from gansfer.atomic import write_json
from gansfer.export.cell import ExportedCell, RealCase, SyntheticPart, new_folder

FILE_ENDING = ".nii.gz"
_SPLITS = 5


def write_nnunet(out: Path, cell: ExportedCell, dataset_id: int) -> Path:
    """Write `DatasetNNN_<cell>` into an `nnUNet_raw` folder; its path is returned.

    `imagesTr` and `labelsTr` hold the training subjects' slices and the synthetic ones, `imagesTs`
    and `labelsTs` the test subjects'. nnU-Net wants `splits_final.json` in its folder of
    preprocessed data: copy it there after planning.

    Args:
        out: the folder `nnUNet_raw`.
        cell: what to write.
        dataset_id: 1 to 999; nnU-Net's own are below 11.

    Raises:
        UserError: the dataset is there already.
    """
    name = f"Dataset{dataset_id:03d}_gansfer-{cell.name.replace('_', '-')}"
    by_subject: dict[str, list[str]] = {}
    synthetic: list[str] = []
    with new_folder(out / name) as folder:
        for subject in cell.training:
            cases = _real_cases(cell, subject)
            by_subject[subject.id] = _write(folder, "Tr", cases, cell.spacing_zhw_mm)
        for part in cell.synthetic:
            synthetic += _write(folder, "Tr", _synthetic_cases(cell, part), cell.spacing_zhw_mm)
        for subject in cell.test:
            _write(folder, "Ts", _real_cases(cell, subject), cell.spacing_zhw_mm)
        n_training = len(synthetic) + sum(len(cases) for cases in by_subject.values())
        write_json(folder / "dataset.json", _dataset(cell, name, n_training))
        write_json(folder / "splits_final.json", splits(by_subject, synthetic))
    return out / name


def splits(
    real_by_subject: Mapping[str, Sequence[str]], synthetic: Sequence[str]
) -> list[dict[str, list[str]]]:
    """Five splits by subject: a subject's slices are all on one side, synthetic ones train.

    With fewer than five subjects the splits are repeated: for a fold that the file lacks, nnU-Net
    draws 80:20 from all cases, synthetic ones too. One subject alone cannot be held out: its split
    validates on what it trains on.

    Args:
        real_by_subject: subject -> its cases.
        synthetic: synthetic cases.
    """
    subjects = list(real_by_subject)
    n_different = min(_SPLITS, len(subjects))
    all_splits = []
    for split in range(_SPLITS):
        held_out = set(subjects[split % n_different :: n_different])
        others = [one for one in subjects if one not in held_out]
        training = others if n_different > 1 else subjects
        all_splits.append(
            {
                "train": [case for one in training for case in real_by_subject[one]] + [*synthetic],
                "val": [
                    case for one in subjects if one in held_out for case in real_by_subject[one]
                ],
            }
        )
    return all_splits


Case = tuple[str, npt.NDArray[np.float32], npt.NDArray[np.uint8], tuple[float, float]]


def _real_cases(cell: ExportedCell, subject: RealCase) -> Iterator[Case]:
    """Name, image, labels and in-plane origin (LPS) of each slice."""
    origin_mm = _origin_xy_lps_mm(cell)
    for z in range(len(subject.image_zhw)):
        name = f"real_{subject.id}_z{z:03d}"
        yield name, subject.image_zhw[z], subject.label_zhw[z], origin_mm


def _synthetic_cases(cell: ExportedCell, part: SyntheticPart) -> Iterator[Case]:
    slices, origin_mm = part.slices, _origin_xy_lps_mm(cell)
    for k in range(len(slices)):
        name = f"synthetic_{part.name}_{int(slices.latent_index_k[k]):06d}"
        yield name, slices.image_khw[k].astype(np.float32), slices.label_khw[k], origin_mm


def _origin_xy_lps_mm(cell: ExportedCell) -> tuple[float, float]:
    return -float(cell.ras_from_zhw[0, 3]), -float(cell.ras_from_zhw[1, 3])


def _write(
    folder: Path, which: str, cases: Iterator[Case], spacing_zhw_mm: tuple[float, float, float]
) -> list[str]:
    """Write image (channel 0000) and labels of each case; return the cases' names."""
    names = []
    for part in ("images", "labels"):
        (folder / f"{part}{which}").mkdir(exist_ok=True)
    for name, image_hw, label_hw, origin_mm in cases:
        for array_hw, file in (
            (image_hw, f"images{which}/{name}_0000{FILE_ENDING}"),
            (label_hw, f"labels{which}/{name}{FILE_ENDING}"),
        ):
            # ITK's axes are x to the left and y to the back: our columns and rows as they are.
            picture = SimpleITK.GetImageFromArray(np.ascontiguousarray(array_hw))
            picture.SetSpacing((spacing_zhw_mm[2], spacing_zhw_mm[1]))
            picture.SetOrigin(origin_mm)
            SimpleITK.WriteImage(picture, str(folder / file), True)
        names.append(name)
    return names


def _dataset(cell: ExportedCell, name: str, n_training: int) -> dict[str, Any]:
    labels = {"background": 0} | {name: k + 1 for k, name in enumerate(cell.structures)}
    n_subjects = len(cell.training)
    validation = "splits_final.json keeps synthetic slices out of validation."
    if n_subjects < _SPLITS:
        validation += f" Its five splits repeat {n_subjects}: no more subjects can be held out."
    if n_subjects == 1:
        validation += " There is one subject, so validation is on what is trained on."
    return {
        "channel_names": {"0": "T1"},
        "labels": labels,
        "numTraining": n_training,
        "file_ending": FILE_ENDING,
        "overwrite_image_reader_writer": "SimpleITKIO",
        "name": name,
        "description": "Axial slices: real_ are of labelled subjects, synthetic_ were generated. "
        f"{validation} The generator has learnt from all training subjects.",
    }

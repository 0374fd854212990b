"""An exported cell is read back by the documented rules of its format."""

from __future__ import annotations

import csv
import itertools
import json
import re
from pathlib import Path

import nibabel
import numpy as np
import pytest
import SimpleITK
from PIL import Image

from gansfer.errors import UserError
from gansfer.export.cell import ExportedCell, RealCase, SyntheticPart, new_folder
from gansfer.export.nnunet import splits, write_nnunet
from gansfer.export.stacks import write_nifti, write_png
from gansfer.preprocessing.roi_check import roi_affine
from gansfer.settings import RoiSettings
from gansfer.synthesis.synthetic_sets import SyntheticSet
from jobs.commands.export import cell_to_export
from jobs.experiment.model import Experiment
from jobs.experiment.plan import make_plan
from jobs.store.storage import Storage

ROI = RoiSettings(size_mm=(40.0, 40.0, 24.0), voxel_mm=4.0)
SHAPE_ZHW = ROI.shape_zhw


def _subject(name: str, seed: int) -> RealCase:
    random = np.random.default_rng(seed)
    label_zhw = random.integers(0, 3, SHAPE_ZHW).astype(np.uint8)
    return RealCase(name, random.normal(size=SHAPE_ZHW).astype(np.float32), label_zhw)


def _part(group: int, phase: int, n: int) -> SyntheticPart:
    random = np.random.default_rng(10 * group + phase)
    made = SyntheticSet(
        image_khw=random.normal(size=(n, *SHAPE_ZHW[1:])).astype(np.float16),
        label_khw=random.integers(0, 3, (n, *SHAPE_ZHW[1:])).astype(np.uint8),
        slice_index_k=np.arange(n),
        score_k=np.arange(n, dtype=np.float32),
        kept_k=np.ones(n, bool),
        latent_seed_k=np.full(n, 7),
        latent_index_k=np.arange(n) * 2,
    )
    return SyntheticPart(group, phase, made)


def _cell(n_training: int = 3) -> ExportedCell:
    return ExportedCell(
        name="seed-0_fold-1_labels-03",
        structures=("caudate", "putamen"),
        spacing_zhw_mm=(4.0, 4.0, 4.0),
        ras_from_zhw=roi_affine(ROI),
        training=[_subject(f"L{i}", i) for i in range(n_training)],
        test=[_subject("T0", 50)],
        synthetic=[_part(0, 2, 4), _part(0, 3, 5), _part(1, 3, 2)],
    )


def check_nnunet_dataset(folder: Path) -> dict[str, object]:
    """Check nnU-Net v2's rules, from its documentation and its own integrity check."""
    assert re.fullmatch(r"Dataset\d{3}_\S+", folder.name)
    dataset = json.loads((folder / "dataset.json").read_text())
    assert {"channel_names", "labels", "numTraining", "file_ending"} <= set(dataset)
    assert dataset["overwrite_image_reader_writer"] == "SimpleITKIO"
    ending = dataset["file_ending"]
    assert dataset["labels"]["background"] == 0
    assert sorted(dataset["labels"].values()) == list(range(len(dataset["labels"])))
    channels = [f"{int(channel):04d}" for channel in dataset["channel_names"]]
    cases = {path.name.removesuffix(ending)[:-5] for path in (folder / "imagesTr").iterdir()}
    assert len(cases) == dataset["numTraining"]
    assert {path.name.removesuffix(ending) for path in (folder / "labelsTr").iterdir()} == cases
    for case in cases:
        label = SimpleITK.ReadImage(str(folder / "labelsTr" / f"{case}{ending}"))
        found = SimpleITK.GetArrayFromImage(label)
        assert set(np.unique(found)) <= set(dataset["labels"].values())
        for channel in channels:
            path = folder / "imagesTr" / f"{case}_{channel}{ending}"
            image = SimpleITK.ReadImage(str(path))
            assert image.GetSize() == label.GetSize()
            assert image.GetDimension() in (2, 3)
            for what in ("GetSpacing", "GetOrigin", "GetDirection"):
                assert np.allclose(getattr(image, what)(), getattr(label, what)())
            assert np.isfinite(SimpleITK.GetArrayFromImage(image)).all()
    for split in json.loads((folder / "splits_final.json").read_text()):
        assert set(split) == {"train", "val"}
        assert split["val"] and set(split["train"]) | set(split["val"]) <= cases
    return dataset


def test_an_nnunet_dataset_keeps_nnunets_rules(tmp_path: Path) -> None:
    folder = write_nnunet(tmp_path, _cell(), 501)
    dataset = check_nnunet_dataset(folder)
    assert dataset["numTraining"] == 3 * SHAPE_ZHW[0] + 11
    assert dataset["labels"] == {"background": 0, "caudate": 1, "putamen": 2}
    assert len(list((folder / "imagesTs").iterdir())) == SHAPE_ZHW[0]


def test_a_slice_comes_back_as_it_was_where_it_was(tmp_path: Path) -> None:
    cell = _cell()
    folder = write_nnunet(tmp_path, cell, 501)
    image = SimpleITK.ReadImage(str(folder / "imagesTr" / "real_L1_z002_0000.nii.gz"))
    assert np.array_equal(SimpleITK.GetArrayFromImage(image), cell.training[1].image_zhw[2])
    # Pixel (row 3, column 5): the affine's RAS millimetres, as ITK's LPS.
    x_ras, y_ras = (cell.ras_from_zhw @ [2, 3, 5, 1])[:2]
    assert np.allclose(image.TransformIndexToPhysicalPoint((5, 3)), (-x_ras, -y_ras))
    label = SimpleITK.ReadImage(
        str(folder / "labelsTr" / "synthetic_group-0_phase-3_000004.nii.gz")
    )
    assert np.array_equal(SimpleITK.GetArrayFromImage(label), cell.synthetic[1].slices.label_khw[2])


def test_synthetic_cases_never_validate_and_subjects_are_never_torn() -> None:
    by_subject = {f"s{i}": [f"s{i}_z{z}" for z in range(3)] for i in range(7)}
    synthetic = ["synthetic_0", "synthetic_1"]
    made = splits(by_subject, synthetic)
    assert len(made) == 5
    validated = [case for split in made for case in split["val"]]
    assert sorted(validated) == sorted(itertools.chain(*by_subject.values()))
    for split in made:
        assert set(synthetic) <= set(split["train"])
        owners = [{case.split("_")[0] for case in side} for side in (split["train"], split["val"])]
        assert owners[0] & owners[1] == set()


def test_fewer_than_five_subjects_leave_no_fold_for_nnunet_to_draw(tmp_path: Path) -> None:
    made = splits({f"s{i}": [f"s{i}_z0"] for i in range(3)}, ["synthetic_0"])
    assert [split["val"] for split in made] == [[f"s{i}_z0"] for i in (0, 1, 2, 0, 1)]
    assert all("synthetic_0" in split["train"] for split in made)
    dataset = check_nnunet_dataset(write_nnunet(tmp_path, _cell(), 7))
    assert "five splits repeat 3" in str(dataset["description"])


def test_one_subject_validates_on_itself_and_says_so(tmp_path: Path) -> None:
    made = splits({"s": ["s_z0"]}, ["synthetic_0"])
    assert made == [{"train": ["s_z0", "synthetic_0"], "val": ["s_z0"]}] * 5
    dataset = check_nnunet_dataset(write_nnunet(tmp_path, _cell(n_training=1), 7))
    assert "There is one subject" in str(dataset["description"])


def test_a_broken_dataset_is_seen_by_the_checker(tmp_path: Path) -> None:
    folder = write_nnunet(tmp_path, _cell(), 501)
    (folder / "labelsTr" / "real_L0_z000.nii.gz").unlink()
    with pytest.raises(AssertionError):
        check_nnunet_dataset(folder)


def test_nifti_stacks_lie_where_the_region_lies(tmp_path: Path) -> None:
    cell = _cell()
    folder = write_nifti(tmp_path, cell)
    image = nibabel.Nifti1Image.from_filename(folder / "test_T0_image.nii.gz")
    voxels_xyz = np.asarray(image.dataobj)
    assert voxels_xyz[5, 3, 2] == cell.test[0].image_zhw[2, 3, 5]
    assert np.allclose(image.affine @ [5, 3, 2, 1], cell.ras_from_zhw @ [2, 3, 5, 1])
    label = nibabel.Nifti1Image.from_filename(folder / "synthetic_group-1_phase-3_label.nii.gz")
    assert label.shape == (*SHAPE_ZHW[:0:-1], 2)
    assert label.get_data_dtype() == np.uint8
    with (folder / "synthetic_group-1_phase-3.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["latent_index"] for row in rows] == ["0", "2"]
    assert json.loads((folder / "labels.json").read_text())["putamen"] == 2


def test_png_grids_show_every_slice(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gansfer.export.stacks._GRID_SLICES", 4)
    folder = write_png(tmp_path, _cell(n_training=1))
    names = sorted(path.name for path in folder.iterdir())
    assert names[:2] == ["synthetic_group-0_phase-2_001.png", "synthetic_group-0_phase-3_001.png"]
    assert "synthetic_group-0_phase-3_002.png" in names
    for name in names:
        with Image.open(folder / name) as picture:
            assert min(picture.size) > 80


def test_what_is_there_is_not_written_over_and_a_failure_leaves_nothing(tmp_path: Path) -> None:
    (tmp_path / "seed-0_fold-1_labels-03").mkdir()
    with pytest.raises(UserError, match="is there already"):
        write_nifti(tmp_path, _cell())
    with pytest.raises(RuntimeError), new_folder(tmp_path / "new") as aside:
        (aside / "half").write_text("")
        raise RuntimeError
    assert [path.name for path in tmp_path.iterdir()] == ["seed-0_fold-1_labels-03"]


def test_a_cell_that_is_not_there_or_not_done_is_named(tmp_path: Path) -> None:
    cohort = {"images": {"kind": "phantom", "labelled": 4}, "roi": {"voxel_mm": 2.0}}
    grid = {"folds": 2, "label_counts": [1, 2], "ablation": None}
    made = {"name": "x", "storage": str(tmp_path), "cohort": cohort, "grid": grid}
    plan = make_plan(Experiment.model_validate(made))
    storage = Storage(plan.experiment)
    with pytest.raises(UserError, match="no such cell, expected one of seed-0/fold-0/labels-01"):
        cell_to_export(plan, storage, "fold-7/labels-01", (2, 3), None)
    with pytest.raises(UserError, match="2 cells, expected one of"):
        cell_to_export(plan, storage, "fold-0", (2, 3), None)
    with pytest.raises(UserError, match="labels-01/group-0 is missing, expected done"):
        cell_to_export(plan, storage, "fold-0/labels-01", (2, 3), None)

"""From files to shards: registration to a template, N4, and nothing half done after a mistake."""

from __future__ import annotations

from concurrent.futures.process import BrokenProcessPool
from pathlib import Path

import numpy as np
import pytest
from scipy import ndimage

from gansfer.cohort import bias
from gansfer.cohort.shards import Cohort
from gansfer.errors import UserError
from gansfer.progress import StopRequested
from jobs import preparation
from jobs.experiment_file import parse_experiment, save_experiment
from jobs.parts import Parts
from jobs.preparation import cohort_template, prepared_subjects
from jobs.sources import make_source
from jobs.storage import Storage
from jobs.worker import DONE, MISTAKE, run_task
from tests.cohort.layouts import experiment_values, folder_cohort, write_folder, write_nifti

SHAPE = (44, 54, 46)
SPACING_MM = 3.0


def common_brain() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """A lopsided brain with blobs and two structures in its middle, and its affine."""
    rng = np.random.default_rng(4)
    grid = np.stack(np.meshgrid(*[np.linspace(-1, 1, n) for n in SHAPE], indexing="ij"))
    inside = grid[0] ** 2 / 0.45 + grid[1] ** 2 / 0.6 + (grid[2] + 0.2 * grid[1]) ** 2 / 0.4 < 1
    blobs = ndimage.gaussian_filter(rng.normal(0, 1, SHAPE), 2.5)
    image_xyz = np.where(inside, 1000 + 250 * blobs / blobs.std(), 0).astype(np.float32)
    label_xyz = np.zeros(SHAPE, np.int16)
    label_xyz[18:22, 22:28, 20:25] = 17
    label_xyz[23:27, 22:28, 20:25] = 10
    affine = np.diag([-SPACING_MM, SPACING_MM, SPACING_MM, 1.0])
    affine[:3, 3] = -affine[:3, :3] @ (np.array(SHAPE) / 2)
    return image_xyz, label_xyz, affine


def native_from_common() -> np.ndarray:
    angle = np.deg2rad(7)
    turn = np.eye(4)
    turn[:3, :3] = [
        [1.05 * np.cos(angle), -np.sin(angle), 0],
        [np.sin(angle), 0.96 * np.cos(angle), 0],
        [0, 0, 1.03],
    ]
    turn[:3, 3] = (30, -50, 80)
    return turn


def test_native_images_reach_the_templates_space(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same voxels, placed elsewhere by the header alone, must come back to where they were."""
    monkeypatch.setattr(bias, "ITERATIONS", (4,))  # that it is done; test_bias.py says how well
    monkeypatch.setattr(bias, "WORKING_MM", 9.0)
    image_xyz, label_xyz, affine = common_brain()
    folder = tmp_path / "data"
    rows = ["id,image,label"]
    for n in range(2):
        placed = native_from_common() @ affine if n == 0 else affine
        write_nifti(folder / f"s{n}.nii.gz", image_xyz * (1 + n), placed)
        write_nifti(folder / "labels" / f"s{n}.nii.gz", label_xyz, placed)
        rows.append(f"s{n},s{n}.nii.gz,labels/s{n}.nii.gz")
    (folder / "people.csv").write_text("\n".join(rows) + "\n")
    template = write_nifti(tmp_path / "template.nii.gz", image_xyz, affine)
    images = folder_cohort(folder)["images"] | {
        "in_common_space": False,
        "template": str(template),
        "n4": True,
    }
    roi = {"voxel_mm": 4.0, "centre_mm": [0, 0, 0]}
    values = experiment_values(folder_cohort(folder, images=images, roi=roi), tmp_path / "runs")
    experiment = parse_experiment(values, "mini.yaml")
    source = make_source(experiment)
    fixed = cohort_template(experiment.cohort, source, source.subjects())
    work = preparation._Work(source, experiment, fixed, Parts(tmp_path, "mine"))
    monkeypatch.setattr(preparation, "_work", work)
    moved, kept = (
        preparation._read_part(work.parts, preparation._prepare_one(name)) for name in ("s0", "s1")
    )
    assert moved.registration_similarity is not None and moved.registration_similarity > 0.95
    assert moved.label_zhw is not None and kept.label_zhw is not None
    both = np.count_nonzero((moved.label_zhw == kept.label_zhw) & (kept.label_zhw > 0))
    overlap = 2 * both / ((moved.label_zhw > 0).sum() + (kept.label_zhw > 0).sum())
    assert overlap > 0.9
    assert np.corrcoef(moved.image_zhw.ravel(), kept.image_zhw.ravel())[0, 1] > 0.95


def test_a_template_with_a_skull_is_refused(tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "data")
    template = write_nifti(tmp_path / "t.nii.gz", np.arange(8000).reshape(20, 20, 20) % 99 + 1.0)
    images = folder_cohort(folder)["images"] | {
        "in_common_space": False,
        "template": str(template),
    }
    values = experiment_values(folder_cohort(folder, images=images), tmp_path / "runs")
    cohort = parse_experiment(values, "mini.yaml").cohort
    with pytest.raises(UserError, match=r"t\.nii\.gz: the template is not brain-extracted"):
        cohort_template(cohort, None, ())  # type: ignore[arg-type]


class Signalled:
    """A watch on a task that a signal has reached, or has not."""

    def __init__(self, stopping: bool) -> None:
        self._stopping = stopping

    def report(self, done: int, total: int, unit: str, note: str = "") -> None:
        pass

    def stopping(self) -> bool:
        return self._stopping


@pytest.mark.parametrize("error", [BrokenProcessPool, EOFError, ConnectionResetError])
def test_a_signal_that_ends_the_processes_too_is_a_stop(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: type[Exception]
) -> None:
    def dies(*args: object) -> None:
        raise error

    monkeypatch.setattr(preparation.ProcessPoolExecutor, "map", dies)
    experiment = parse_experiment(
        {"name": "mini", "cohort": {"images": {"kind": "phantom", "labelled": 30}}}, "mini.yaml"
    )
    with pytest.raises(StopRequested):
        next(prepared_subjects(experiment, tmp_path, "identity", Signalled(True)))
    with pytest.raises(error):
        next(prepared_subjects(experiment, tmp_path, "identity", Signalled(False)))


def test_a_mistake_leaves_no_half_product_and_the_next_run_goes_on(tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "data")
    values = experiment_values(folder_cohort(folder), tmp_path / "runs")
    experiment = parse_experiment(values, "mini.yaml")
    storage = Storage(experiment)
    save_experiment(experiment, storage.experiment_file)
    whole = (folder / "images/s3.nii.gz").read_bytes()
    (folder / "images/s3.nii.gz").write_bytes(whole[:2000])
    assert run_task(str(storage.experiment_file), "prepare") == MISTAKE
    left = {path.name for path in storage.cohort.iterdir()}
    assert not {name for name in left if name.endswith((".h5", ".csv")) or name == "manifest.json"}
    (folder / "images/s3.nii.gz").write_bytes(whole)
    assert run_task(str(storage.experiment_file), "prepare") == DONE
    cohort = Cohort(storage.cohort)
    assert [one.id for one in cohort.subjects] == ["s0", "s1", "s2", "s3"]
    assert set(np.unique(cohort.labels(["s0", "s1"]))) == {0, 1, 2}
    assert not (storage.cohort / ".parts").exists()

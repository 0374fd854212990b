"""From files to shards: registration to a template, N4, and nothing half done after a mistake."""

from __future__ import annotations

from concurrent.futures.process import BrokenProcessPool
from pathlib import Path

import numpy as np
import pytest
from scipy import ndimage

from gansfer.cohort.shards import Cohort
from gansfer.errors import ProcessKilled, UserError
from gansfer.preprocessing import bias
from gansfer.progress import Silent, StopRequested
from jobs.experiment.loading import parse_experiment, save_experiment
from jobs.experiment.plan import Plan, make_plan
from jobs.inputs.sources import make_source
from jobs.inputs.template import cohort_template
from jobs.stages import preparation
from jobs.stages.preparation import prepared_subjects
from jobs.store.ledger import Ledger
from jobs.store.partial_results import Parts
from jobs.store.storage import Storage
from jobs.worker.run import DONE, MISTAKE, run_task
from tests.readers.layouts import (
    FOLDER_AFFINE,
    FOLDER_SHAPE,
    brain,
    experiment_values,
    folder_cohort,
    head_volume,
    two_structures,
    write_challenge,
    write_folder,
    write_nifti,
)

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
    names = {"s0": "moved", "s1": "kept"}
    work = preparation._Work(source, experiment, fixed, Parts(tmp_path, "mine"), names)
    monkeypatch.setattr(preparation, "_work", work)
    for subject_id in names:
        preparation._prepare_one(subject_id)
    moved, kept = (preparation._read_part(work.parts, name) for name in names.values())
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


class Signalled(Silent):
    """A watch on a task that a signal has reached, or has not."""

    def __init__(self, stopping: bool) -> None:
        self._stopping = stopping

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
    source = make_source(experiment)
    with pytest.raises(StopRequested):
        next(prepared_subjects(experiment, source, tmp_path, "identity", Signalled(True)))
    with pytest.raises(ProcessKilled, match="a process that prepared a subject was killed, as "):
        next(prepared_subjects(experiment, source, tmp_path, "identity", Signalled(False)))


def stopped_by_a_cut_image(tmp_path: Path) -> tuple[Path, Storage, bytes]:
    """A folder that `prepare` has refused for its fourth image, and that image as it should be."""
    folder = write_folder(tmp_path / "data")
    values = experiment_values(folder_cohort(folder), tmp_path / "runs")
    experiment = parse_experiment(values, "mini.yaml")
    storage = Storage(experiment)
    save_experiment(experiment, storage.experiment_file)
    whole = (folder / "images/s3.nii.gz").read_bytes()
    (folder / "images/s3.nii.gz").write_bytes(whole[:2000])
    assert run_task(str(storage.experiment_file), "prepare") == MISTAKE
    return folder, storage, whole


def test_a_mistake_leaves_no_half_product_and_the_next_run_goes_on(tmp_path: Path) -> None:
    folder, storage, whole = stopped_by_a_cut_image(tmp_path)
    left = {path.name for path in storage.cohort.iterdir()}
    assert not {name for name in left if name.endswith((".h5", ".csv")) or name == "manifest.json"}
    (folder / "images/s3.nii.gz").write_bytes(whole)
    assert run_task(str(storage.experiment_file), "prepare") == DONE
    cohort = Cohort(storage.cohort)
    assert [one.id for one in cohort.subjects] == ["s0", "s1", "s2", "s3"]
    assert set(np.unique(cohort.labels(["s0", "s1"]))) == {0, 1, 2}
    assert not (storage.cohort / ".parts").exists()


def test_what_was_kept_of_files_that_are_others_now_is_made_again(tmp_path: Path) -> None:
    folder, storage, whole = stopped_by_a_cut_image(tmp_path)
    (folder / "images/s3.nii.gz").write_bytes(whole)
    write_nifti(folder / "images/s0.nii.gz", brain(FOLDER_SHAPE, 77), FOLDER_AFFINE)
    turned_xyz = np.where(two_structures() == 10, 17, two_structures()).astype(np.int16)
    write_nifti(folder / "labels/s1.nii.gz", turned_xyz, FOLDER_AFFINE)
    table = folder / "people.csv"
    table.write_text(table.read_text().replace(",50,", ",51,"))
    assert run_task(str(storage.experiment_file), "prepare") == DONE

    values = experiment_values(folder_cohort(folder), tmp_path / "runs")
    fresh = parse_experiment(values | {"name": "fresh"}, "mini.yaml")
    save_experiment(fresh, Storage(fresh).experiment_file)
    assert run_task(str(Storage(fresh).experiment_file), "prepare") == DONE
    for name in ("images-000.h5", "subjects.csv"):
        assert (storage.cohort / name).read_bytes() == (Storage(fresh).cohort / name).read_bytes()


def prepared_folder(tmp_path: Path) -> tuple[Path, Storage, Plan]:
    """A folder that `prepare` has read."""
    folder = write_folder(tmp_path / "data")
    experiment = parse_experiment(
        experiment_values(folder_cohort(folder), tmp_path / "runs"), "mini.yaml"
    )
    storage = Storage(experiment)
    save_experiment(experiment, storage.experiment_file)
    assert run_task(str(storage.experiment_file), "prepare") == DONE
    return folder, storage, make_plan(experiment)


@pytest.mark.parametrize("name", ["images/s2.nii.gz", "labels/s1.nii.gz", "people.csv"])
def test_a_file_that_changes_after_it_was_read_makes_prepare_stale(
    tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, storage, plan = prepared_folder(tmp_path)
    task = plan.by_id["prepare"]
    assert Ledger(plan, storage, sources=True).done(task)
    before = storage.read_manifest(task)
    (folder / name).write_bytes((folder / name).read_bytes())
    assert Ledger(plan, storage).done(task)  # for a task that runs, and for the report
    found = Ledger(plan, storage, sources=True).finding(task)
    assert (found.state, found.why) == (
        "stale",
        f"{folder / name} was changed after it was read",
    )
    monkeypatch.setattr("gansfer.__version__", "99.0")
    assert run_task(str(storage.experiment_file), "prepare") == DONE
    assert Ledger(plan, storage, sources=True).done(task)
    # Of the same content, by whatever version: what follows is not repeated.
    after = storage.read_manifest(task)
    assert before and after and after["digest"] == before["digest"]
    assert before["version"] != after["version"]


def test_raw_data_need_not_be_there_once_they_are_prepared(tmp_path: Path) -> None:
    folder, storage, plan = prepared_folder(tmp_path)
    folder.rename(tmp_path / "not mounted")
    assert Ledger(plan, storage, sources=True).done(plan.by_id["prepare"])


def test_heads_with_masks_make_a_template_without_a_skull(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    inside = (brain(FOLDER_SHAPE) != 0).astype(np.uint8)
    write_nifti(folder / "mask.nii.gz", inside, FOLDER_AFFINE)
    rows = ["id,image,mask"]
    for n in (1, 2):
        session = f"OAS1_000{n}_MR1"
        write_nifti(folder / f"{session}.nii.gz", head_volume(FOLDER_SHAPE, n), FOLDER_AFFINE)
        rows.append(f"{session},{session}.nii.gz,mask.nii.gz")
    (folder / "people.csv").write_text("\n".join(rows) + "\n")
    challenge = write_challenge(tmp_path / "c", ["1000,OAS1_0001_MR1"], "id,oasis_session")
    labels = {"kind": "challenge", "folder": str(challenge)}
    values = experiment_values(folder_cohort(folder, labels=labels), tmp_path / "runs")
    experiment = parse_experiment(values, "mini.yaml")
    source = make_source(experiment)
    template = cohort_template(experiment.cohort, source, source.subjects())
    own_copy = source.load("1000").own_copy
    assert own_copy is not None
    for volume in (template, own_copy):
        assert not np.asarray(volume.array_xyz)[inside == 0].any()
        assert np.asarray(volume.array_xyz)[inside != 0].any()

"""Nothing that a fold tests with reaches what the fold trains: garbage there changes no byte.

A cell is run once more on a cohort whose labels, white-matter estimates and references, all but
those of the cell's own training subjects, are garbage with valid checksums.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection
from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np
import pytest

from gansfer.cohort.shards import Cohort
from gansfer.cohort.table import TABLE_NAME, read_table, write_table
from gansfer.cohort.training_data import Roles
from gansfer.evaluation.predictions import read_predictions
from jobs.stages.inputs import roles_of
from jobs.store.manifest import file_digests
from jobs.worker.run import DONE
from tests.jobs.conftest import Finished
from tests.jobs.experiments import GAN, RATIO, SYNTHESISE, Trial

GARBAGE_WHITE_MATTER = -77.0
PHASES = (1, 2, 3)
TRAINED = [
    (GAN, "code.json"),
    *((GAN, f"phase-{phase}/generator.safetensors") for phase in PHASES),
    *((GAN, f"phase-{phase}/log.jsonl") for phase in PHASES),
    (GAN, "phase-1/joint-critic.safetensors"),
    (GAN, "phase-2/image-critic.safetensors"),
    (GAN, "phase-2/selftaught.safetensors"),
    (GAN, "phase-3/image-critic.safetensors"),
    (GAN, "phase-3/label-critic.safetensors"),
    *((GAN, f"phase-{phase}/samples.png") for phase in PHASES),
    *((SYNTHESISE, f"phase-{phase}.h5") for phase in PHASES),
    (RATIO, "model.safetensors"),
    (RATIO, "log.jsonl"),
]


def poison(folder: Path, spared: Collection[str]) -> None:
    """Garbage for every label but those of `spared`, and for every reference."""
    rng = np.random.default_rng(7)

    def spoil(file: h5py.File, name: str, row: int) -> None:
        shape, n_structures = file[name].shape[1:], len(file.attrs["structures"])
        garbage_zhw = rng.integers(0, n_structures + 1, shape).astype(np.uint8)
        file[name][row] = garbage_zhw
        file[f"{name}_sha256"][row] = hashlib.sha256(garbage_zhw.tobytes()).hexdigest()

    for path in folder.glob("*.h5"):
        with h5py.File(path, "r+") as file:
            for row, subject in enumerate(file["id"].asstr()[:]):
                if "reference" in file:
                    spoil(file, "reference", row)
                elif subject not in spared:
                    spoil(file, "label", row)
                    file["white_matter"][row] = GARBAGE_WHITE_MATTER
    rows = [
        row if row.subject.id in spared else replace(row, white_matter=GARBAGE_WHITE_MATTER)
        for row in read_table(folder / TABLE_NAME)
    ]
    write_table(folder / TABLE_NAME, rows)


def training_ids(trial: Trial) -> tuple[str, ...]:
    return roles(trial).training_ids


def roles(trial: Trial) -> Roles:
    return roles_of(trial.plan.experiment, Cohort(trial.storage.cohort), trial.task(RATIO).cell)


@pytest.fixture(scope="module")
def poisoned(finished: Finished, tmp_path_factory: pytest.TempPathFactory) -> Trial:
    """The cell's three stages on a poisoned copy of the cohort."""
    trial = finished.copied(tmp_path_factory.mktemp("poisoned"), tasks=["prepare"])
    poison(trial.storage.cohort, spared=training_ids(trial))
    prepare = trial.task("prepare")
    manifest = trial.storage.read_manifest(prepare)
    assert manifest is not None
    # The digest that others depend on stays: nothing but the garbage is to be another.
    files = file_digests(trial.storage.cohort, manifest["products"])
    trial.storage.write_manifest(prepare, manifest | {"files": files})
    for task_id in (GAN, SYNTHESISE, RATIO):
        assert trial.work(task_id) == DONE
    return trial


def test_the_poison_is_there_and_reads_as_valid(finished: Finished, poisoned: Trial) -> None:
    clean, cohort = Cohort(finished.storage.cohort), Cohort(poisoned.storage.cohort)
    own, test_ids = training_ids(poisoned), roles(poisoned).test_ids
    others = {one.id for one in cohort.subjects if one.labelled} - {*own, *test_ids}
    assert (len(test_ids), len(others)) == (2, 1)
    for one in (*test_ids, *others):
        assert not np.array_equal(clean.labels([one]), cohort.labels([one]))
        assert cohort.white_matter([one]) == GARBAGE_WHITE_MATTER
    assert np.array_equal(clean.labels(own), cohort.labels(own))
    assert not np.array_equal(clean.references(own), cohort.references(own))
    measured = "metrics.csv"  # what is measured with the test labels, and nothing else, changes
    assert (finished.folder(RATIO) / measured).read_bytes() != (
        poisoned.folder(RATIO) / measured
    ).read_bytes()


@pytest.mark.parametrize(("task_id", "product"), TRAINED, ids=lambda part: str(part).split("/")[-1])
def test_garbage_in_the_test_labels_changes_no_byte_of(
    finished: Finished, poisoned: Trial, task_id: str, product: str
) -> None:
    clean = (finished.folder(task_id) / product).read_bytes()
    assert (poisoned.folder(task_id) / product).read_bytes() == clean


def test_garbage_in_the_test_labels_changes_no_prediction(
    finished: Finished, poisoned: Trial
) -> None:
    clean, after = (
        read_predictions(trial.folder(RATIO) / "predictions.h5") for trial in (finished, poisoned)
    )
    assert clean.keys() == after.keys()
    assert all(np.array_equal(clean[subject], after[subject]) for subject in clean)

"""The rival arms of a small experiment: what each segmenter is trained on, and what it leaves."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.torch import load_file

from gansfer.cohort.shards import Cohort
from gansfer.evaluation.predictions import read_predictions
from gansfer.progress import Silent
from gansfer.segmentation.predict import segment_slices
from gansfer.segmentation.train import train_segmenter as fit
from gansfer.volumes import as_slices
from jobs.stages import train_segmenter
from jobs.stages.inputs import roles_of
from jobs.worker.run import DONE
from tests.jobs.conftest import Finished
from tests.jobs.experiments import BASELINE, GAN, SYNTHESISE, Trial

TAUGHT = "self-training+ratio-2to1"
ARMS = ("classical", "self-training", "classical+ratio-2to1", TAUGHT)
RIVALS = {"grid": {"rival_arms": ["classical", "self_training"]}}


def of_arm(name: str) -> str:
    return BASELINE.replace("baseline", name)


@pytest.fixture(scope="module")
def rivals(finished: Finished, tmp_path_factory: pytest.TempPathFactory) -> Trial:
    """All that the rival arms need, from the same experiment without them."""
    folder = tmp_path_factory.mktemp("rivals")
    return finished.copied(folder, ["prepare", GAN, SYNTHESISE, BASELINE], **RIVALS)


@pytest.fixture(scope="module")
def given(rivals: Trial) -> dict[str, dict[str, Any]]:
    """What each arm's training was given; its task has run to its end."""
    calls: dict[str, dict[str, Any]] = {}
    with pytest.MonkeyPatch.context() as patch:
        for arm in ARMS:

            def kept(settings: Any, real: Any, other: Any, *more: Any, **how: Any) -> Any:
                calls[arm] = {"real": real, "other": other, "ratio": more[0], **how}  # noqa: B023
                return fit(settings, real, other, *more, **how)

            patch.setattr(train_segmenter, "fit_segmenter", kept)
            if arm == TAUGHT:  # its teacher has seen generated slices, too
                assert rivals.work(of_arm("ratio-2to1")) == DONE
            assert rivals.work(of_arm(arm)) == DONE, rivals.log(of_arm(arm))
    return calls


def facts(trial: Trial, arm: str) -> dict[str, Any]:
    manifest = trial.storage.read_manifest(trial.task(of_arm(arm)))
    assert manifest is not None
    return dict(manifest["facts"])


def test_what_was_done_before_they_were_asked_for_stays_done(rivals: Trial) -> None:
    ledger = rivals.ledger()
    for task_id in ("prepare", GAN, SYNTHESISE, BASELINE):
        assert ledger.done(rivals.task(task_id)), task_id


def test_classical_deforms_the_real_slices_and_has_no_others(
    rivals: Trial, given: dict[str, dict[str, Any]]
) -> None:
    call = given["classical"]
    assert (call["other"], call["ratio"]) == (None, None)
    assert call["augmentation"].settings == rivals.plan.experiment.augmentation
    assert call["augmentation"].spacing_mm == 4.0
    ours = load_file(rivals.folder(of_arm("classical")) / "model.safetensors")
    base = load_file(rivals.folder(BASELINE) / "model.safetensors")
    assert any((ours[name] != base[name]).any() for name in ours)
    mixed = given["classical+ratio-2to1"]
    assert mixed["augmentation"] == call["augmentation"] and mixed["ratio"] == 2.0
    assert (
        len(mixed["other"].image_nhw) == facts(rivals, "classical+ratio-2to1")["synthetic_slices"]
    )


@pytest.mark.parametrize(
    ("arm", "teacher"), [("self-training", "baseline"), (TAUGHT, "ratio-2to1")]
)
def test_self_training_takes_its_teachers_labels_of_the_pool(
    rivals: Trial, given: dict[str, dict[str, Any]], arm: str, teacher: str
) -> None:
    call = given[arm]
    cohort = Cohort(rivals.storage.cohort)
    roles = roles_of(rivals.plan.experiment, cohort, rivals.task(GAN).cell)
    image_khw = as_slices(cohort.images(roles.pool_ids))
    state = load_file(rivals.folder(of_arm(teacher)) / "model.safetensors")
    n_classes, settings = 1 + len(cohort.structures), rivals.plan.experiment.segmenter
    predicted_khw = segment_slices(state, image_khw, settings, n_classes, watch=Silent())
    own = slice(-len(image_khw), None)  # behind the generated ones
    assert (call["ratio"], call["augmentation"]) == (2.0, None)
    assert np.array_equal(call["other"].image_nhw[own], image_khw)  # also where nothing is
    assert np.array_equal(call["other"].label_nhw[own], predicted_khw)
    truth_khw = as_slices(cohort.references(roles.pool_ids))
    assert not np.array_equal(call["other"].label_nhw[own], truth_khw)


def test_its_test_subjects_are_segmented_by_its_own_model(
    rivals: Trial, given: dict[str, dict[str, Any]]
) -> None:
    assert given
    cohort = Cohort(rivals.storage.cohort)
    settings, n_classes = rivals.plan.experiment.segmenter, 1 + len(cohort.structures)
    for arm in ARMS:
        folder = rivals.folder(of_arm(arm))
        state = load_file(folder / "model.safetensors")
        for subject, label_zhw in read_predictions(folder / "predictions.h5").items():
            image_zhw = cohort.images([subject])[0]
            wanted = segment_slices(state, image_zhw, settings, n_classes, watch=Silent())
            assert np.array_equal(label_zhw, wanted), (arm, subject)
        assert not (folder / ".parts").exists()


def test_who_taught_is_on_record(rivals: Trial, given: dict[str, dict[str, Any]]) -> None:
    assert given
    n_pool, n_synthetic = 8 * 12, 36
    of_arms = {arm: facts(rivals, arm) for arm in ARMS}
    assert {
        arm: (one["synthetic_slices"], one.get("self_labelled_slices"))
        for arm, one in of_arms.items()
    } == {
        "classical": (0, None),
        "self-training": (0, n_pool),
        "classical+ratio-2to1": (n_synthetic, None),
        TAUGHT: (n_synthetic, n_pool),
    }
    assert len(given[TAUGHT]["other"].image_nhw) == n_pool + n_synthetic
    assert of_arms["classical"]["achieved_real_per_synthetic"] is None
    assert 1.2 < of_arms["self-training"]["achieved_real_per_synthetic"] < 3.5  # of 80 draws
    assert all(one["training_subjects"] for one in of_arms.values())


def test_without_its_baseline_self_training_is_blocked(tmp_path: Path, finished: Finished) -> None:
    alone = finished.copied(tmp_path, ["prepare", GAN, SYNTHESISE], **RIVALS)
    assert alone.ledger().missing_needs(alone.task(of_arm("self-training"))) == [BASELINE]
    assert alone.ledger().missing_needs(alone.task(of_arm("classical"))) == []

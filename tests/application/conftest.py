"""A segmenter trained for seconds on the built-in cohort, as a model for new images."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from gansfer.application.label_numbers import label_numbers
from gansfer.application.likeness import fit_likeness, volumes_ml
from gansfer.application.model_file import (
    FORMAT,
    NORMALISATION,
    ModelFacts,
    SegmenterModel,
    TrainingFacts,
)
from gansfer.phantom.phantom_source import PhantomSource
from gansfer.preprocessing.preprocess import PreparedSubject, prepare_subject
from gansfer.progress import Silent
from gansfer.segmentation.pools import real_pool
from gansfer.segmentation.predict import segment_slices
from gansfer.segmentation.train import train_segmenter
from gansfer.settings import EncodingSettings, RoiSettings, SegmenterSettings
from gansfer.structures import PAPER_STRUCTURES
from gansfer.training.checkpoint import CheckpointStore

ROI = RoiSettings(voxel_mm=4.0)
SEGMENTER = SegmenterSettings(
    preset="deepmedic-original",
    learning_rate=1e-2,
    epochs=4,
    subepochs_per_epoch=2,
    segments_per_subepoch=100,
    inference_output_px=20,
)
TESTED = "phantom-0004"


@dataclass(frozen=True)
class Trained:
    """A model, the subject that it has not seen, and what a run predicts of them."""

    model: SegmenterModel
    source: PhantomSource
    prepared: dict[str, PreparedSubject]

    def run_prediction(self, subject_id: str = TESTED) -> npt.NDArray[np.uint8]:
        """What the stages predict, from an image of the shards."""
        stored_zhw = self.prepared[subject_id].image_zhw.astype(np.float16).astype(np.float32)
        return segment_slices(self.model.state, stored_zhw, SEGMENTER, 8, watch=Silent())


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Trained:
    source = PhantomSource(4, 1, seed=0, roi=ROI)
    prepared = {one.id: prepare_subject(source.load(one.id), ROI) for one in source.subjects()}
    training = [one for one in prepared.values() if one.label_zhw is not None][:3]
    labels = [one.label_zhw for one in training if one.label_zhw is not None]
    state = train_segmenter(
        SEGMENTER,
        real_pool(np.stack([one.image_zhw for one in training]), np.stack(labels)),
        None,
        None,
        8,
        seed=1,
        store=CheckpointStore(tmp_path_factory.mktemp("training"), "x"),
        watch=Silent(),
    ).state
    ml = [volumes_ml(one, PAPER_STRUCTURES, (4.0, 4.0, 4.0)) for one in labels]
    likeness, mean_zhw = fit_likeness(
        lambda: (one.image_zhw for one in prepared.values()),
        {name: [one[name] for one in ml] for name in PAPER_STRUCTURES},
    )
    facts = ModelFacts(
        format=FORMAT,
        version="0",
        structures=PAPER_STRUCTURES,
        protocol="freesurfer",
        numbers=label_numbers("freesurfer", PAPER_STRUCTURES),
        space="of the phantom",
        roi=ROI,
        template_ras=None,
        n4=False,
        normalisation=NORMALISATION,
        encoding=EncodingSettings(),
        segmenter=SEGMENTER,
        likeness=likeness,
        training=TrainingFacts(
            experiment="x",
            cell="seed-0/fold-0/labels-03/baseline",
            labelled_subjects=3,
            cohort_images=5,
            synthetic_slices=0,
            iterations=80,
            test_subjects=0,
            test_dsc=None,
        ),
        licence="none",
    )
    return Trained(SegmenterModel(facts, state, mean_zhw, None), source, prepared)


@pytest.fixture
def model_file(trained: Trained, tmp_path: Path) -> Path:
    path = tmp_path / "x.gansfer"
    trained.model.write(path)
    return path

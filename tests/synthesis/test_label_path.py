"""The whole path: labels -> channels -> decoded -> postprocessed are the labels again."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest

from gansfer.cohort.encode import fit_code
from gansfer.phantom.phantom_source import PhantomSource
from gansfer.preprocessing.preprocess import PreparedSubject, prepare_subject
from gansfer.settings import EncodingSettings, RoiSettings, SynthesisSettings
from gansfer.structures import PAPER_STRUCTURES
from gansfer.synthesis.calibration import fitted_rule, structure_dsc
from gansfer.synthesis.postprocess import (
    PostprocessRule,
    PostprocessSteps,
    postprocess_steps,
    structure_masks,
)

ROI = RoiSettings(voxel_mm=2.0)
SPACING_ZHW_MM = (ROI.voxel_mm,) * 3
N_STRUCTURES = len(PAPER_STRUCTURES)
PAPER = SynthesisSettings()
RAISED = EncodingSettings()


@pytest.fixture(scope="module")
def subjects() -> list[PreparedSubject]:
    """Two labelled people of the built-in cohort."""
    source = PhantomSource(2, 1, seed=0, roi=ROI)
    return [prepare_subject(source.load(one.id), ROI) for one in source.subjects()[:2]]


def path(
    subjects: list[PreparedSubject],
    settings: SynthesisSettings = PAPER,
    encoding: EncodingSettings = RAISED,
) -> tuple[PostprocessSteps, npt.NDArray[np.uint8], PostprocessRule]:
    """Encode, decode and postprocess; the steps, the labels that went in, the rule."""
    image_nzhw = np.stack([one.image_zhw for one in subjects])
    label_nzhw = np.stack([np.asarray(one.label_zhw) for one in subjects])
    white_n = np.array([one.white_matter for one in subjects], np.float32)
    code = fit_code(
        image_nzhw,
        label_nzhw,
        white_n,
        image_nzhw[:0],
        PAPER_STRUCTURES,
        encoding.mr_percentiles,
        encoding.label_percentile,
        encoding.level_percentile,
        encoding.least_contrast,
    )
    image_khw, contrast_kshw = code.decode(code.encode(image_nzhw, label_nzhw, white_n)[0])
    mask_szhw = structure_masks(label_nzhw, N_STRUCTURES, settings.mask_margin_mm, SPACING_ZHW_MM)
    rule = fitted_rule(
        image_nzhw, label_nzhw, contrast_kshw, mask_szhw, SPACING_ZHW_MM[1:], settings
    )
    slice_index_k = np.tile(np.arange(label_nzhw.shape[1]), len(label_nzhw))
    steps = postprocess_steps(image_khw, contrast_kshw, slice_index_k, mask_szhw, rule)
    return steps, label_nzhw.reshape(-1, *label_nzhw.shape[2:]), rule


def test_labels_come_back(subjects: list[PreparedSubject]) -> None:
    steps, label_khw, _ = path(subjects, SynthesisSettings(intensity_sd=3.0))
    dsc_s = structure_dsc(steps.label_khw, label_khw, N_STRUCTURES)
    volume_s = np.array(
        [(steps.label_khw == v).sum() / (label_khw == v).sum() for v in range(1, N_STRUCTURES + 1)]
    )
    assert dsc_s.min() > 0.98, dict(zip(PAPER_STRUCTURES, dsc_s, strict=True))
    assert np.abs(volume_s - 1).max() < 0.04, dict(zip(PAPER_STRUCTURES, volume_s, strict=True))


def test_the_papers_gate_costs_a_few_per_cent_and_no_other_step_does(
    subjects: list[PreparedSubject],
) -> None:
    steps, label_khw, _ = path(subjects)
    dsc = {
        name: structure_dsc(getattr(steps, name), label_khw, N_STRUCTURES).min()
        for name in ("binarised_khw", "filled_khw", "gated_khw", "label_khw")
    }
    assert dsc["binarised_khw"] > 0.985
    assert dsc["filled_khw"] > 0.985
    assert dsc["gated_khw"] > 0.955
    assert dsc["label_khw"] > 0.955


def test_contrast_to_white_matter_itself_loses_half_of_the_pallidum(
    subjects: list[PreparedSubject],
) -> None:
    """The loss that the raised level mends: were it not there, the tests above would say little."""
    unraised = EncodingSettings(level_percentile=None)
    steps, label_khw, _ = path(subjects, SynthesisSettings(binarise_fraction=0.5), unraised)
    dsc_s = structure_dsc(steps.label_khw, label_khw, N_STRUCTURES)
    assert dsc_s[PAPER_STRUCTURES.index("pallidum")] < 0.9


def test_calibration_takes_the_largest_fraction_that_keeps_the_labels(
    subjects: list[PreparedSubject],
) -> None:
    closer = EncodingSettings(least_contrast=0.25)
    steps, label_khw, rule = path(subjects, encoding=closer)
    fraction_s = np.asarray(rule.binarise_fraction)
    assert fraction_s.shape == (N_STRUCTURES,)
    assert fraction_s.max() == 0.5
    assert 0.05 <= fraction_s.min() < 0.5
    kept_s = structure_dsc(steps.label_khw, label_khw, N_STRUCTURES)
    lowest, _, _ = path(subjects, SynthesisSettings(binarise_fraction=0.05), closer)
    best_s = structure_dsc(lowest.label_khw, label_khw, N_STRUCTURES)
    assert (kept_s >= best_s - 0.0051).all()

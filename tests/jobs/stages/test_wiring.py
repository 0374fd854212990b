"""Which subjects, slices, phases and numbers a stage hands to the science, by three subjects."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import numpy.typing as npt
import pytest

from gansfer.gan.networks import Generator
from gansfer.progress import Silent
from gansfer.settings import GanSettings, SynthesisSettings
from gansfer.synthesis.synthetic_sets import write_synthetic
from jobs.experiment.arms import Arm
from jobs.stages import synthesis_quality, synthesise, train_gan, train_segmenter
from jobs.stages.labelling import Labelling
from jobs.stages.quality_sets import RealSlices, real_slices
from jobs.store.task_files import TaskFiles
from tests.three_subjects import (
    IDS,
    PLAIN_CODE,
    POOL_IDS,
    SHAPE_ZHW,
    FixedGenerator,
    latents_of,
    synthetic_set,
    three_subjects,
)

N_SLICES = SHAPE_ZHW[0]
MARGIN_MM = 2.0
SETTINGS = SynthesisSettings(
    mask_margin_mm=MARGIN_MM,
    closing_radius_mm=0.0,
    opening_width_mm=0.0,
    least_area_mm2=0.0,
    intensity_sd=2.0,
)


def flat(volume_nzhw: npt.NDArray) -> npt.NDArray:
    return volume_nzhw.reshape(-1, *SHAPE_ZHW[1:])


def context_of(**experiment: Any) -> Any:
    """What a stage reads of its context where the cell trains on all three subjects."""
    cohort = three_subjects()
    everybody = (*IDS, *POOL_IDS)
    labelled = (cohort.images(IDS), cohort.labels(IDS), cohort.white_matter(IDS))
    data = SimpleNamespace(
        code=PLAIN_CODE,
        training_ids=IDS,
        group_ids=IDS,
        pool_ids=everybody,
        training_images_nzhw=cohort.images(IDS),
        training_labels_nzhw=cohort.labels(IDS),
        known_images_khw=flat(cohort.images([*everybody, *IDS])),
        encoded_group=lambda: PLAIN_CODE.encode(*labelled),
        encoded_pool=lambda: PLAIN_CODE.encode_images(cohort.images(everybody)),
    )
    return SimpleNamespace(
        cohort=cohort,
        data=data,
        experiment=SimpleNamespace(synthesis=SETTINGS, **experiment),
        device="cpu",
        watch=Silent(),
        seed_for=lambda *what: 5,
    )


def labelling() -> Labelling:
    """Thresholds of contrasts of about 2 and 1.5, which the generated slices below have too."""
    return Labelling.of_cell(wide_range_context())


def wide_range_context() -> Any:
    """The plain code clips at 1, so contrasts are stored at a quarter."""
    context = context_of()
    code = type(PLAIN_CODE)(PLAIN_CODE.structures, (-1, 1), (0.0,) * 3, (0.25,) * 3)
    labelled = (
        context.cohort.images(IDS),
        context.cohort.labels(IDS),
        context.cohort.white_matter(IDS),
    )
    context.data.code, context.data.encoded_group = code, lambda: code.encode(*labelled)
    return context


def test_masks_reach_the_margin_beyond_any_label_and_no_further() -> None:
    mask_szhw = labelling().mask_szhw
    # Structure 1 lies in rows 2 to 6 of A and B and in rows 5 to 9 of C: 2 to 9 together.
    column_h = mask_szhw[0, 1, :, 4]
    assert np.flatnonzero(column_h).tolist() == list(range(0, 12))
    row_w = mask_szhw[0, 1, 4, :]
    assert np.flatnonzero(row_w).tolist() == list(range(0, 9))


@pytest.mark.parametrize(("numbered_from", "expected"), [("known", 2), ("labelled", 0)])
def test_slice_numbers_are_those_of_any_known_image_or_of_labelled_ones(
    numbered_from: str, expected: int
) -> None:
    context = wide_range_context()
    context.experiment.synthesis = SETTINGS.model_copy(update={"slice_numbers_from": numbered_from})
    rule = Labelling.of_cell(context)
    # Slice 2 of P2, who has no label; of the labelled subjects' slices, one of number 0 is nearest.
    drawn_hw = context.cohort.images(["P2"])[0, 2]
    rule.numbered_nzhw[-3 if numbered_from == "labelled" else 0, 0] = drawn_hw + 0.01
    assert rule.slice_index(drawn_hw[None]).tolist() == [expected]


def test_a_pixel_unlike_the_rest_of_its_structure_is_not_labelled() -> None:
    rule = labelling()
    image_khw = flat(rule.numbered_nzhw)[1:2].copy()
    contrast_kshw = np.zeros((1, 2, *SHAPE_ZHW[1:]), np.float32)
    contrast_kshw[0, 0, 2:7, 2:7] = 2.0
    image_khw[0, 2, 2] += 1.0
    label_hw = rule.label(image_khw, contrast_kshw).label_khw[0]
    assert label_hw[2, 2] == 0
    assert label_hw[3:6, 3:6].all()


def test_realism_is_the_distance_to_any_known_image_not_to_labelled_ones_only() -> None:
    context = wide_range_context()
    pooled_hw = context.cohort.images(["P2"])[0, 2]
    channels_kchw = np.zeros((1, 3, *SHAPE_ZHW[1:]), np.float32)
    channels_kchw[0, 0] = 0.25 * pooled_hw
    generator = cast(Generator, FixedGenerator(channels_kchw))
    made = synthesise._made_of(context, labelling(), generator, latents_of(1))
    assert made["score_k"] == pytest.approx([0.0], abs=1e-4)


def test_the_generator_of_phase_2_teaches_phase_3(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    class Reached(Exception):
        pass

    kept: dict[int, Any] = {1: ({"of": 1}, {}), 2: ({"of": 2}, {"image": {}}), 3: None}
    taught: list[object] = []

    def third(gan: object, state: object, critic: object, *slices: object, **how: object) -> None:
        taught.append(state)
        raise Reached

    context = context_of(gan=GanSettings())
    context.files = TaskFiles(tmp_path)
    context.task = SimpleNamespace(id="train_gan", settings={})
    context.input_digest = lambda stage: "of the cohort"
    context.store = lambda *what: SimpleNamespace(clear=lambda: None)
    monkeypatch.setattr(train_gan.Labelling, "of_cell", lambda context: None)
    monkeypatch.setattr(train_gan, "_kept_phase", lambda context, phase, identity: kept[phase])
    monkeypatch.setattr(train_gan, "_selftaught", lambda context, state: taught.append(state))
    monkeypatch.setattr(train_gan, "train_phase_3", third)
    with pytest.raises(Reached):
        train_gan.train_gan(context)
    assert taught == [{"of": 2}, {"of": 2}]


def test_every_real_slice_is_of_its_own_subject() -> None:
    context = context_of()
    pool = train_segmenter._real_pool(context.data)
    assert len(pool.image_nhw) == 3 * N_SLICES
    for n, one in enumerate(IDS):
        own = pool.subject_n == n
        assert np.array_equal(pool.image_nhw[own], context.cohort.image_of[one])
        assert np.array_equal(pool.label_nhw[own], context.cohort.label_of[one])


def test_every_synthetic_slice_is_a_subject_of_its_own(tmp_path: Path) -> None:
    kept_k = np.array([True, False, True, True])
    image_nzhw = three_subjects().images(IDS)
    for folder, images_by_phase in (("group-0", image_nzhw[:2]), ("group-1", image_nzhw[1:])):
        (tmp_path / folder).mkdir()
        for phase, image_khw in zip((2, 3), images_by_phase, strict=True):
            made = synthetic_set(image_khw, kept_k=kept_k)
            write_synthetic(tmp_path / folder / f"phase-{phase}.h5", made, {})
    sets = [TaskFiles(tmp_path / folder) for folder in ("group-0", "group-1")]
    context: Any = SimpleNamespace(files_needed={"synthesise": sets}.get)
    pool = train_segmenter._synthetic_pool(context, Arm("synthetic", (2, 3)))
    assert pool is not None
    assert len(set(pool.subject_n.tolist())) == len(pool.image_nhw) == 4 * 3
    wanted = image_nzhw[[0, 1, 1, 2]][:, kept_k].astype(np.float16)
    assert np.array_equal(pool.image_nhw, flat(wanted).astype(np.float32))


def test_what_the_gan_has_seen_holds_each_subject_once() -> None:
    context = context_of()
    real = real_slices(context)
    assert len(real.image_nhw) == len(real.person_n) == 6 * N_SLICES
    assert len(np.unique(real.image_nhw, axis=0)) == 6 * N_SLICES
    for place, who in enumerate((*POOL_IDS, *IDS)):
        here = slice(place * N_SLICES, (place + 1) * N_SLICES)
        assert np.array_equal(real.image_nhw[here], context.cohort.image_of[who])
        assert set(real.person_n[here]) == {"A" if who == "P0" else who}
    assert real.labelled_person_k.tolist() == [one for one in IDS for _ in range(N_SLICES)]


def rows_of(measure: Any, made: Any, real: RealSlices, phase: int = 1) -> dict[str, float]:
    rows = measure(context_of(), {phase: made}, real)
    return {f"{row.measure} {row.part}": row.value for row in rows if row.phase == phase}


def test_copies_of_real_slices_are_nearer_than_people_are() -> None:
    real = real_slices(context_of())
    copies = synthetic_set(real.image_nhw[:8], score_k=np.full(8, 1e-3))
    rows = rows_of(synthesis_quality._memorisation_rows, copies, real)
    assert rows["fraction_nearer mr"] == 1.0
    assert rows["nearest_distance_p75 mr"] == pytest.approx(1e-3)


def test_one_slice_over_and_over_is_precise_and_recalls_little() -> None:
    real = real_slices(context_of())
    rng = np.random.default_rng(0)
    same = np.repeat(real.image_nhw[:1], 24, axis=0) + rng.normal(0, 1e-3, (24, 16, 16))
    rows = rows_of(synthesis_quality._variety_rows, synthetic_set(same), real)
    assert rows["precision mr"] == 1.0
    assert rows["recall mr"] < 0.5


def test_the_distance_of_patches_is_in_units_of_the_real_ones() -> None:
    real = real_slices(context_of())
    louder = synthetic_set(10 * real.image_nhw)
    quieter = synthetic_set(0.1 * real.image_nhw)
    distances = [
        rows_of(synthesis_quality._wasserstein_rows, made, real)["sliced_wasserstein_16px mr"]
        for made in (louder, quieter)
    ]
    assert distances[0] > 5 * distances[1]


def test_labels_are_compared_with_those_of_the_nearest_slice() -> None:
    real = real_slices(context_of())
    order = np.random.default_rng(1).permutation(len(real.labelled_khw))
    copies = synthetic_set(real.labelled_khw[order], real.label_khw[order])
    rows = rows_of(synthesis_quality._label_rows, copies, real)
    assert rows["dice_with_nearest dark"] == rows["dice_with_nearest bright"] == 1.0

"""Which arrays and numbers the stages hand to the science, by three subjects in memory."""

from __future__ import annotations

import hashlib
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from gansfer.augmentation.copies import with_deformed_copies
from gansfer.cohort.training_data import labelled_folds
from gansfer.gan.networks import build_generator
from gansfer.gan_settings import GanSettings
from gansfer.progress import Silent
from gansfer.settings import (
    AugmentationSettings,
    EncodingSettings,
    SegmenterSettings,
    SynthesisSettings,
)
from gansfer.synthesis.synthetic_sets import SyntheticSet, read_synthetic, write_synthetic
from jobs.experiment.arms import Arm
from jobs.experiment.plan import Cell
from jobs.stages import describe, synthesise, train_gan, train_segmenter
from jobs.stages.inputs import cell_labelling, read_code, read_generator, roles_of
from jobs.store.task_files import TaskFiles
from tests.three_subjects import (
    EIGHTH_CODE,
    IDS,
    POOL_IDS,
    SHAPE_ZHW,
    STRUCTURES,
    FixedGenerator,
    cell_of_three,
    latents_of,
    synthetic_set,
    three_subjects,
)

SETTINGS = SynthesisSettings(
    slices_per_phase=8,
    mask_margin_mm=3.0,
    binarise_fraction=0.4,
    closing_radius_mm=0.5,
    opening_width_mm=0.25,
    spur_length_mm=1.5,
    least_area_mm2=0.75,
    intensity_sd=9.0,
    keep_percentile=50.0,
)
NEEDED = {"train_gan": ("gan",), "synthesise": ("group-0", "group-1")}


def context_of(folder: Path, **experiment: Any) -> Any:
    """One task, its folder and no other file."""
    return SimpleNamespace(
        task=SimpleNamespace(id="task", settings={}, cell=SimpleNamespace(arm=None)),
        plan=SimpleNamespace(by_id={"prepare": "prepare"}),
        storage=SimpleNamespace(digest=lambda task: f"of {task}"),
        files=TaskFiles(folder / "task"),
        files_needed=lambda stage: [TaskFiles(folder / one) for one in NEEDED[stage]],
        experiment=SimpleNamespace(
            synthesis=SETTINGS,
            gan=GanSettings(base_px=4, latent_size=1, fmaps=(2, 2, 2)),
            slice_px=16,
            cohort=SimpleNamespace(encoding=EncodingSettings(), exclude_test_from_unlabelled=False),
            **experiment,
        ),
        identity="identity",
        device="cpu",
        watch=Silent(),
        seed_for=lambda *what: f"seed of {what}",
    )


def test_every_setting_of_the_labelling_arrives(tmp_path: Path) -> None:
    labelling = cell_labelling(context_of(tmp_path), cell_of_three(("A",)), EIGHTH_CODE)
    rule = labelling.rule
    assert (rule.binarise_fraction, rule.closing_radius_mm) == (0.4, 0.5)
    assert (rule.opening_width_mm, rule.intensity_sd) == (0.25, 9.0)
    assert (rule.spur_length_mm, rule.least_area_mm2) == (1.5, 0.75)
    # Rows 2 to 9 of all three subjects, and 3 mm.
    assert np.flatnonzero(labelling.mask_szhw[0, 1, :, 4]).tolist() == list(range(0, 13))
    known = three_subjects().images([*IDS, *POOL_IDS, *IDS])
    assert np.array_equal(labelling.numbered_nzhw, known)


def test_synthesis_knows_the_pool_and_keeps_the_percentile(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The generator of phase k makes slices of P2 that are k units too bright."""
    cell, drawn = cell_of_three(), list[Any]()

    def generator(context: object, phase: int) -> FixedGenerator:
        channels_kchw = np.zeros((8, 3, *SHAPE_ZHW[1:]), np.float32)
        image_khw = three_subjects().images(["P2"])[0].repeat(2, axis=0)
        image_khw[1::2, 0, 0] += phase
        channels_kchw[:, 0] = 0.125 * image_khw
        return FixedGenerator(channels_kchw)

    def latents(n: int, size: int, seed: object) -> Any:
        drawn.append((n, size, seed))
        return latents_of(n)

    monkeypatch.setattr(synthesise, "read_cohort", lambda context: cell.cohort)
    monkeypatch.setattr(synthesise, "training_data", lambda context, cohort: cell)
    monkeypatch.setattr(synthesise, "read_code", lambda context: EIGHTH_CODE)
    monkeypatch.setattr(synthesise, "read_generator", generator)
    monkeypatch.setattr(synthesise, "draw_latents", latents)
    monkeypatch.setattr(synthesise, "describe_synthesis", lambda *given: None)
    context = context_of(tmp_path)
    context.seed_for = lambda *what: 7
    synthesise.synthesise(context)
    assert drawn == [(8, 1, 7)] * 3
    for phase in (1, 2, 3):
        made = read_synthetic(context.files.slices(phase), kept_only=False)
        assert made.score_k == pytest.approx([0.0, phase] * 4, abs=1e-3)
        assert made.kept_k.tolist() == [True, False] * 4
        assert made.slice_index_k.tolist() == [0, 0, 1, 1, 2, 2, 3, 3]


@pytest.mark.parametrize("exclude", [False, True])
@pytest.mark.parametrize("fold", [0, 1, 2])
def test_roles_are_those_of_the_cells_fold_and_group(fold: int, exclude: bool) -> None:
    cohort: Any = three_subjects()
    experiment: Any = SimpleNamespace(
        seed=4,
        grid=SimpleNamespace(folds=3, group_size=1),
        cohort=SimpleNamespace(exclude_test_from_unlabelled=exclude),
    )
    roles = roles_of(experiment, cohort, Cell(0, fold, 2, 1))
    wanted = labelled_folds(cohort.subjects, 3, 4)[fold]
    assert (roles.test_ids, roles.training_ids) == (wanted.test_ids, wanted.train_ids)
    assert roles.group_ids == wanted.train_ids[1:]
    assert (roles.test_ids[0] in roles.pool_ids) != exclude


def test_the_generator_is_that_of_the_phase(tmp_path: Path) -> None:
    context = context_of(tmp_path)
    (gan,) = context.files_needed("train_gan")
    for phase in (1, 2, 3):
        state = build_generator(context.experiment.gan, 16, 3, seed=phase).state_dict()
        gan.phase(phase).folder.mkdir(parents=True)
        save_file(state, gan.phase(phase).generator)
    read = read_generator(context, 2).state_dict()
    wanted = build_generator(context.experiment.gan, 16, 3, seed=2).state_dict()
    assert all(torch.equal(value, wanted[name]) for name, value in read.items())


def test_what_is_described_is_compared_with_each_real_slice_once() -> None:
    real = describe._real_slices(cell_of_three())
    assert len(np.unique(real.image_nhw, axis=0)) == len(real.image_nhw) == 6 * SHAPE_ZHW[0]
    assert set(real.person_n) == {"A", "B", "C", "P1", "P2"}  # P0 is A again
    assert real.labelled_person_k.tolist() == [one for one in IDS for _ in range(SHAPE_ZHW[0])]


def test_every_phase_is_trained_on_the_groups_and_the_pools_slices(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cell, given = cell_of_three(("A", "C")), dict[str, Any]()

    def in_phases(
        settings: object, labelled: Any, known: Any, images: Any, run: Any, teach: Any
    ) -> None:
        given.update(labelled=labelled.numpy(), known=known.numpy(), images=images.numpy())
        given["kept"] = [run(phase, None).generator for phase in (1, 2, 3)]
        drawn = context.files.phase(2).selftaught  # as `teach` leaves it
        drawn.parent.mkdir(parents=True, exist_ok=True)
        drawn.touch()

    def kept(context: object, phase: int, identity: str, *drawn_with: object) -> Any:
        return SimpleNamespace(generator=(phase, identity))

    def changed_since(before: list[Any]) -> list[bool]:
        return [now != then for now, then in zip(given["kept"], before, strict=True)]

    context = context_of(tmp_path)
    monkeypatch.setattr(train_gan, "read_cohort", lambda context: cell.cohort)
    monkeypatch.setattr(train_gan, "training_data", lambda context, cohort: cell)
    monkeypatch.setattr(train_gan, "train_in_phases", in_phases)
    monkeypatch.setattr(train_gan, "_kept_phase", kept)
    hashed = _identities_hashed(monkeypatch)
    monkeypatch.setattr(train_gan, "checkpoints", lambda *of: SimpleNamespace(clear=lambda: None))
    outcome = train_gan.train_gan(context)
    assert outcome.facts["training_subjects"] == ["A", "C"]
    assert [phase for phase, _ in given["kept"]] == [1, 2, 3]
    assert len({identity for _, identity in given["kept"]}) == 3  # each covers those before it
    # The code on disk, which synthesis reads, is the one that the slices are encoded with.
    code = read_code(SimpleNamespace(files_needed=lambda stage: [context.files]))  # type: ignore[arg-type]
    assert np.array_equal(given["labelled"], cell.group.encoded(code)[0])
    assert np.array_equal(given["images"], code.encode_images(cell.pool_images_mzhw))
    percentiles = np.percentile(
        [*cell.group.image_nzhw.flat, *cell.pool_images_mzhw.flat], (0.1, 99.5)
    )
    assert code.gain_c[0] == pytest.approx(2 / np.ptp(percentiles), rel=1e-5)

    assert np.array_equal(given["known"], given["labelled"])

    # Deformed copies are encoded with the code of the group itself, each by its white matter.
    earlier = given["kept"]
    gan = context.experiment.gan.model_copy(update={"labelled_copies": 2})
    context.experiment.gan = gan
    context.experiment.augmentation = AugmentationSettings()
    context.task.settings["augmentation"] = {"scale_sd": 0.05}
    context.seed_for = lambda *what: 7
    train_gan.train_gan(context)
    group = cell.group
    images, labels = with_deformed_copies(
        group.image_nzhw,
        group.label_nzhw,
        2,
        AugmentationSettings(),
        cell.cohort.spacing_zhw_mm[1],
        7,
    )
    encoded, _ = code.encode(images, labels, np.concatenate([group.white_matter_n] * 3))
    assert np.array_equal(given["known"], encoded)
    assert np.array_equal(given["labelled"], cell.group.encoded(code)[0])  # phase 1 has no copies
    # They are what D_S of phase 3 knows, and D_C of phase 2, where there is one.
    assert changed_since(earlier) == [False, False, True]
    for n_copies, changed in ((0, [False, True, True]), (2, [False, True, True])):
        second = gan.phase_2.model_copy(update={"coupling_weight": 1.0})
        context.experiment.gan = gan.model_copy(
            update={"phase_2": second, "labelled_copies": n_copies}
        )
        train_gan.train_gan(context)
        assert changed_since(earlier) == changed
        earlier = given["kept"]

    # A rate of its own is part of a phase, how often critics are penalised of all; without them a
    # phase is what it was before there were any.
    unset = '"learning_rate": null', '"penalty_every"'
    assert hashed and not any(word in text for text in hashed for word in unset)
    for change, changed in (
        ({"phase_3": gan.phase_3.model_copy(update={"learning_rate": 1e-4})}, [False, False, True]),
        ({"penalty_every": 2}, [True, True, True]),
    ):
        context.experiment.gan = context.experiment.gan.model_copy(update=change)
        train_gan.train_gan(context)
        assert changed_since(earlier) == changed
        earlier = given["kept"]


def _identities_hashed(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What the identities of phases are digests of, from here on."""
    hashed = list[str]()

    def sha256(text: bytes) -> Any:
        hashed.append(text.decode())
        return hashlib.sha256(text)

    monkeypatch.setattr(train_gan, "hashlib", SimpleNamespace(sha256=sha256))
    return hashed


def test_a_segmenter_is_given_the_pools_of_its_arm(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cell, given = cell_of_three(), dict[str, Any]()
    kept_k = np.array([True, False, True, True])
    images: list[SyntheticSet] = []
    for number, one in enumerate(NEEDED["synthesise"]):
        (tmp_path / one).mkdir(parents=True)
        for phase in (1, 2, 3):
            image_khw = np.full((4, 16, 16), 10.0 * number + phase)
            images.append(synthetic_set(image_khw, kept_k=kept_k))
            write_synthetic(tmp_path / one / f"phase-{phase}.h5", images[-1], {})

    class Reached(Exception):
        pass

    def fit(
        settings: object, real: Any, synthetic: Any, ratio: Any, n_classes: int, **how: Any
    ) -> None:
        given.update(real=real, synthetic=synthetic, ratio=ratio, n_classes=n_classes)
        raise Reached

    context = context_of(tmp_path, segmenter=SegmenterSettings())
    monkeypatch.setattr(train_segmenter, "read_cohort", lambda context: cell.cohort)
    monkeypatch.setattr(train_segmenter, "training_data", lambda context, cohort: cell)
    monkeypatch.setattr(train_segmenter, "checkpoints", lambda *of: None)
    monkeypatch.setattr(train_segmenter, "fit_segmenter", fit)

    def pools(arm: Arm) -> dict[str, Any]:
        context.task.cell.arm = arm
        with pytest.raises(Reached):
            train_segmenter.train_segmenter(context)
        return given

    both = pools(Arm("ratio-2to1", (2, 3), "2:1"))
    assert (both["ratio"], both["n_classes"]) == (2.0, 1 + len(STRUCTURES))
    assert np.array_equal(both["real"].image_nhw.reshape(3, *SHAPE_ZHW), cell.training_images_nzhw)
    assert np.array_equal(both["real"].label_nhw.reshape(3, *SHAPE_ZHW), cell.training_labels_nzhw)
    assert (
        both["synthetic"].image_nhw[:, 0, 0].tolist()
        == [2.0] * 3 + [3.0] * 3 + [12.0] * 3 + [13.0] * 3
    )
    assert pools(Arm("synthetic", (2, 3)))["real"] is None
    assert pools(Arm("baseline"))["synthetic"] is None

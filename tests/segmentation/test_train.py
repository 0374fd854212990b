from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from gansfer.augmentation.deform import Augmentation
from gansfer.errors import UserError
from gansfer.progress import Silent, StopRequested
from gansfer.seeds import seed_for
from gansfer.segmentation import train
from gansfer.segmentation.deepmedic import build
from gansfer.segmentation.patches import Pool
from gansfer.segmentation.pathway import TrainingStep
from gansfer.segmentation.predict import segment_slices
from gansfer.segmentation.presets import PRESETS
from gansfer.segmentation.source import SegmentSource
from gansfer.segmentation.train import TrainResult, learning_rate, train_segmenter
from gansfer.settings import AugmentationSettings, SegmenterSettings
from gansfer.training.checkpoint import CheckpointStore


class StopAfter(Silent):
    """Asks to stop after so many reports."""

    def __init__(self, reports: int) -> None:
        self.left = reports

    def report(self, done: int, total: int, unit: str, note: str = "") -> None:
        self.left -= 1

    def stopping(self) -> bool:
        return self.left <= 0


def discs(n_slices: int, seed: int, side: int = 40) -> Pool:
    """A darker and a brighter disc on noise in each slice."""
    rng = np.random.default_rng(seed)
    rows, columns = np.mgrid[:side, :side]
    image_nhw = rng.normal(0, 0.3, (n_slices, side, side)).astype(np.float32)
    label_nhw = np.zeros((n_slices, side, side), dtype=np.uint8)
    for n in range(n_slices):
        for value in (1, 2):
            row, column = rng.uniform(10, side - 10, 2)
            disc = (rows - row) ** 2 + (columns - column) ** 2 < rng.uniform(4, 7) ** 2
            label_nhw[n][disc] = value
            image_nhw[n][disc] += 1.5 * value
    return Pool(image_nhw, label_nhw, np.arange(n_slices))


def small(**more: Any) -> SegmenterSettings:
    values = {
        "preset": "deepmedic-original",
        "epochs": 2,
        "subepochs_per_epoch": 2,
        "segments_per_subepoch": 12,
        "batch_segments": 4,
    }
    return SegmenterSettings.model_validate(values | more)


def trained(
    folder: Path, settings: SegmenterSettings, watch: Silent | None = None, **more: Any
) -> TrainResult:
    call: dict[str, Any] = {
        "real": discs(4, 0),
        "synthetic": None,
        "real_per_synthetic": None,
        "seed": 7,
    } | more
    store = CheckpointStore(folder, "test")
    return train_segmenter(
        settings, n_classes=3, store=store, watch=watch or Silent(), device="cpu", **call
    )


@pytest.mark.parametrize(
    ("stops", "precision"),
    [((5,), "float32"), ((3, 1), "float32"), ((1, 2, 3), "float32"), ((3, 1), "bfloat16")],
)
def test_a_resumed_training_equals_an_undisturbed_one(
    tmp_path: Path, stops: tuple[int, ...], precision: str
) -> None:
    pools: dict[str, Any] = {"synthetic": discs(3, 1), "real_per_synthetic": 2.0}
    settings = small(precision=precision)
    undisturbed = trained(tmp_path / "a", settings, **pools)
    for reports in stops:
        with pytest.raises(StopRequested):
            trained(tmp_path / "b", settings, StopAfter(reports), **pools)
    resumed = trained(tmp_path / "b", settings, **pools)
    assert resumed.records == undisturbed.records
    assert resumed.achieved_real_per_synthetic == undisturbed.achieved_real_per_synthetic
    assert resumed.state.keys() == undisturbed.state.keys()
    for key, tensor in resumed.state.items():
        assert torch.equal(tensor, undisturbed.state[key]), key


def test_a_finished_training_gives_the_same_again(tmp_path: Path) -> None:
    store = CheckpointStore(tmp_path, "test", every_s=0.0)
    call = (small(), discs(4, 0), None, None, 3)
    first = train_segmenter(*call, seed=7, store=store, watch=Silent())
    again = train_segmenter(*call, seed=7, store=store, watch=StopAfter(0))
    assert first.records == again.records
    assert all(torch.equal(first.state[key], again.state[key]) for key in first.state)


def test_bfloat16_learns_what_float32_does_in_other_products(tmp_path: Path) -> None:
    full, mixed = (
        trained(tmp_path / precision, small(precision=precision))
        for precision in ("float32", "bfloat16")
    )
    assert mixed.records != full.records
    for one, other in zip(mixed.records, full.records, strict=True):
        assert one["loss"] == pytest.approx(other["loss"], rel=0.1)
    assert all(tensor.dtype == torch.float32 for tensor in mixed.state.values())


@pytest.mark.parametrize("native", [True, False])
def test_auto_is_what_the_processor_multiplies_in(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, native: bool
) -> None:
    flags = {"avx512_bf16": native}
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: flags, raising=False)
    auto = trained(tmp_path / "auto", small())
    precision = "bfloat16" if native else "float32"
    same = trained(tmp_path / "same", small(precision=precision))
    assert auto.records == same.records
    assert auto.precision == same.precision == precision


def test_a_training_that_goes_on_in_another_precision_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    flags = {"avx512_bf16": True}
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: flags, raising=False)
    for reports in (1, 2):
        with pytest.raises(StopRequested):
            trained(tmp_path, small(), StopAfter(reports))
    assert not caplog.records
    flags["avx512_bf16"] = False
    assert trained(tmp_path, small()).precision == "float32"
    (said,) = (record.getMessage() for record in caplog.records)
    assert said.startswith("segmenter: begun in bfloat16, goes on in float32")
    assert "segmenter.precision: bfloat16, set before" in said


def test_updates_are_those_of_a_plain_loop(tmp_path: Path) -> None:
    """Two iterations against autograd on the whole cost and a NumPy update."""
    one = {"epochs": 1, "subepochs_per_epoch": 1, "segments_per_subepoch": 8}
    settings = small(**one, l1=1e-3, l2=1e-2, precision="float32")
    ours = trained(tmp_path, settings)
    weights = torch.Generator().manual_seed(seed_for(7, "weights"))
    net = build(settings.preset, 3, generator=weights)
    preset, device = PRESETS[settings.preset], torch.device("cpu")
    source = SegmentSource(settings, preset, discs(4, 0), None, None, 3, 7, device)
    patch_n1pp, label_noo, _ = source.subepoch(0)
    square = [np.zeros(p.shape) for p in net.parameters()]
    velocity = [np.zeros(p.shape) for p in net.parameters()]
    losses = []
    for step in range(2):
        rows = slice(4 * step, 4 * step + 4)
        masks = torch.Generator().manual_seed(seed_for(7, "dropout", step))
        logits = net(patch_n1pp[rows], TrainingStep(step, masks))
        chosen = F.one_hot(label_noo[rows], 3).permute(0, 3, 1, 2)
        cost = -(logits.softmax(1).log() * chosen).sum() / label_noo[rows].numel()
        losses.append(cost.item())
        for key, weight in net.named_parameters():
            if key.endswith("kernel"):
                cost = cost + 1e-3 * weight.abs().sum() + 1e-2 * weight.square().sum()
        net.zero_grad()
        cost.backward()
        for i, weight in enumerate(net.parameters()):
            assert weight.grad is not None
            grad = weight.grad.double().numpy()
            square[i] = 0.9 * square[i] + 0.1 * grad**2
            stride = 0.4 * 1e-3 * grad / np.sqrt(square[i] + 1e-4)
            velocity[i] = 0.6 * velocity[i] - stride
            with torch.no_grad():
                weight.add_(torch.from_numpy(0.6 * velocity[i] - stride).float())
    for key, weight in net.named_parameters():
        torch.testing.assert_close(ours.state[key], weight.detach(), rtol=1e-3, atol=1e-6)
    assert ours.records[0]["loss"] == pytest.approx(np.mean(losses), rel=1e-4)


def test_learns_two_discs(tmp_path: Path) -> None:
    settings = small(epochs=1, subepochs_per_epoch=5, segments_per_subepoch=200, batch_segments=10)
    result = trained(tmp_path, settings, real=discs(12, 0))
    dice = [record["dice"] for record in result.records]
    assert dice[-1] > 0.8 and dice[-1] > dice[0] + 0.1
    assert result.records[-1]["loss"] < result.records[0]["loss"]
    unseen = discs(4, 9)
    label_nhw = segment_slices(result.state, unseen.image_nhw, settings, 3, watch=Silent())
    found, wanted = label_nhw > 0, unseen.label_nhw > 0
    assert 2 * (found & wanted).sum() / (found.sum() + wanted.sum()) > 0.85
    assert (label_nhw[found & wanted] == unseen.label_nhw[found & wanted]).mean() > 0.8


def test_the_achieved_ratio_is_counted(tmp_path: Path) -> None:
    settings = small(epochs=1, subepochs_per_epoch=1, segments_per_subepoch=40)
    mixed = trained(tmp_path / "mixed", settings, synthetic=discs(3, 1), real_per_synthetic=1.0)
    share = mixed.records[-1]["synthetic_share"]
    assert 0.2 < share < 0.8
    assert mixed.achieved_real_per_synthetic == pytest.approx((1 - share) / share)
    assert trained(tmp_path / "real", settings).achieved_real_per_synthetic is None
    synthetic = trained(tmp_path / "synthetic", settings, real=None, synthetic=discs(3, 1))
    assert synthetic.achieved_real_per_synthetic == 0.0


def test_the_same_seed_repeats_and_another_differs(tmp_path: Path) -> None:
    settings = small(epochs=1, subepochs_per_epoch=1)
    a, b = trained(tmp_path / "a", settings), trained(tmp_path / "b", settings)
    c = trained(tmp_path / "c", settings, seed=8)
    assert all(torch.equal(a.state[key], b.state[key]) for key in a.state)
    assert not torch.equal(a.state["fc.blocks.0.kernel"], c.state["fc.blocks.0.kernel"])


def test_each_subepoch_has_segments_of_its_own_that_it_always_gets() -> None:
    settings = small()
    preset, device = PRESETS[settings.preset], torch.device("cpu")
    call = (settings, preset, discs(4, 0), discs(3, 1), 1.0, 3, 7, device)
    first, second = (SegmentSource(*call).subepoch(number) for number in (0, 1))
    again = SegmentSource(*call).subepoch(0)
    assert not torch.equal(first[0], second[0])
    assert torch.equal(first[0], again[0]) and torch.equal(first[1], again[1])
    assert (first[2] == again[2]).all()


def test_training_leaves_the_global_random_numbers_alone(tmp_path: Path) -> None:
    torch.manual_seed(0)
    wanted = torch.rand(3)
    torch.manual_seed(0)
    trained(tmp_path, small(epochs=1, subepochs_per_epoch=1))
    assert torch.equal(torch.rand(3), wanted)


def test_learning_rate_halves_at_the_end_of_the_official_epochs() -> None:
    settings, preset = SegmenterSettings(), PRESETS["deepmedic"]
    assert learning_rate(settings, preset, 17.95) == 1e-3
    assert learning_rate(settings, preset, 18.0) == 5e-4
    assert learning_rate(settings, preset, 34.95) == pytest.approx(1e-3 / 32)
    short = SegmenterSettings(epochs=7)
    assert learning_rate(short, preset, 3.55) == 1e-3
    assert learning_rate(short, preset, 3.6) == 5e-4
    listed = SegmenterSettings(epochs=7, halve_at_epochs=(0, 5))
    rates = [learning_rate(listed, preset, epoch) for epoch in (0.9, 1.0, 5.9, 6.0)]
    assert rates == [1e-3, 5e-4, 5e-4, 2.5e-4]


def test_mistakes_are_named(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="segments_per_subepoch 3 is not a multiple of"):
        small(segments_per_subepoch=3)
    high = discs(2, 0)
    high.label_nhw[0, 0, 0] = 3
    with pytest.raises(UserError, match=r"label 3, at most 2 wanted with 3 classes"):
        trained(tmp_path, small(), real=high)
    broken = discs(2, 0)
    broken.image_nhw[:] = np.nan
    with pytest.raises(UserError, match="loss nan in subepoch 1"):
        trained(tmp_path, small(), real=broken)


def test_weights_that_the_last_update_broke_are_no_model(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No loss is taken after the last update, so none can tell."""
    last = 1.5  # epochs: 2, of two subepochs of one batch
    monkeypatch.setattr(
        train, "learning_rate", lambda settings, preset, epoch: np.inf if epoch >= last else 1e-3
    )
    with pytest.raises(UserError, match="is not finite after the last update; lower learning_rate"):
        trained(tmp_path, small(segments_per_subepoch=4), real=discs(2, 0))


def augmented(probability: float = 1.0) -> Augmentation:
    return Augmentation(AugmentationSettings(probability=probability), spacing_mm=2.0)


def test_a_resumed_augmented_training_equals_an_undisturbed_one(tmp_path: Path) -> None:
    whole = trained(tmp_path / "a", small(), augmentation=augmented(0.5))
    for reports in (3, 1):
        with pytest.raises(StopRequested):
            trained(tmp_path / "b", small(), StopAfter(reports), augmentation=augmented(0.5))
    resumed = trained(tmp_path / "b", small(), augmentation=augmented(0.5))
    assert resumed.records == whole.records
    assert all(torch.equal(resumed.state[key], whole.state[key]) for key in whole.state)
    plain = trained(tmp_path / "c", small())
    assert plain.records != whole.records


def test_each_subepoch_is_cut_from_slices_deformed_anew_with_their_labels() -> None:
    """Images that are their labels: a patch's centre then says what its label has to be."""
    pool = discs(3, 0)
    pool = Pool(pool.label_nhw.astype(np.float32), pool.label_nhw, pool.subject_n)
    settings = small(segments_per_subepoch=200, batch_segments=4, reflection_probability=0.0)
    preset = PRESETS[settings.preset]
    call = (settings, preset, pool, None, None, 3, 7, torch.device("cpu"))
    plain, moving = SegmentSource(*call), SegmentSource(*call, augmented())
    middle, output = preset.patch_px(preset.output_px) // 2, preset.output_px // 2
    for number in (0, 1):
        patch_n1pp, label_noo, _ = moving.subepoch(number)
        centre_n = patch_n1pp[:, 0, middle, middle].round().long()
        assert (centre_n == label_noo[:, output, output]).float().mean() > 0.9
        assert (label_noo[:, output, output] > 0).float().mean() > 0.4  # half the centres, still
        assert not torch.equal(patch_n1pp, plain.subepoch(number)[0])
    again = SegmentSource(*call, augmented())
    assert torch.equal(again.subepoch(1)[0], moving.subepoch(1)[0])
    values = set(moving.subepoch(0)[0].flatten().tolist()) - {0.0, 1.0, 2.0}
    assert values  # resampled, not merely chosen


def test_generated_slices_are_deformed_as_well_as_many_as_a_subepoch_has_segments(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    deformed: list[int] = []
    deform = Augmentation.deform

    def counted(self: Augmentation, image_khw: torch.Tensor, *rest: Any) -> Any:
        deformed.append(len(image_khw))
        return deform(self, image_khw, *rest)

    monkeypatch.setattr(Augmentation, "deform", counted)
    real, generated = (
        Pool(pool.label_nhw.astype(np.float32) + shift, pool.label_nhw, pool.subject_n)
        for pool, shift in ((discs(2, 0), 0.0), (discs(50, 1), 10.0))
    )
    settings = small(segments_per_subepoch=40, reflection_probability=0.0)
    preset = PRESETS[settings.preset]
    rest = (1.0, 3, 7, torch.device("cpu"))
    source = SegmentSource(settings, preset, real, generated, *rest, augmented())
    plain = SegmentSource(settings, preset, real, generated, *rest)
    middle, output = preset.patch_px(preset.output_px) // 2, preset.output_px // 2
    for number in (0, 1):
        patch_n1pp, label_noo, synthetic_n = source.subepoch(number)
        assert deformed[2 * number :] == [len(real.image_nhw), 40]
        centre_n = patch_n1pp[:, 0, middle, middle] - 10.0 * torch.from_numpy(synthetic_n)
        assert (centre_n.round() == label_noo[:, output, output]).float().mean() > 0.8
        assert 5 < synthetic_n.sum() < 35
        moved_n = (patch_n1pp - plain.subepoch(number)[0]).abs().amax((1, 2, 3)) > 0.01
        assert moved_n[torch.from_numpy(synthetic_n)].all()
    again = SegmentSource(settings, preset, real, generated, *rest, augmented())
    assert torch.equal(again.subepoch(1)[0], source.subepoch(1)[0])

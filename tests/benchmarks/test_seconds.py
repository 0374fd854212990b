"""The benchmarks on the built-in cohort, in a form of seconds: they run, and their numbers move."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from gansfer.cohort.shards import Cohort
from gansfer.settings import EncodingSettings, SynthesisSettings
from gansfer.synthesis.synthetic_sets import SyntheticSet, write_synthetic
from tests.benchmarks import agreement, ceiling, roundtrip
from tests.benchmarks.prepared import SEGMENTER, Images, Labels, built_in_cohort, dice, flat


def test_roundtrip_says_what_each_step_costs(capsys: pytest.CaptureFixture[str]) -> None:
    small = ["--voxel", "4", "--subjects", "1"]
    table = roundtrip.main([*small, "--set", "intensity_sd=3"])
    said = capsys.readouterr().out
    assert said.startswith("1 subjects at 4 mm, groups of 1")
    assert [line.split()[0] for line in said.splitlines()[2:]] == list(table)
    assert table["final"][0] > 0.97
    clipped = roundtrip.main(
        [*small, "--set", "level_percentile=null", "--set", "binarise_fraction=0.5"]
    )
    assert clipped["binarised"][0] < table["binarised"][0] - 0.02
    assert clipped["gated"][0] < clipped["filled"][0]


def test_ceiling_measures_every_arm(capsys: pytest.CaptureFixture[str]) -> None:
    results = ceiling.main(["--iterations", "5", "--arms", "baseline", "path", "truth"])
    said = capsys.readouterr().out
    assert said.startswith("1 labelled, 4 give, 4 and 2 test subjects are measured, seed 0, 2:1")
    assert list(results) == ["baseline", "path", "truth"]
    assert all(set(result) >= {"test", "others", "60+"} for result in results.values())


def test_shares_are_of_what_there_is_to_gain(capsys: pytest.CaptureFixture[str]) -> None:
    ceiling.print_shares({"baseline": {"75+": 0.6}, "path": {"75+": 0.7}, "truth": {"75+": 0.8}})
    assert capsys.readouterr().out == (
        "75+        to gain  20.0 points; share: baseline 0.00, path 0.50, truth 1.00\n"
    )
    ceiling.print_shares({"baseline": {"75+": 0.6}, "path": {"75+": 0.7}})
    assert capsys.readouterr().out == ""


def test_the_label_path_of_the_ceiling_gives_other_peoples_labels_back(tmp_path: Path) -> None:
    cohort = built_in_cohort(tmp_path, 2, 4, 4.0)
    who = ceiling.given(cohort, 1, 2, 0, 1)
    assert {one.id for one in who.givers}.isdisjoint({one.id for one in who.others})
    assert {*who.training_ids}.isdisjoint(who.test_ids)
    truth_khw = flat(cohort.references([one.id for one in who.givers]))
    gate_off = SynthesisSettings(intensity_sd=3.0)
    overall = {}
    for arm in ("path", "path-numbered", "truth"):
        _, label_khw, _ = ceiling.made(who, arm, EncodingSettings(), gate_off)
        overall[arm] = dice(label_khw, truth_khw, len(cohort.structures))[0]
    assert overall["truth"] == 1.0
    assert overall["path-numbered"] > 0.9
    assert overall["path"] <= overall["path-numbered"]


def half_shifted(cohort: Cohort) -> tuple[Images, Labels]:
    """The labelled subjects' slices with their labels, and again with labels two pixels off."""
    ids = [one.id for one in cohort.subjects if one.labelled]
    image_khw, label_khw = flat(cohort.images(ids)), flat(cohort.labels(ids))
    shifted_khw = np.roll(label_khw, 2, axis=2)
    return np.concatenate([image_khw] * 2), np.concatenate([label_khw, shifted_khw])


def write_half_retained(path: Path, image_khw: Images, label_khw: Labels) -> None:
    """Slices as the stage `synthesise` leaves them; the filter passed the first half."""
    n = len(image_khw)
    numbers = np.zeros(n, np.int64)
    retained = np.arange(n) < n // 2
    made = SyntheticSet(
        image_khw, label_khw, numbers, np.zeros(n, np.float32), retained, numbers, numbers
    )
    write_synthetic(path, made, {})


def test_the_ceiling_sets_generated_labels_beside_those_of_the_truth(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    cohort = built_in_cohort(tmp_path / "cohort", 4, 8, 4.0)
    image_khw, label_khw = half_shifted(cohort)
    write_half_retained(tmp_path / "phase-2.h5", image_khw, label_khw)
    given = [str(tmp_path / "cohort"), "--folds", "2", "--synthetic", str(tmp_path / "phase-2.h5")]
    with pytest.raises(SystemExit):
        ceiling.main(["--arms", "judged-only"])
    assert "--arms judged-only needs --synthetic" in capsys.readouterr().err
    arms = ["generated", "judged", "judged-only"]
    results = ceiling.main([*given, "--iterations", "40", "--arms", *arms])
    assert list(results) == arms
    lines = capsys.readouterr().out.splitlines()
    agreed = {
        line.split()[0]: float(lines[number + 1].split()[0])
        for number, line in enumerate(lines)
        if "labels to truth" in line
    }
    assert 20.0 < agreed["generated"] < 95.0
    assert agreed["judged"] == agreed["judged-only"] == 100.0
    asked = SEGMENTER.model_copy(update={"epochs": 1, "subepochs_per_epoch": 1})
    who = ceiling.given(cohort, 1, 2, 0, 1)
    kept_khw, own_khw, _ = ceiling.judged(who, [tmp_path / "phase-2.h5"], asked, 0)
    half = len(image_khw) // 2
    assert np.array_equal(kept_khw, image_khw[:half]) and np.array_equal(own_khw, label_khw[:half])


def test_agreement_is_lower_where_labels_do_not_follow_the_image(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    kept = tmp_path / "judge.safetensors"
    results = agreement.main(["--iterations", "60", "--judge", str(kept)])
    assert results["real labelled"].dsc[0] > results["shifted"].dsc[0] + 0.1
    assert results["real labelled"].area == pytest.approx([1.0] * 8)
    said = capsys.readouterr().out
    assert [line.split()[0] for line in said.splitlines()[1::3]] == ["real", "shifted"]
    again = agreement.main(["--iterations", "1", "--judge", str(kept)])
    assert again["shifted"].dsc == results["shifted"].dsc
    cohort = built_in_cohort(tmp_path / "cohort", 2, 6, 4.0)
    write_half_retained(tmp_path / "phase-2.h5", *half_shifted(cohort))
    given = [str(tmp_path / "cohort"), str(tmp_path / "phase-2.h5"), "--judge", str(kept)]
    (_, filtered), (_, every) = (
        list(agreement.main([*given, *more]).values()) for more in ([], ["--unfiltered"])
    )
    assert filtered.dsc[0] > every.dsc[0] + 0.05

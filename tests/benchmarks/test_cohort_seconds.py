"""The benchmarks that read a cohort's files, in a form of seconds: every number is there."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest

from gansfer.structures import PAPER_STRUCTURES
from tests.benchmarks import alignment, ingestion, propagation, same_subjects
from tests.benchmarks.little_cohort import write_little_cohort
from tests.benchmarks.prepared import built_in_cohort

OVERALL_AND_EACH = {"overall", *PAPER_STRUCTURES}
VOXEL = ("--voxel-mm", "4")


@pytest.fixture(scope="module")
def cohort(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Two labelled people, of whom one is on a disc too, and three others, of 4 mm."""
    return str(write_little_cohort(tmp_path_factory.mktemp("little")))


def _dsc_of(result: Mapping[str, float], at_least: float) -> None:
    assert set(result) >= OVERALL_AND_EACH
    assert all(0 <= dsc <= 1 for dsc in result.values())
    assert result["overall"] > at_least


def test_alignment_votes_for_the_labelled_and_for_the_pool(
    cohort: str, capsys: pytest.CaptureFixture[str]
) -> None:
    results = alignment.main([cohort, *VOXEL, "--pool", "3"])
    lines = capsys.readouterr().out.splitlines()
    assert list(results) == ["labelled", "pool"]
    for result in results.values():
        _dsc_of(result, 0.5)
        assert 0.5 < result["over 50"] < 1
    (labelled,) = (n for n, line in enumerate(lines) if line.startswith("labelled, leaving one"))
    assert lines[labelled].endswith("(n=1)")
    assert f", n=2: overall {results['labelled']['overall']:.4f}, over 50 " in lines[labelled]
    each = [line.split() for line in lines[labelled + 1 : labelled + 8]]
    assert each == [[name, f"{results['labelled'][name]:.3f}"] for name in PAPER_STRUCTURES]
    assert lines[labelled + 8].startswith("pool, n=3: overall ")
    assert " 0 labelled voxels outside the region" in lines[1]


def test_the_young_alone_have_their_line_to_themselves(capsys: pytest.CaptureFixture[str]) -> None:
    label_nzhw = np.ones((1, 2, 2, 2), np.uint8)
    alignment.report("young", label_nzhw, label_nzhw, np.array([20.0]))
    said = capsys.readouterr().out.splitlines()
    assert said[:2] == ["young, n=1: overall 1.0000", "  accumbens 1.000"]
    assert said[-1] == "  thalamus nan"


def test_same_subjects_finds_the_pose_and_names_who_has_no_copy(
    cohort: str, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = same_subjects.main([cohort])
    said = capsys.readouterr().out
    assert list(rows) == ["1001"]
    row = rows["1001"]
    assert list(row) == list(same_subjects.COLUMNS)
    assert 0 < row["to own copy mm"] <= row["to template mm"] < 4  # a voxel
    assert 0 < row["fit mm"] < 4
    assert 0.9 < row["similarity"] <= 1
    assert all(0 < abs(row[name]) < 20 for name in ("white native %", "white T88 %"))
    lines = said.splitlines()
    assert [line.split()[0] for line in lines] == ["subject", "1001", "1002", "mean", "largest"]
    assert "no disc has a copy" in lines[2]
    assert lines[3].endswith("(sizes, n=1)")


def test_ingestion_takes_every_stage_apart(cohort: str, capsys: pytest.CaptureFixture[str]) -> None:
    measured = ingestion.main(
        [cohort, *VOXEL, "--subjects", "1", "--workers", "0", "--imported", "4"]
    )
    assert list(measured.cpu_s_by_stage) == [
        "template (once)",
        "labelled: read",
        "labelled: register",
        "labelled: refine to the own copy",
        "labelled: normalise, white matter, resample",
        "labelled: write (all)",
        "unlabelled: read",
        "unlabelled: normalise, white matter, resample",
        "unlabelled: write (all)",
    ]
    assert min(measured.cpu_s_by_stage.values()) > 0
    assert list(measured.import_s_by_readers) == [1, 2, 4]
    assert min(measured.import_s_by_readers.values()) > 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split(": ")[-1].endswith("CPU-seconds (n=1)") for line in lines[:9]] == [True] * 9
    assert [line.startswith("import: 4 images, ") for line in lines[9:]] == [True] * 3


def test_ingestion_grows_with_the_pool(cohort: str, capsys: pytest.CaptureFixture[str]) -> None:
    measured = ingestion.main([cohort, *VOXEL, "--pool", "2", "--workers", "1"])
    (took,) = measured.whole_by_pool.values()
    assert list(measured.whole_by_pool) == [2]
    assert took.n_images == 5  # two labelled, the copy of one, and two of the pool
    assert took.wall_s > 0
    assert 0.05 < took.peak_gib < 64
    assert capsys.readouterr().out.startswith("2 more of the pool: whole cohort: 5 images in ")
    with pytest.raises(SystemExit):
        ingestion.main([cohort, "--pool", "9"])
    assert "--pool 9: COHORT holds 3 images of others" in capsys.readouterr().err


def test_propagation_measures_labelled_and_pool(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("ants")
    built_in_cohort(tmp_path, 3, 2, 4.0)
    few = ["--subjects", "1", "--pool", "1"]
    results = propagation.main([str(tmp_path), "--atlases", "2,1", *few])
    said = capsys.readouterr().out
    assert list(results) == ["labelled, leaving one out", "pool"]
    for name, result in results.items():
        assert list(result) == [1, 2]
        for n, means in result.items():
            _dsc_of(means, 0.5)
            assert f"{name}, n=1, {n} atlases: overall {means['overall']:.3f} " in said
    last = said.splitlines()[-1]
    assert last.startswith("CPU-seconds at 4 mm: ")
    assert last.endswith(" a fusion of 2")
    assert not any(math.isnan(float(one)) for one in last.split()[4::3] if one[0].isdigit())
    with pytest.raises(SystemExit):
        propagation.main([str(tmp_path), "--atlases", "3", *few])
    assert "--atlases 3: 2 others are labelled" in capsys.readouterr().err

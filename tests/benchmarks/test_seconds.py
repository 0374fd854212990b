"""The benchmarks on the built-in cohort, in a form of seconds: they run, and their numbers move."""

from __future__ import annotations

import pytest

from tests.benchmarks import roundtrip


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

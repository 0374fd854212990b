"""`gansfer inspect`: everybody is printed, and the unusual are drawn first."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from rich.console import Console

from gansfer.cohort.writing import write_cohort
from gansfer.errors import UserError
from gansfer.preprocessing.preprocess import PreparedSubject
from gansfer.settings import RoiSettings
from gansfer.subjects import Subject
from jobs.checking import inspection
from jobs.checking.inspection import inspect_cohort

ROI = RoiSettings(size_mm=(40, 40, 24), voxel_mm=2.0)


@pytest.fixture
def cohort(tmp_path: Path) -> Path:
    rng = np.random.default_rng(0)
    common = rng.normal(0, 1, ROI.shape_zhw)
    made = []
    for n in range(6):
        image_zhw = (common + rng.normal(0, 0.3, common.shape)).astype(np.float32)
        label_zhw = np.zeros(ROI.shape_zhw, np.uint8)
        label_zhw[3:9, 5:12, 4:10] = 1
        label_zhw[3:9, 5:12, 11 : 15 if n != 3 else 12] = 2
        made.append(
            PreparedSubject(
                subject=Subject(
                    f"s{n}",
                    age_years=None if n == 5 else 60 + n,
                    cdr=0.5 if n == 1 else 0.0,
                    labelled=n < 4,
                    in_pool=n >= 4,
                ),
                image_zhw=image_zhw if n != 4 else np.roll(image_zhw, 4, axis=1),
                label_zhw=label_zhw if n < 4 else None,
                reference_zhw=None,
                white_matter=1.0,
                white_matter_source="mixture",
                intensity_mean=100.0,
                intensity_sd=10.0,
                notes=("/d/s1.nii: odd", "/d/s1.nii: and more") if n == 1 else (),
            )
        )
    write_cohort(tmp_path / "cohort", made, structures=("a", "b"), roi=ROI, software="test")
    return tmp_path


def inspected(path: Path, out: Path | None = None) -> tuple[str, list[Path]]:
    console = Console(file=io.StringIO(), width=200)
    sheets = inspect_cohort(path, out, console)
    return console.file.getvalue(), sheets  # type: ignore[attr-defined]


def test_people_ages_and_ranges(cohort: Path) -> None:
    said, sheets = inspected(cohort)
    assert "6 images" in said
    assert "4 labelled, 2 in the pool, 0 repeats, 0 with a reference" in said
    assert "age 60 to 64 years, median 62 (known of 5)" in said
    assert "CDR 0: 5, 0.5: 1" in said
    assert "12 slices of 20 x 20, 2 mm; a, b" in said
    assert "2 to look at\nnote: /d/s1.nii: odd\nnote: /d/s1.nii: and more\n" in said
    flagged = [line for line in said.splitlines() if " ml " in line and "labels ml" not in line]
    assert ["s3" in line for line in flagged] == [True]
    assert sheets == [cohort / "cohort" / "contact-sheet.png"]
    with Image.open(sheets[0]) as picture:
        assert min(picture.size) > 300


def test_the_unusual_come_first(cohort: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    drawn: list[list[tuple[str, str]]] = []

    def note(path: Path, rows: list[Any], structures: object, title: str) -> None:
        drawn.append([(row.id, row.flag) for row in rows])

    monkeypatch.setattr(inspection, "contact_sheet", note)
    monkeypatch.setattr(inspection, "ROWS_OF_A_SHEET", 4)
    _, sheets = inspected(cohort, cohort / "out")
    assert [path.name for path in sheets] == ["contact-sheet-01.png", "contact-sheet-02.png"]
    first = dict(drawn[0])
    assert set(list(first)[:2]) == {"s3", "s4"}
    assert first["s3"].startswith("b 0.")
    assert first["s4"].startswith("alignment ")
    assert not any(flag for _, flag in [*drawn[0][2:], *drawn[1]])


def test_no_cohort_there(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"no prepared cohort \(subjects\.csv\) here or in its"):
        inspected(tmp_path)

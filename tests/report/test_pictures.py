from __future__ import annotations

from pathlib import Path

from gansfer.report.page import Gallery
from gansfer.report.pictures import Picture, picture_sections


def _grids(folds: int) -> list[Picture]:
    return [
        Picture("samples", Path(f"{fold}-{labels}-{phase}.png"), 0, fold, labels, 0, phase)
        for fold in range(folds)
        for labels in (1, 3, 6)
        for phase in (1, 2, 3)
    ]


def test_the_analysis_fold_is_shown_first_and_the_rest_is_counted() -> None:
    (section,) = picture_sections(_grids(4), analysis_fold=2)
    (gallery,) = section.parts
    assert isinstance(gallery, Gallery)
    assert gallery.title == "Generated slices (15 of 36 shown)"
    names = [image.path.name for image in gallery.images]
    assert names[:3] == ["2-1-1.png", "2-1-2.png", "2-1-3.png"]
    assert all(name.startswith("2-") for name in names[:9])
    assert gallery.images[0].title == "N = 1, fold 2, group 0, phase 1."


def test_no_pictures_no_sections() -> None:
    assert picture_sections([], None) == []
    (section,) = picture_sections([Picture("cohort", Path("sheet.png"), title="Everyone")], None)
    assert section.title == "Cohort and training"

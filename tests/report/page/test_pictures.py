from __future__ import annotations

from pathlib import Path

from gansfer.report.page.page import Gallery, Image
from gansfer.report.page.pictures import Picture, picture_sections


def _grids(folds: int) -> list[Picture]:
    return [
        Picture("samples", Path(f"{fold}-{labels}-{phase}.png"), 0, fold, labels, 0, phase)
        for fold in range(folds)
        for labels in (1, 3, 6)
        for phase in (1, 2, 3)
    ]


def test_one_of_each_label_count_and_phase_is_shown_of_the_analysis_fold() -> None:
    grids = [one for one in _grids(4) if one.path.name != "2-6-3.png"]
    (section,) = picture_sections(grids, analysis_fold=2)
    (gallery,) = section.parts
    assert isinstance(gallery, Gallery)
    assert gallery.title == "Generated slices (9 of 35 shown)"
    assert "the others lie beside" in section.text[0]
    names = [image.path.name for image in gallery.images if isinstance(image, Image)]
    assert names[:3] == ["2-1-1.png", "2-1-2.png", "2-1-3.png"]
    assert all(name.startswith("2-") for name in names[:8])
    assert names[8] == "0-6-3.png"  # where the analysis fold has none, another's
    assert isinstance(gallery.images[0], Image)
    assert gallery.images[0].alt == "Generated slices: N = 1, fold 2, group 0, phase 1"
    assert gallery.images[0].title == "N = 1, fold 2, group 0, phase 1."


def test_no_pictures_no_sections() -> None:
    assert picture_sections([], None) == []
    (section,) = picture_sections([Picture("cohort", Path("sheet.png"), title="Everyone")], None)
    assert section.title == "Cohort and training"

from __future__ import annotations

import numpy as np

from gansfer.errors import UserError
from gansfer.report.page.page import Bullets, Gallery, Legend, SliceViewer
from gansfer.report.viewer.segmentation_section import SegmentedSubject, segmentation_section
from gansfer.report.viewer.shown_subjects import ShownSubject

STRUCTURES = ("putamen", "accumbens")
SHOWN = [
    ShownSubject("worst", 1, 0, 0, "s1", "ratio-2to1", 0.5, 0.4, 9),
    ShownSubject("best", 1, 0, 0, "s2", "ratio-2to1", 0.7, 0.9, 9),
    ShownSubject("only", 3, 0, 1, "s1", "ratio-10to1", 0.7, 0.8, 1),
]


def _read(shown: ShownSubject) -> SegmentedSubject:
    if shown.subject == "s2":
        raise UserError("predictions.h5: cannot be read")
    maps = []
    for voxels in (2, 3, 4):
        label = np.zeros((8, 8, 8), np.uint8)
        label[2:6, 2:6, 4 : 4 + voxels] = 2
        maps.append(label)
    return SegmentedSubject(
        np.ones((8, 8, 8), np.float32), maps[0], maps[1], maps[2], (1.0, 1.0, 1.0)
    )


def test_every_subject_has_a_picture_or_the_reason_why_not() -> None:
    section = segmentation_section(SHOWN, _read, STRUCTURES, "the ratio 2:1 throughout")
    assert section is not None
    assert "takes the ratio 2:1 throughout" in section.text[0]
    legend, first, second, lacking = section.parts
    assert isinstance(legend, Legend)
    assert [name for name, _ in legend.items] == ["Putamen", "Accumbens"]
    assert isinstance(first, Gallery) and isinstance(second, Gallery)
    assert [gallery.title for gallery in (first, second)] == ["N = 1", "N = 3"]
    viewers = [*first.images, *second.images]
    titles = ["N = 1, worst of 9: s1.", "N = 3, the only test subject: s1."]
    assert [one.title for one in viewers] == titles
    assert lacking == Bullets(
        "Not shown (1)", ["N = 1, best of 9: predictions.h5: cannot be read"], open=True
    )


def test_a_picture_says_what_it_shows_and_what_it_is_worth() -> None:
    section = segmentation_section(SHOWN[:1], _read, STRUCTURES, "")
    assert section is not None
    _, gallery = section.parts
    assert isinstance(gallery, Gallery)
    (viewer,) = gallery.images
    assert isinstance(viewer, SliceViewer)
    loss = "\N{MINUS SIGN}0.100 in this one subject"
    assert loss in viewer.caption
    for wanted in ("s1", "0.500 by the baseline, 0.400 augmented", "2:1", "reference", "sagittal"):
        assert wanted in viewer.alt
    assert [name for name, _ in viewer.columns] == ["Baseline", "Augmented 2:1", "Reference"]
    assert [strip.plane for strip in viewer.strips] == ["axial", "coronal", "sagittal"]
    again = segmentation_section(SHOWN[:1], _read, STRUCTURES, "")
    assert again == section  # to the byte


def test_nothing_to_show_is_no_section() -> None:
    assert segmentation_section([], _read, STRUCTURES, "") is None

"""Shapes drawn by hand: what is a spur, what is a speck, what a radius in millimetres is."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest

from gansfer.synthesis.morphology import disk, drop_specks, drop_spurs

Drawn = npt.NDArray[np.bool_]


def drawn(text: str) -> Drawn:
    return np.array([[c == "#" for c in row] for row in text.split()])[None]


def assert_drawn(own_khw: Drawn, text: str) -> None:
    rows = "\n".join("".join(".#"[int(v)] for v in row) for row in own_khw[0])
    assert rows == "\n".join(text.split())


def test_radii_are_millimetres_on_an_anisotropic_grid() -> None:
    assert disk(1.0, (1.0, 1.0)).astype(int).tolist() == [[0, 1, 0], [1, 1, 1], [0, 1, 0]]
    assert disk(1.0, (2.0, 2.0)).tolist() == [[True]]
    assert disk(0.0, (1.0, 1.0)).tolist() == [[True]]
    assert disk(2.0, (2.0, 1.0)).astype(int).tolist() == [
        [0, 0, 1, 0, 0],
        [1, 1, 1, 1, 1],
        [0, 0, 1, 0, 0],
    ]
    assert disk(1.5, (1.0, 1.0)).all() and disk(1.5, (1.0, 1.0)).shape == (3, 3)
    assert disk(0.3, (0.1, 0.1)).shape == (7, 7)


SPURS = "........ .##..... .###...# .##..... ..#..... ..#..... ..#....."


def test_a_long_spur_goes_as_a_whole_a_short_one_and_a_thin_component_stay() -> None:
    kept = "........ .##..... .###...# .##..... ........ ........ ........"
    assert_drawn(drop_spurs(drawn(SPURS), 2.0, 2.0, (1.0, 1.0)), kept)


@pytest.mark.parametrize(("length_mm", "spacing_mm"), [(3.0, 1.0), (6.0, 2.0)])
def test_a_spur_of_the_allowed_length_stays(length_mm: float, spacing_mm: float) -> None:
    spacing_hw_mm = (spacing_mm, spacing_mm)
    own_khw = drop_spurs(drawn(SPURS), 2 * spacing_mm, length_mm, spacing_hw_mm)
    assert_drawn(own_khw, SPURS)
    assert (
        drop_spurs(drawn(SPURS), 2 * spacing_mm, length_mm - spacing_mm, spacing_hw_mm)[0, 6].sum()
        == 0
    )


def test_no_length_is_the_opening_of_what_has_a_thick_part() -> None:
    assert_drawn(
        drop_spurs(drawn(SPURS), 2.0, 0.0, (1.0, 1.0)),
        "........ .##..... .##....# .##..... ........ ........ ........",
    )


def test_a_width_of_one_pixel_leaves_everything() -> None:
    assert_drawn(drop_spurs(drawn(SPURS), 2.0, 0.0, (2.0, 2.0)), SPURS)


def test_specks_are_components_by_area_and_corners_join() -> None:
    before = "#....## .#...## ....... #.....#"
    assert_drawn(drop_specks(drawn(before), 2.0, (1.0, 1.0)), "#....## .#...## ....... .......")
    assert_drawn(drop_specks(drawn(before), 3.0, (1.0, 1.0)), ".....## .....## ....... .......")
    assert_drawn(drop_specks(drawn(before), 4.0, (2.0, 1.0)), "#....## .#...## ....... .......")
    assert_drawn(drop_specks(drawn(before), 0.0, (1.0, 1.0)), before)


def test_slices_do_not_touch_each_other() -> None:
    first, second = drawn(SPURS), drawn(SPURS)[:, ::-1]
    both_khw = np.concatenate([first, second])
    np.testing.assert_array_equal(
        drop_spurs(both_khw, 2.0, 2.0, (1.0, 1.0))[1:], drop_spurs(second, 2.0, 2.0, (1.0, 1.0))
    )
    pixel_khw = np.zeros((3, 3, 3), bool)
    pixel_khw[:, 1, 1] = True
    assert not drop_specks(pixel_khw, 2.0, (1.0, 1.0)).any()

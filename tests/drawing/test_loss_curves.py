from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from gansfer.drawing import loss_curves as losses


def _record(phase: int, px: int, images: int, loss: float) -> dict[str, object]:
    return {"phase": phase, "level_px": px, "images": images, "step": images, "loss_g": loss}


def test_float_quantities_are_drawn_and_coordinates_are_not() -> None:
    first = _record(1, 5, 10, 0.5) | {"seconds": 2.0}
    records: list[dict[str, object]] = [first, {"images": 20, "penalty": 1.0, "n": 3}]
    assert losses._measured(records) == ["loss_g", "penalty"]


def test_a_new_phase_goes_on_where_the_last_one_ended() -> None:
    name, x = losses._images_shown(pd.DataFrame({"images": [10, 20, 5, 15, 5]}))
    assert name == "images shown"
    assert x.tolist() == [10, 20, 25, 35, 40]


@pytest.mark.parametrize("n", [0, 1, 2, 200])
def test_any_number_of_records_makes_a_picture(tmp_path: Path, n: int) -> None:
    records = [_record(1, 5 if i < 100 else 10, 64 * i, float(np.sin(i))) for i in range(n)]
    if n > 2:
        records[3]["loss_g"] = float("nan")
        records[4]["loss_g"] = float("inf")
        del records[5]["loss_g"]
    losses.loss_curves(tmp_path / "losses.png", records, "phase 1")
    with Image.open(tmp_path / "losses.png") as image:
        assert min(image.size) > 100

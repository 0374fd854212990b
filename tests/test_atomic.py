"""Files that are whole or absent, whatever kills their writer."""

from __future__ import annotations

import json
import os
import stat
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from gansfer.atomic import remove_leftovers, replacing, write_csv, write_json, write_text
from gansfer.errors import UserError
from tests.full_disk import files_of_at_most

DIE_WHILE_WRITING = """
import os, sys
from pathlib import Path
from gansfer.atomic import replacing
with replacing(Path(sys.argv[1])) as aside:
    aside.write_text("half")
    os._exit(9)
"""


def files_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.rglob("*") if path.is_file())


def test_the_product_appears_whole_and_alone(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "product.h5"
    with replacing(path) as aside:
        aside.write_text("whole")
        assert not path.exists()
        assert aside.suffix == ".h5"
    assert path.read_text() == "whole"
    assert files_in(tmp_path) == ["product.h5"]


def test_an_error_keeps_the_old_product_and_leaves_nothing_beside_it(tmp_path: Path) -> None:
    path = tmp_path / "product.txt"
    write_text(path, "old")
    with pytest.raises(RuntimeError), replacing(path) as aside:
        aside.write_text("new, but")
        raise RuntimeError
    assert path.read_text() == "old"
    assert files_in(tmp_path) == ["product.txt"]


def test_a_killed_writer_leaves_the_old_product_and_a_leftover(tmp_path: Path) -> None:
    path = tmp_path / "phase-1" / "product.h5"
    write_text(path, "old")
    died = subprocess.run([sys.executable, "-c", DIE_WHILE_WRITING, str(path)], check=False)
    assert died.returncode == 9
    assert path.read_text() == "old"
    assert len(files_in(tmp_path)) == 2
    (tmp_path / ".claim-1").touch()
    remove_leftovers(tmp_path)
    assert files_in(tmp_path) == [".claim-1", "product.h5"]


def test_products_have_the_permissions_of_any_new_file(tmp_path: Path) -> None:
    before = os.umask(0o027)
    try:
        write_text(tmp_path / "x.txt", "x")
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "x.txt").stat().st_mode) == 0o640


def test_json_is_strict(tmp_path: Path) -> None:
    write_json(tmp_path / "x.json", {"b": 1, "a": [None, "µ"]})
    assert json.loads((tmp_path / "x.json").read_text()) == {"b": 1, "a": [None, "µ"]}
    with pytest.raises(ValueError, match="not JSON compliant"):
        write_json(tmp_path / "x.json", {"b": float("nan")})
    assert json.loads((tmp_path / "x.json").read_text())["b"] == 1


def test_a_csv_quotes_what_needs_it_and_ends_lines_plainly(tmp_path: Path) -> None:
    write_csv(tmp_path / "a" / "rows.csv", ("id", "value"), iter([("x, y", 0.1), ("z", "")]))
    assert (tmp_path / "a" / "rows.csv").read_bytes() == b'id,value\n"x, y",0.1\nz,\n'


WRITERS: dict[str, Callable[[Path], object]] = {
    "torch": lambda path: torch.save({"x": torch.zeros(100_000)}, path),
    "safetensors": lambda path: save_file({"x": torch.zeros(100_000)}, path),
    "numpy": lambda path: np.savez(path, x=np.zeros(100_000)),
}


@pytest.mark.parametrize("write", WRITERS.values(), ids=WRITERS.keys())
def test_a_library_that_hides_why_it_failed_is_asked_again_by_a_write(
    tmp_path: Path, write: Callable[[Path], object]
) -> None:
    path = tmp_path / "product.npz"
    with files_of_at_most(100_000), pytest.raises(UserError) as caught, replacing(path) as aside:
        write(aside)
    assert str(caught.value) == (
        f"{path}: cannot be written (File too large); free space there, or set storage to a folder "
        "with room"
    )
    assert files_in(tmp_path) == []

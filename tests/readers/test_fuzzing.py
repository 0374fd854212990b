"""Readers let out the project's own error alone, whatever a file holds (a quick form).

`GANSFER_FUZZ_INPUTS=2000` tries more, as CI does; `python -m tests.readers.fuzzing` more still.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings

from tests.readers.fuzzing import FORMATS, Format, is_read, strategy

N_INPUTS = int(os.environ.get("GANSFER_FUZZ_INPUTS", "380"))


@pytest.mark.parametrize("form", FORMATS, ids=lambda form: form.name)
def test_only_the_projects_own_error_comes_out(form: Format, tmp_path: Path) -> None:
    path, inputs = strategy(form, tmp_path)
    assert is_read(form, tmp_path)  # the good file

    @settings(
        max_examples=-(-N_INPUTS // len(FORMATS)),
        deadline=None,
        database=None,
        derandomize=True,
        suppress_health_check=list(HealthCheck),
    )
    @given(inputs)
    def attempt(data: bytes) -> None:
        path.write_bytes(data)
        is_read(form, tmp_path)

    attempt()

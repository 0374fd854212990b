"""A model file is the model, or one line that says what it is instead."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from gansfer.application.model_file import cropped, read_model
from gansfer.application.segment_image import segment_image
from gansfer.errors import UserError
from gansfer.preprocessing.registration import register_affine
from gansfer.subjects import Volume
from tests.application.conftest import TESTED, Trained


def test_a_model_comes_back_and_segments_alike(trained: Trained, model_file: Path) -> None:
    again = read_model(model_file)
    assert again.facts == trained.model.facts
    assert again.digest == trained.model.digest
    raw = trained.source.load(TESTED)
    np.testing.assert_array_equal(
        segment_image(raw, again).written_xyz, segment_image(raw, trained.model).written_xyz
    )


def test_a_template_comes_back_where_it_was(trained: Trained, tmp_path: Path) -> None:
    affine = np.array([[-2.0, 0, 0, 30], [0, 2, 0, -41], [0, 0, 2.5, 7], [0, 0, 0, 1]])
    array = np.random.default_rng(0).random((9, 8, 7), np.float32)
    rows = tuple(tuple(row) for row in affine.tolist())
    facts = trained.model.facts.model_copy(update={"template_ras": rows})
    model = replace(trained.model, facts=facts, template=Volume(array, affine))
    model.write(tmp_path / "t.gansfer")
    template = read_model(tmp_path / "t.gansfer").template
    assert template is not None and model.digest != trained.model.digest
    np.testing.assert_array_equal(template.array_xyz, array)
    np.testing.assert_array_equal(template.affine_ras, affine)


def test_a_template_without_its_margins_registers_alike(trained: Trained) -> None:
    image = trained.source.load("phantom-0001").image
    wide_xyz = np.pad(np.asarray(image.array_xyz), 30)
    affine = image.affine_ras.copy()
    affine[:3, 3] -= affine[:3, :3] @ [30, 30, 30]
    small = cropped(Volume(wide_xyz, affine))
    assert small.array_xyz.size < wide_xyz.size / 2
    moving = trained.source.load(TESTED)
    results = [
        register_affine(moving.image, moving.brain_mask, one).common_from_native
        for one in (Volume(wide_xyz, affine), small)
    ]
    np.testing.assert_allclose(results[0], results[1], atol=1e-3)


def test_the_digest_is_of_what_results_depend_on(trained: Trained) -> None:
    def digest(**facts: object) -> str:
        changed_facts = trained.model.facts.model_copy(update=facts)
        return replace(trained.model, facts=changed_facts).digest

    assert digest(licence="other") == trained.model.digest
    assert digest(n4=True) != trained.model.digest
    other = {name: one + 1e-6 for name, one in trained.model.state.items()}
    assert replace(trained.model, state=other).digest != trained.model.digest


def changed(path: Path, **facts: object) -> Path:
    """The file with some of its facts changed."""
    with safe_open(path, "pt") as file:
        text = json.loads(file.metadata()["gansfer"])
    save_file(load_file(path), path, {"gansfer": json.dumps(text | facts)})
    return path


def test_another_format_names_the_version_that_wrote_it(model_file: Path) -> None:
    with pytest.raises(UserError, match=r"format 99, expected 1; install the version .*9.9"):
        read_model(changed(model_file, format=99, version="9.9"))


@pytest.mark.parametrize(
    ("facts", "said"),
    [
        ({"licence": None}, "licence: input should be a valid string"),
        ({"thumbnail": 1}, "thumbnail: extra inputs are not permitted"),
        ({"structures": ["caudate"]}, "its parts do not fit"),
        ({"roi": {"voxel_mm": 2.0}}, "no mean image of .30, 40, 40. voxels"),
        ({"template_ras": [[1.0] * 4] * 4}, "a place without a template"),
        ({"numbers": [{"number": 1, "structure": "caudate"}]}, "numbers are of other structures"),
    ],
)
def test_parts_that_do_not_fit_are_refused(model_file: Path, facts: dict, said: str) -> None:
    with pytest.raises(UserError, match=said):
        read_model(changed(model_file, **facts))


def test_weights_of_another_network_are_refused(model_file: Path) -> None:
    with safe_open(model_file, "pt") as file:
        metadata = file.metadata()
    tensors = load_file(model_file)
    name = next(one for one in tensors if one.startswith("network."))
    save_file({**tensors, name: torch.zeros(1)}, model_file, metadata)
    with pytest.raises(UserError, match=r"its parts do not fit .*size mismatch"):
        read_model(model_file)


def test_what_is_no_model_is_named(tmp_path: Path, model_file: Path) -> None:
    with pytest.raises(UserError, match="no such file; give a model"):
        read_model(tmp_path / "none.gansfer")
    cut = tmp_path / "cut.gansfer"
    cut.write_bytes(model_file.read_bytes()[:-100])
    with pytest.raises(UserError, match=r"cut.gansfer: cannot be read as a model"):
        read_model(cut)
    save_file({"x": torch.zeros(1)}, cut)
    with pytest.raises(UserError, match="without gansfer's metadata"):
        read_model(cut)

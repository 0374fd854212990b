"""A trained segmenter as one file, `NAME.gansfer`, with all that a new image needs.

Safetensors: no code is in it, and none runs when it is read. The metadata's key `gansfer` is JSON
(`ModelFacts`); tensors are

    network.*    the segmenter's weights
    mean_image   [Z, H, W] float32, mean of the training cohort in the region of interest
    template     [X, Y, Z] float32, what images are registered to; only where they are
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from pydantic import ValidationError
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from gansfer.application.label_numbers import LabelNumber
from gansfer.application.likeness import Likeness
from gansfer.atomic import replacing
from gansfer.errors import UserError
from gansfer.segmentation.deepmedic import build
from gansfer.settings import EncodingSettings, RoiSettings, SegmenterSettings, Settings, Structures
from gansfer.subjects import Volume

FORMAT = 1
SUFFIX = ".gansfer"
NORMALISATION = "zero mean and unit variance over the brain voxels of the whole image"
_KEY = "gansfer"
_NETWORK = "network."
# As far as the registration looks beyond the template's brain, at voxels of a quarter millimetre.
_MARGIN_VOXELS = 10


class TrainingFacts(Settings):
    """What the segmenter was trained on, and how well it did.

    Attributes:
        experiment: its name.
        cell: such as `seed-0/fold-0/labels-06/ratio-2to1`.
        labelled_subjects: whose real slices it learnt; 0 of an arm of synthetic ones alone.
        cohort_images: of the prepared cohort, which the GAN learnt.
        synthetic_slices: generated slices that it learnt.
        iterations: updates.
        test_subjects: labelled subjects that it was measured on.
        test_dsc: their mean overall DSC, or None where there is none.
    """

    experiment: str
    cell: str
    labelled_subjects: int
    cohort_images: int
    synthetic_slices: int
    iterations: int
    test_subjects: int
    test_dsc: float | None


class ModelFacts(Settings):
    """What a model file says of itself.

    Attributes:
        format: of the file.
        version: of the software that wrote it.
        structures: names of the network's classes 1, 2, ...
        protocol: name or numbers of the labels that it learnt; None: of its own.
        numbers: under which its segmentations are written.
        space: the common space, in words.
        roi: region and voxel size.
        template_ras: [4, 4] voxel index of the template -> RAS mm, or None where images must be in
            the common space.
        n4: the bias field is removed first.
        normalisation: of intensities, in words.
        encoding: of the GAN's channels, from which synthetic slices came.
        segmenter: preset and training settings.
        likeness: what the training cohort is like.
        training: facts.
        licence: under which terms it may be used.
    """

    format: int
    version: str
    structures: Structures
    protocol: str | dict[str, list[int]] | None
    numbers: tuple[LabelNumber, ...]
    space: str
    roi: RoiSettings
    template_ras: tuple[tuple[float, ...], ...] | None
    n4: bool
    normalisation: str
    encoding: EncodingSettings
    segmenter: SegmenterSettings
    likeness: Likeness
    training: TrainingFacts
    licence: str


@dataclass(frozen=True)
class SegmenterModel:
    """A segmenter, ready for new images.

    Attributes:
        facts: what it says of itself.
        state: the network's state dict.
        mean_zhw: mean image of the training cohort.
        template: what images are registered to; None: they must be in the common space.
    """

    facts: ModelFacts
    state: Mapping[str, Tensor]
    mean_zhw: npt.NDArray[np.float32]
    template: Volume | None

    @cached_property
    def digest(self) -> str:
        """SHA-256 of all that its results depend on: whether two models are the same."""
        text = self.facts.model_dump_json(exclude={"licence", "training", "version"})
        total = hashlib.sha256(text.encode())
        for name, tensor in sorted(self._tensors().items()):
            total.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
            total.update(tensor.numpy().tobytes())
        return total.hexdigest()

    def write(self, path: Path) -> None:
        """Write the file, atomically."""
        with replacing(path) as aside:
            save_file(self._tensors(), aside, {_KEY: self.facts.model_dump_json()})

    def _tensors(self) -> dict[str, Tensor]:
        tensors = {f"{_NETWORK}{name}": one.contiguous() for name, one in self.state.items()}
        tensors["mean_image"] = torch.from_numpy(np.ascontiguousarray(self.mean_zhw))
        if self.template is not None:
            array_xyz = np.ascontiguousarray(self.template.array_xyz, np.float32)
            tensors["template"] = torch.from_numpy(array_xyz)
        return tensors


def read_model(path: Path) -> SegmenterModel:
    """Read a model file.

    Raises:
        UserError: it is missing, damaged, no model, or of a later version.
    """
    if not path.is_file():
        raise UserError(f"{path}: no such file; give a model that gansfer package has written")
    try:
        with safe_open(path, "pt") as file:
            text = (file.metadata() or {}).get(_KEY)
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (SafetensorError, OSError) as error:
        raise UserError(
            f"{path}: cannot be read as a model ({error}); copy it again, or package it again"
        ) from error
    if text is None:
        raise UserError(f"{path}: safetensors without gansfer's metadata; give a packaged model")
    facts = _facts(path, text)
    return _checked(path, facts, tensors)


def _facts(path: Path, text: str) -> ModelFacts:
    try:
        return ModelFacts.model_validate_json(text)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        raise UserError(
            f"{path}: {where or 'metadata'}: {first['msg'].lower()}; the file is damaged, or of a "
            f"later version of gansfer than this one, which reads format {FORMAT}"
        ) from None


def _checked(path: Path, facts: ModelFacts, tensors: dict[str, Tensor]) -> SegmenterModel:
    """The model of a file, if its parts belong together."""
    if facts.format != FORMAT:
        raise UserError(
            f"{path}: format {facts.format}, expected {FORMAT}; install the version of gansfer "
            f"that wrote it ({facts.version})"
        )
    state = {
        name.removeprefix(_NETWORK): one
        for name, one in tensors.items()
        if name.startswith(_NETWORK)
    }
    problem = ""
    try:
        net = build(facts.segmenter.preset, 1 + len(facts.structures), generator=torch.Generator())
        net.load_state_dict(state)
    except RuntimeError as error:
        problem = " ".join(str(error).split())[:120]
    mean = tensors.get("mean_image")
    if mean is None or tuple(mean.shape) != facts.roi.shape_zhw or mean.dtype != torch.float32:
        problem = f"no mean image of {facts.roi.shape_zhw} voxels"
    if {one.structure for one in facts.numbers} != set(facts.structures):
        problem = "its label numbers are of other structures"
    fixed = tensors.get("template")
    if (fixed is None) != (facts.template_ras is None):
        problem = "a template without its place, or a place without a template"
    affine: Any = None if facts.template_ras is None else np.array(facts.template_ras)
    if fixed is not None and (
        fixed.dtype != torch.float32 or fixed.dim() != 3 or affine.shape != (4, 4)
    ):
        problem = "a template that is no volume"
    if problem:
        raise UserError(f"{path}: its parts do not fit ({problem}); package the model again")
    assert mean is not None
    template = None if fixed is None else Volume(fixed.numpy(), affine)
    return SegmenterModel(facts, state, mean.numpy(), template)


def cropped(template: Volume) -> Volume:
    """A template without its empty margins, in float32: the same to a registration, and smaller."""
    array_xyz = np.asarray(template.array_xyz, np.float32)
    at_n3 = np.argwhere(array_xyz != 0)
    low = np.maximum(at_n3.min(axis=0) - _MARGIN_VOXELS, 0)
    high = np.minimum(at_n3.max(axis=0) + 1 + _MARGIN_VOXELS, array_xyz.shape)
    box = tuple(slice(a, b) for a, b in zip(low, high, strict=True))
    affine_ras = template.affine_ras.copy()
    affine_ras[:3, 3] += affine_ras[:3, :3] @ low
    return Volume(np.ascontiguousarray(array_xyz[box]), affine_ras)

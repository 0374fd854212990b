"""What is exported of one cell, and the folder it goes to: whole or absent.

Legend: Z slices, H W rows and columns, K synthetic slices.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from gansfer.errors import UserError
from gansfer.synthesis.synthetic_sets import SyntheticSet


@dataclass(frozen=True)
class RealCase:
    """One real subject, z-scored, with its label map (0 background and 1..S)."""

    id: str
    image_zhw: npt.NDArray[np.float32]
    label_zhw: npt.NDArray[np.uint8]


@dataclass(frozen=True)
class SyntheticPart:
    """The retained slices of one phase of a GAN."""

    group: int
    phase: int
    slices: SyntheticSet

    @property
    def name(self) -> str:
        """Such as `group-0_phase-3`."""
        return f"group-{self.group}_phase-{self.phase}"


@dataclass(frozen=True)
class ExportedCell:
    """All that is exported of one cell.

    Attributes:
        name: such as `seed-0_fold-0_labels-06`.
        structures: names of labels 1, 2, ...
        spacing_zhw_mm: voxel size.
        ras_from_zhw: [4, 4] voxel index -> RAS millimetres of the common space.
        training: the labelled subjects that the cell learns from.
        test: those of its fold that it must not learn from.
        synthetic: retained slices, by group and phase.
    """

    name: str
    structures: Sequence[str]
    spacing_zhw_mm: tuple[float, float, float]
    ras_from_zhw: npt.NDArray[np.float64]
    training: Sequence[RealCase]
    test: Sequence[RealCase]
    synthetic: Sequence[SyntheticPart]


@contextmanager
def new_folder(path: Path) -> Iterator[Path]:
    """Yield a folder beside `path`; rename it to `path` if the block succeeds.

    Raises:
        UserError: `path` is there already.
    """
    if path.exists():
        raise UserError(f"{path}: is there already; remove it, or give another --out")
    aside = path.with_name(f".{path.name}.part")
    shutil.rmtree(aside, ignore_errors=True)
    aside.mkdir(parents=True)
    try:
        yield aside
        aside.replace(path)
    except BaseException:
        shutil.rmtree(aside, ignore_errors=True)
        raise

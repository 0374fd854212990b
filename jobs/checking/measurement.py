"""What `gansfer bench` has measured of a machine, as a file of the storage. Loads without torch."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, model_validator

from gansfer.atomic import write_text
from jobs.checking.work import Kind

Device = Literal["gpu", "cpu_core"]
DEVICES: dict[str, Device] = {"cpu": "cpu_core", "cuda": "gpu"}  # by torch's name
Number = Annotated[float, Field(gt=0.0, allow_inf_nan=False)]
Count = Annotated[int, Field(ge=1)]
_PREFIX: dict[Device, str] = {"gpu": "gpu", "cpu_core": "cpu"}
_ALWAYS: set[Kind] = {"phase_1", "synthesise", "train_segmenter", "segment_cohort"}


@dataclass(frozen=True)
class Speed:
    """How fast a device is at one kind of work.

    Attributes:
        flops_per_s: operations a second, as `work.py` counts them.
        least_step_s: seconds that a step takes at least.
    """

    flops_per_s: float
    least_step_s: float


class _Stored(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class MeasuredPiece(_Stored):
    """One step of a piece of work, as it was measured."""

    kind: Kind
    side_px: Count = Field(description="of the slices, or of a segmenter's segments")
    batch: Count = Field(description="slices or segments of a step")
    flops_a_step: Number
    seconds_a_step: Number = Field(description="median over the timed steps")
    timed_steps: Count

    @property
    def flops_per_s(self) -> float:
        """The effective rate."""
        return self.flops_a_step / self.seconds_a_step


class Measurement(_Stored):
    """One machine, measured with the networks of one experiment."""

    device: Device
    name: str = Field(description="torch's name of the GPU, or the CPU's model")
    host: str
    date: AwareDatetime
    experiment: str = Field(description="whose networks were measured")
    gansfer: str
    torch: str
    python: str
    threads: Count = Field(description="of torch, for one task")
    precision: Literal["float32", "bfloat16"] = Field(description="of the GAN's products")
    matmul_gflop_per_s: dict[Literal["float32", "bfloat16"], Number] = Field(
        description="of a large square matrix product; bfloat16 where the device has it"
    )
    copy_gb_per_s: Number = Field(description="of memory, read and written")
    pieces: tuple[MeasuredPiece, ...]

    @model_validator(mode="after")
    def _has_what_every_estimate_needs(self) -> Measurement:
        lacking = _ALWAYS - {piece.kind for piece in self.pieces}
        if lacking:
            raise ValueError(f"pieces: there is none of {', '.join(sorted(lacking))}")
        return self

    def speed(self, kind: Kind, side_px: int) -> Speed:
        """The rate of the measured piece nearest in side, and the least step of a GAN there.

        A phase that was not measured is as fast as another. No measured step counts as shorter than
        it was: so an experiment with the measured networks takes exactly its steps' time.
        """

        def rank(one: MeasuredPiece) -> tuple[bool, bool, float]:
            return one.kind != kind, not one.kind.startswith("phase"), _distance(one, side_px)

        nearest = min((piece for piece in self.pieces if piece.kind != "least"), key=rank)
        least = [piece for piece in self.pieces if piece.kind == "least"]
        if not least or not kind.startswith("phase"):
            return Speed(nearest.flops_per_s, 0.0)
        least_s = min(least, key=lambda one: _distance(one, side_px)).seconds_a_step
        return Speed(nearest.flops_per_s, min(least_s, nearest.seconds_a_step))

    def write(self, folder: Path) -> Path:
        """Write it over what was measured of such a device before; returns the file.

        Raises:
            UserError: the disk is full or takes no file.
        """
        slug = re.sub(r"[^a-z0-9]+", "-", self.name.lower()).strip("-")
        path = folder / f"{_PREFIX[self.device]}-{slug or 'unnamed'}.json"
        write_text(path, self.model_dump_json(indent=1) + "\n")
        return path


def last_measurement(folder: Path, device: Device) -> tuple[Measurement | None, list[str]]:
    """The newest measurement of such a device.

    Args:
        folder: the storage's.
        device: the kind wanted.

    Returns:
        It, or None where there is none; and a line for each file that is none.
    """
    found, notes = [], []
    for path in sorted(path for one in _PREFIX.values() for path in folder.glob(f"{one}-*.json")):
        try:
            found.append(Measurement.model_validate_json(path.read_bytes()))
        except (OSError, ValueError):  # pydantic's errors are ValueErrors
            notes.append(
                f"{path}: is no measurement of gansfer bench, or is damaged, and is not used; "
                "remove it, or measure again"
            )
    fitting = [one for one in found if one.device == device]
    return max(fitting, key=lambda one: one.date, default=None), notes


def _distance(piece: MeasuredPiece, side_px: int) -> float:
    """How far a piece's side is from another, in doublings."""
    return abs(math.log2(piece.side_px / side_px))

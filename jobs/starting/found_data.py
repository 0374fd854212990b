"""What a first experiment says of the images and labels in a folder, found by looking at them."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from gansfer.errors import UserError
from gansfer.readers.files.tables import matching, read_rows
from gansfer.structures import PAPER_STRUCTURES, PROTOCOLS
from jobs.starting.people_table import people_table

Kind = Literal["oasis", "bids", "folder"]
_LOOKED_AT = 20  # of the images, to see whether all are on one grid
_OASIS_TABLE = "oasis_cross-sectional.csv"
_DERIVATIVES = "derivatives"


@dataclass(frozen=True)
class FoundData:
    """The sections of a cohort, and what goes with them.

    Attributes:
        images: the fields of `cohort.images` beside its kind.
        labels: the fields of `cohort.labels`.
        structures: that the labels have.
        n_labelled: subjects with labels, at most.
        voxel_mm: of the region of interest, that the images allow.
        registered: the images are brought to a template.
        table: text of a table that is to be written, where there was none.
    """

    images: dict[str, object]
    labels: dict[str, object]
    n_labelled: int
    structures: Sequence[str] = PAPER_STRUCTURES
    voxel_mm: float = 1.0
    registered: bool = True
    table: str = ""
    notes: list[str] = field(default_factory=list)


def kind_of(images: Path) -> Kind:
    """What a folder of images looks like."""
    if (images / "participants.tsv").is_file():
        return "bids"
    if (images / _OASIS_TABLE).is_file() or matching(images, "disc[0-9]*"):
        return "oasis"
    return "folder"


def find_oasis(images: Path, labels: Path | None, table: Path | None) -> FoundData:
    """OASIS-1 with the labels of the MICCAI challenge."""
    place = table or _first((images / _OASIS_TABLE, images.parent / _OASIS_TABLE))
    if place is None:
        raise UserError(f"{images}: no {_OASIS_TABLE} here or in the folder above; give --table")
    if labels is None or not (labels / "demographics.csv").is_file():
        raise UserError(
            f"{labels or '--labels'}: no folder of the MICCAI 2012/13 challenge with "
            "demographics.csv; give it as --labels"
        )
    rows = read_rows(labels / "demographics.csv", ())
    repeats = sum(bool(row.get("repeat_of")) for _, row in rows)
    return FoundData(
        {"discs": images, "table": place},
        {"kind": "challenge", "folder": labels},
        len(rows) - repeats,
    )


def find_bids(
    images: Path, labels: Path | None, template: Path | None, protocol: str | None
) -> FoundData:
    """A BIDS dataset with masks and labels in derivatives."""
    files = _below_subjects(images, "*_T1w.nii*")
    if not files:
        raise UserError(f"{images}: no sub-*/[ses-*/]anat/*_T1w.nii*; is this the BIDS folder?")
    derivatives = [one for one in matching(images / _DERIVATIVES, "*") if one.is_dir()]
    masks = [one for one in derivatives if _below_subjects(one, "*_mask.nii*")]
    labels = labels or _only("--labels", [d for d in derivatives if _below_subjects(d, _DSEG)])
    if labels is None or not _below_subjects(labels, _DSEG):
        raise UserError(
            f"{labels or images / _DERIVATIVES}: no derivative with sub-*/anat/*_dseg.nii*; give "
            "it as --labels"
        )
    segmentations = _below_subjects(labels, _DSEG)
    found: dict[str, object] = {"folder": images}
    if masks:
        found["masks"] = _only("masks", masks)
    space, voxel_mm = _space(files, template)
    has_table = bool(matching(labels, "**/*dseg.tsv")) and protocol is None
    named = None if has_table else _protocol(segmentations, protocol)
    structures = _named_in(matching(labels, "**/*dseg.tsv")[0]) if named is None else named[1]
    return FoundData(
        found | space,
        {"kind": "bids", "folder": labels} | ({} if named is None else {"protocol": named[0]}),
        len(segmentations),
        structures,
        voxel_mm,
        template is not None,
    )


def find_folder(
    images: Path,
    labels: Path | None,
    table: Path | None,
    template: Path | None,
    protocol: str | None,
) -> FoundData:
    """A folder of images with a table; where there is none, one is made of the files' names."""
    given = table or _only("--table", _tables(images))
    text = ""
    if given is None:
        text = people_table(images, labels, template)
        rows = [dict(row) for row in csv.DictReader(io.StringIO(text))]
    else:
        rows = [row for _, row in read_rows(given, ("id", "image"))]
    segmentations = [images / row["label"] for row in rows if row.get("label")]
    if not segmentations:
        raise UserError(
            f"{given or images}: no image has a label; name them in the table's column label, or "
            "give their folder as --labels (a label's name begins with its image's)"
        )
    space, voxel_mm = _space([images / row["image"] for row in rows if row["image"]], template)
    name, structures = _protocol(segmentations, protocol)
    return FoundData(
        {"folder": images} | ({} if given is None else {"table": given}) | space,
        {"kind": "table", "protocol": name},
        len(segmentations),
        structures,
        voxel_mm,
        template is not None,
        text,
    )


_DSEG = "*_dseg.nii*"


def _first(paths: Sequence[Path]) -> Path | None:
    return next((path for path in paths if path.is_file()), None)


def _only(option: str, paths: Sequence[Path]) -> Path | None:
    if len(paths) > 1:
        names = ", ".join(str(path) for path in paths)
        raise UserError(f"{option}: there are several, {names}; say which with {option}")
    return paths[0] if paths else None


def _below_subjects(root: Path, pattern: str) -> list[Path]:
    places = (f"sub-*/anat/{pattern}", f"sub-*/ses-*/anat/{pattern}")
    return [path for place in places for path in matching(root, place)]


def _tables(folder: Path) -> list[Path]:
    """Tables in a folder with the columns that a cohort's has."""
    found = []
    for path in (*matching(folder, "*.csv"), *matching(folder, "*.tsv")):
        try:
            read_rows(path, ("id", "image"))
        except UserError:
            continue  # a table of something else
        found.append(path)
    return found


def _space(files: Sequence[Path], template: Path | None) -> tuple[dict[str, object], float]:
    """Whether images are registered, and the voxels of 1, 2 or 4 mm that they allow."""
    grids = [_grid(path) for path in ([template] if template else files[:_LOOKED_AT])]
    finest_mm = min(min(spacing) for _, spacing, _ in grids)
    voxel_mm = 4.0 if finest_mm >= 4 else 2.0 if finest_mm >= 2 else 1.0
    if template is not None:
        return {"template": template}, voxel_mm
    if len({(shape, place) for shape, _, place in grids}) > 1:
        raise UserError(
            f"{files[0].parent}: the images lie on different grids, so each is in its own space; "
            "give a brain-extracted image in the common space as --template"
        )
    return {"in_common_space": True}, voxel_mm


def _grid(path: Path) -> tuple[tuple[int, ...], tuple[float, ...], tuple[float, ...]]:
    """Shape, spacing in mm and place of an image, from its header."""
    import nibabel  # what a login node may lack

    try:
        image: Any = nibabel.load(path)
    except (OSError, nibabel.filebasedimages.ImageFileError) as error:
        raise UserError(f"{path}: cannot be read ({error}); give a NIfTI or mgz file") from None
    spacing_mm = tuple(round(float(one), 3) for one in image.header.get_zooms()[:3])
    place = tuple(round(float(one), 3) for one in image.affine.ravel())
    return tuple(image.shape[:3]), spacing_mm, place


def _protocol(files: Sequence[Path], given: str | None) -> tuple[str, tuple[str, ...]]:
    """The protocol that the numbers of the first label map speak for, and its structures there."""
    import numpy as np

    from gansfer.readers.files.nifti import load_volume

    if given is not None and given not in PROTOCOLS:
        raise UserError(f"--protocol {given}: expected one of {', '.join(PROTOCOLS)}")
    numbers = {int(one) for one in np.unique(load_volume(files[0]).array_xyz)}
    found = {
        name: tuple(one for one, own in numbers_of.items() if numbers & set(own))
        for name, numbers_of in PROTOCOLS.items()
        if given in (None, name)
    }
    best = max(found, key=lambda name: len(found[name]))
    alike = [name for name, structures in found.items() if len(structures) == len(found[best])]
    if not found[best] or len(alike) > 1:
        which = "none" if not found[best] else " and ".join(alike)
        raise UserError(
            f"{files[0]}: its numbers are those of {which}; give --protocol, or write a table and "
            "a mapping of your own (gansfer/README.md)"
        )
    return best, found[best]


def _named_in(table: Path) -> tuple[str, ...]:
    """The paper's structures that a dseg.tsv names."""
    from gansfer.readers.protocols import LabelProtocol

    found = []
    for name in PAPER_STRUCTURES:
        try:
            LabelProtocol.from_table(table, (name,))
        except UserError:
            continue  # it does not have this one
        found.append(name)
    if not found:
        raise UserError(f"{table}: names none of {', '.join(PAPER_STRUCTURES)}; give --protocol")
    return tuple(found)

"""A table of a folder's images, with the labels whose names begin like theirs."""

from __future__ import annotations

import csv
import io
import re
from pathlib import Path

from gansfer.errors import UserError
from gansfer.readers.files.tables import matching

_ENDING = re.compile(r"\.(nii|nii\.gz|mgz|mgh)$")


def people_table(images: Path, labels: Path | None, template: Path | None) -> str:
    """A table of the images in a folder, with the labels whose names begin like theirs."""
    files = [path for path in matching(images, "*") if _ENDING.search(path.name)]
    files = [path for path in files if template is None or not path.samefile(template)]
    if not files:
        raise UserError(f"{images}: no image (.nii, .nii.gz, .mgz) and no table; is it the folder?")
    stems = {path: _ENDING.sub("", path.name) for path in files}
    of_image: dict[Path, Path] = {}
    for label in [] if labels is None else matching(labels, "*"):
        if not _ENDING.search(label.name):
            continue
        stem = _ENDING.sub("", label.name)
        alike = [path for path, own in stems.items() if _begins(stem, own)]
        if not alike:
            raise UserError(
                f"{label}: its name begins as that of no image of {images}; rename it, or write a "
                "table with the columns id, image and label"
            )
        image = max(alike, key=lambda path: len(stems[path]))
        if image in of_image:
            raise UserError(
                f"{label}: {of_image[image].name} is {image.name}'s label already; write a table "
                "with the columns id, image and label"
            )
        of_image[image] = label
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(("id", "image", "mask", "label", "age_years", "sex", "cdr"))
    for path, stem in stems.items():
        shown = _relative(of_image[path], images) if path in of_image else ""
        writer.writerow((re.sub(r"[^A-Za-z0-9._-]", "-", stem), path.name, "", shown, "", "", ""))
    return out.getvalue()


def _relative(path: Path, folder: Path) -> str:
    """The path from the folder, where it lies below it or beside it."""
    path, folder = path.absolute(), folder.absolute()
    if path.is_relative_to(folder):
        return str(path.relative_to(folder))
    if path.is_relative_to(folder.parent):
        return str(Path("..") / path.relative_to(folder.parent))
    return str(path)


def _begins(name: str, with_what: str) -> bool:
    """s1_seg begins with s1, and not with s."""
    return re.match(rf"{re.escape(with_what)}(?![0-9A-Za-z])", name) is not None

"""New images as a cohort's files: named one by one, by a table, or as a BIDS folder."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from gansfer.errors import UserError
from gansfer.readers.bids import MASK_PATTERN, T1W_PATTERN, Derivative, list_bids
from gansfer.readers.files.tables import collected
from gansfer.readers.folder import IMAGE_ENDINGS, list_folder
from gansfer.readers.listed import Entry, ListedSource, Listing, check_id

_ENDINGS = (*sorted(IMAGE_ENDINGS, key=len, reverse=True), ".hdr", ".img")


def new_images(
    images: Sequence[Path],
    masks: Sequence[Path],
    table: Path | None,
    *,
    in_common_space: bool,
) -> ListedSource:
    """The reader of new images.

    Args:
        images: files; or one BIDS folder; or none, with a table.
        masks: none, or one for each file, in their order; of a BIDS folder, the derivative with its
            masks.
        table: as of `folder` cohorts (gansfer/readers/folder.py); its paths are relative to it.
        in_common_space: they are not registered.

    Raises:
        UserError: nothing is given, or things that do not go together.
    """
    if table is not None:
        if images or masks:
            raise UserError(
                f"--table {table}: names the images and masks itself; give no others beside it"
            )
        listing = list_folder(table.parent, table, None, None, whole=False)
    elif len(images) == 1 and images[0].is_dir():
        if len(masks) > 1 or (masks and not masks[0].is_dir()):
            raise UserError(
                f"--mask {masks[0]}: expected one folder, the derivative with the masks of "
                f"{images[0]}"
            )
        derivative = Derivative(masks[0], MASK_PATTERN) if masks else None
        listing = list_bids(images[0], pattern=T1W_PATTERN, masks=derivative)
    else:
        listing = _listed(images, masks)
    return ListedSource(listing, in_common_space=in_common_space)


def _listed(images: Sequence[Path], masks: Sequence[Path]) -> Listing:
    if not images:
        raise UserError("no image: give files, a BIDS folder, or --table")
    if masks and len(masks) != len(images):
        raise UserError(
            f"--mask: {len(masks)} masks for {len(images)} images; give one for each, in their "
            "order, or a table (--table) that names both"
        )
    problems: list[str] = []
    entries: dict[str, Entry] = {}
    for number, image in enumerate(images):
        with collected(problems):
            if image.is_dir():
                raise UserError(f"{image}: a folder among files; give one BIDS folder alone")
            name = _id_of(image)
            check_id(str(image), name, set(entries))
            entries[name] = Entry(name, name, image, mask=masks[number] if masks else None)
    return Listing(tuple(entries.values()), tuple(problems))


def _id_of(image: Path) -> str:
    """The file's name without its endings."""
    lower = image.name.lower()
    ending = next((one for one in _ENDINGS if lower.endswith(one)), "")
    return image.name[: len(image.name) - len(ending)]

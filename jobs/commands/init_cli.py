"""`gansfer init`: a first experiment beside the data, or a copy of one that comes along."""

from __future__ import annotations

import re
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from gansfer.errors import UserError
from jobs.starting.first_experiment import experiment_text
from jobs.starting.found_data import FoundData, find_bids, find_folder, find_oasis, kind_of
from jobs.starting.shipped import copies, purpose, shipped, with_schema, write_new


class ImagesKind(StrEnum):
    """What images an experiment can have."""

    PHANTOM = "phantom"
    OASIS = "oasis"
    BIDS = "bids"
    FOLDER = "folder"


def register(app: typer.Typer) -> None:
    """Add the command to the program."""
    app.command("init")(init_command)


def init_command(
    kind: Annotated[
        ImagesKind | None, typer.Argument(help="of images [default: what --images looks like]")
    ] = None,
    images: Annotated[Path | None, typer.Option(help="folder of the images")] = None,
    labels: Annotated[Path | None, typer.Option(help="folder of the labels")] = None,
    table: Annotated[
        Path | None, typer.Option(help="folder, oasis: the table [default: looked for]")
    ] = None,
    template: Annotated[
        Path | None, typer.Option(help="brain-extracted image that images are registered to")
    ] = None,
    protocol: Annotated[
        str | None, typer.Option(help="of the labels' numbers [default: looked up in one]")
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="the file to write [default: beside the images]")
    ] = None,
    copy: Annotated[
        str | None, typer.Option(metavar="NAME", help="copy one of --list, such as oasis")
    ] = None,
    list_all: Annotated[
        bool, typer.Option("--list", help="list the experiments and site profiles to copy")
    ] = False,
) -> None:
    """Write a commented experiment on your images, to be changed and run; overwrites nothing."""
    if list_all:
        for name, text in shipped().items():
            typer.echo(f"{name:28} {purpose(text)}")
        return
    if copy is not None or kind is ImagesKind.PHANTOM:
        if images or labels or table or template or protocol or (copy and kind):
            raise UserError(
                f"init: {'--copy' if copy else 'phantom'} takes --out and no data; leave out the "
                "other options, or give another kind"
            )
        _copy(copy or "phantom", out)
        return
    if images is None or not images.is_dir():
        raise UserError(
            f"{images}: is not a folder; give that of the images as --images"
            if images
            else "init: which images? Give their folder as --images, or the kind phantom, which "
            "needs none"
        )
    if labels is not None and not labels.is_dir():
        raise UserError(f"{labels}: is not a folder; give that of the labels as --labels")
    for option, file in (("--table", table), ("--template", template)):
        if file is not None and not file.is_file():
            raise UserError(f"{file}: is not a file; give it as {option}, or leave that out")
    kind = kind or ImagesKind(kind_of(images))
    found = _found(kind, images, labels, table, template, protocol)
    place = images.absolute()
    name = re.sub(r"[^A-Za-z0-9._-]+", "-", (out.stem if out else place.name)).lstrip("._-")
    file = out or place.parent / f"{name or 'mine'}.yaml"
    files: dict[Path, str] = {}
    if found.table:
        own = file.with_name(f"{file.stem}-people.csv")
        files[own] = found.table
        found.images["table"] = own
    files[file] = with_schema(experiment_text(name or "mine", kind.value, found, file))
    _tell(write_new(files, schema_in=file.parent), file)
    typer.echo(f"{found.n_labelled} labelled, {', '.join(found.structures)}")


def _found(
    kind: ImagesKind,
    images: Path,
    labels: Path | None,
    table: Path | None,
    template: Path | None,
    protocol: str | None,
) -> FoundData:
    if kind is ImagesKind.OASIS:
        if template or protocol:
            raise UserError("init oasis: images and labels are known; leave out the other options")
        return find_oasis(images, labels, table)
    if kind is ImagesKind.BIDS:
        if table:
            raise UserError("init bids: the table is participants.tsv; leave out --table")
        return find_bids(images, labels, template, protocol)
    return find_folder(images, labels, table, template, protocol)


def _copy(name: str, out: Path | None) -> None:
    target = out or Path(f"{name.removesuffix('.yaml')}.yaml")
    files = copies(name, target)
    experiment = not name.startswith("clusters/")
    if experiment:
        files[target] = with_schema(files[target])
    if experiment:
        _tell(write_new(files, schema_in=target.parent), target)
        return
    for path in write_new(files):
        typer.echo(f"wrote {path}")
    typer.echo(f"next: set partition and account, and name it in an experiment: cluster: {target}")


def _tell(written: list[Path], file: Path) -> None:
    for path in written:
        typer.echo(f"wrote {path}")
    typer.echo(f"next: gansfer validate {file}")

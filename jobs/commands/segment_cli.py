"""The commands of `gansfer` that use what a run has learnt: `segment` and `package`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from gansfer.errors import UserError
from jobs.commands.arguments import ConfigPath, Settings
from jobs.store.opening import open_experiment

if TYPE_CHECKING:  # a login node has no torch
    from gansfer.application.model_file import SegmenterModel

_MISTAKE = 2

CellName = Annotated[
    str | None,
    typer.Option(help="such as fold-0/labels-06/ratio-2to1 [default: to be expected best]"),
]


def register(app: typer.Typer) -> None:
    """Add the commands to the program."""
    app.command()(segment)
    app.command()(package)


def segment(
    model: Annotated[
        Path,
        typer.Argument(metavar="MODEL", help="an experiment's YAML file or folder, or x.gansfer"),
    ],
    images: Annotated[
        list[Path] | None,
        typer.Argument(metavar="IMAGE...", help="NIfTI or mgz files, or one BIDS folder"),
    ] = None,
    *,
    out: Annotated[Path, typer.Option(help="folder for the label maps, made if need be")],
    cell: CellName = None,
    mask: Annotated[
        list[Path] | None,
        typer.Option(help="a brain mask for each image; of a BIDS folder, its derivative of masks"),
    ] = None,
    table: Annotated[
        Path | None, typer.Option(help="table with id, image and mask, instead of IMAGE...")
    ] = None,
    in_common_space: Annotated[
        bool, typer.Option("--in-common-space", help="the images are there; do not register them")
    ] = False,
    settings: Settings = None,
) -> None:
    """Segment new images: label maps on their own grid, volumes, pictures to check."""
    from jobs.application.new_images import new_images
    from jobs.application.segment_images import check_images, segment_images

    chosen = _model(model, cell, settings)
    in_common_space = in_common_space or chosen.template is None
    source = new_images(images or [], mask or [], table, in_common_space=in_common_space)
    todo, notes = check_images(source, chosen, out)
    for note in notes:
        typer.echo(f"note: {note}")
    n_done = len(source.survey().subjects) - len(todo)
    if n_done:
        typer.echo(f"{n_done} done before")
    problems = []
    for step in segment_images(source, chosen, todo, out):
        if step.result is None:
            problems.append(step.problem)
            continue
        typer.echo(f"done  {step.id}: {sum(step.result.volume_mm3.values()) / 1000:.1f} ml")
        for warning in step.result.warnings:
            typer.echo(f"look at {step.id}: {warning}", err=True)
    for problem in problems:
        typer.echo(f"error: {problem}", err=True)
    n_written = len(todo) - len(problems)
    typer.echo(f"{out}: {n_written} segmented" + (f", {len(problems)} not" if problems else ""))
    if problems:
        raise typer.Exit(_MISTAKE)


def package(
    config: ConfigPath,
    out: Annotated[Path, typer.Argument(metavar="FILE", help="the model, such as x.gansfer")],
    cell: CellName = None,
    licence: Annotated[
        str | None, typer.Option(help="terms of its use [default: a note by the kind of labels]")
    ] = None,
    settings: Settings = None,
) -> None:
    """Write a cell's segmenter as one file, which `gansfer segment` uses anywhere."""
    from gansfer.application.model_file import SUFFIX
    from jobs.application.packaging import packaged_model

    if out.suffix != SUFFIX or out.is_dir():
        raise UserError(f"{out}: expected the name of a file that ends in {SUFFIX}")
    if out.exists():
        raise UserError(f"{out}: is there already; remove it, or give another name")
    made, why = packaged_model(*open_experiment(config, settings), cell, licence)
    made.write(out)
    facts = made.facts
    typer.echo(f"{out}: {facts.training.cell} ({why})")
    typer.echo(f"{', '.join(facts.structures)}; licence: {facts.licence}")


def _model(path: Path, cell: str | None, settings: Sequence[str] | None) -> SegmenterModel:
    """A packaged model, or a cell of a run."""
    from jobs.application.packaging import opened_model, packaged_model

    packaged = opened_model(path)
    if packaged is None:
        made, why = packaged_model(*open_experiment(path, settings), cell)
        typer.echo(f"cell  {made.facts.training.cell} ({why})")
        return made
    if cell is not None:
        raise UserError(f"--cell {cell}: {path} holds one cell, {packaged.facts.training.cell}")
    if settings:
        raise UserError(f"--set {settings[0]}: {path} is a packaged model, which is as it is")
    return packaged

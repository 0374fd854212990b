"""The commands of `gansfer` that use what a run has learnt: `segment` and `package`."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from gansfer.errors import UserError
from jobs.commands.arguments import ConfigPath, Settings
from jobs.store.opening import open_experiment

if TYPE_CHECKING:  # a login node has no torch
    from gansfer.application.model_file import SegmenterModel
    from jobs.application.segment_images import Step

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
    submit: Annotated[
        bool, typer.Option("--submit", help="as a SLURM array, at the experiment's site")
    ] = False,
    part: Annotated[str, typer.Option(hidden=True, help="an array's element / elements")] = "0/1",
    settings: Settings = None,
) -> None:
    """Segment new images: label maps on their own grid, volumes, pictures to check."""
    from jobs.application.array_job import submit_segmentation
    from jobs.application.new_images import new_images
    from jobs.application.segment_images import check_images, segment_images

    chosen = _model(model, cell, settings)
    in_common_space = in_common_space or chosen.template is None
    source = new_images(images or [], mask or [], table, in_common_space=in_common_space)
    share = _share(part)
    if submit:
        _check_submission(model, out)
    todo, notes = check_images(source, chosen, out, share)
    for note in notes:
        typer.echo(f"note: {note}")
    n_done = len(source.survey().subjects[share[0] :: share[1]]) - len(todo)
    if n_done:
        typer.echo(f"{n_done} done before")
    if submit and todo:
        experiment = open_experiment(model, settings)[0].experiment
        job, n_elements = submit_segmentation(experiment, chosen, source, todo, out)
        elements = "1 element" if n_elements == 1 else f"{n_elements} elements"
        typer.echo(f"job {job}: {len(todo)} images in {elements}; logs are in {out}/slurm")
        return
    _report(segment_images(source, chosen, todo, out), out)


def _report(steps: Iterable[Step], out: Path) -> None:
    """Print how each image ended; exit code 2 where one was not segmented."""
    problems, n_written = [], 0
    for step in steps:
        if step.result is None:
            problems.append(step.problem)
            continue
        n_written += 1
        typer.echo(f"done  {step.id}: {sum(step.result.volume_mm3.values()) / 1000:.1f} ml")
        for warning in step.result.warnings:
            typer.echo(f"look at {step.id}: {warning}", err=True)
    for problem in problems:
        typer.echo(f"error: {problem}", err=True)
    typer.echo(f"{out}: {n_written} segmented" + (f", {len(problems)} not" if problems else ""))
    if problems:
        raise typer.Exit(_MISTAKE)


def _share(part: str) -> tuple[int, int]:
    """The share of an array's element: `2/5` is the third of five."""
    found = re.fullmatch(r"(\d{1,9})/(\d{1,9})", part)
    if found is None or not int(found[1]) < int(found[2]):
        raise UserError(f"--part {part}: expected K/N, with K from 0 to N - 1")
    return int(found[1]), int(found[2])


def _check_submission(model: Path, out: Path) -> None:
    """Raise where a submission cannot be, before images are read for it."""
    from jobs.application.array_job import check_name
    from jobs.application.packaging import opened_model

    check_name(out)
    if opened_model(model) is not None:
        raise UserError(
            f"--submit: {model} knows no cluster; give the experiment, whose site profile does"
        )


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

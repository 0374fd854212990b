"""The commands of `gansfer` that hand on what a run has made: `export` and `pictures`."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from gansfer.errors import UserError
from jobs.commands.arguments import ConfigPath
from jobs.store.opening import open_experiment


class Format(StrEnum):
    """What `gansfer export` can write."""

    NNUNET = "nnunet"
    NIFTI = "nifti"
    PNG = "png"


def register(app: typer.Typer) -> None:
    """Add the commands to the program."""
    app.command()(export)
    app.command()(pictures)


def export(
    config: ConfigPath,
    cell: Annotated[
        str,
        typer.Option(help="such as fold-0/labels-06; with --predictions labels-06/ratio-2to1"),
    ],
    out: Annotated[Path, typer.Option(help="folder to write into; for nnunet, nnUNet_raw")],
    format: Annotated[Format, typer.Option(help="layout of the files")] = Format.NIFTI,
    phase: Annotated[
        list[int] | None, typer.Option(min=1, max=3, help="GAN phases [default: 2 and 3]")
    ] = None,
    limit: Annotated[
        int | None, typer.Option(min=1, help="synthetic slices of each GAN and phase at most")
    ] = None,
    dataset_id: Annotated[
        int, typer.Option(min=1, max=999, help="nnunet: the dataset's number")
    ] = 501,
    predictions: Annotated[
        bool,
        typer.Option("--predictions", help="instead, NIfTI label maps of the segmented images"),
    ] = False,
) -> None:
    """Write a cell's real and synthetic labelled slices, or its predictions, for use elsewhere."""
    if predictions:
        if phase or limit or format is not Format.NIFTI:
            raise UserError(
                "--predictions: are NIfTI, of no phase and no GAN; leave out --format, --phase and "
                "--limit"
            )
        _export_predictions(config, cell, out)
        return
    from jobs.commands.export import cell_to_export

    plan, storage = open_experiment(config)
    chosen = cell_to_export(plan, storage, cell, phase or (2, 3), limit)
    if format is Format.NNUNET:
        from gansfer.export.nnunet import write_nnunet

        written = write_nnunet(out, chosen, dataset_id)
    else:
        from gansfer.export.stacks import write_nifti, write_png

        written = (write_nifti if format is Format.NIFTI else write_png)(out, chosen)
    n_synthetic = sum(len(part.slices) for part in chosen.synthetic)
    typer.echo(f"{written}: {len(chosen.training)} subjects, {n_synthetic} synthetic slices")
    if format is Format.NNUNET:
        typer.echo(
            "after nnUNetv2_plan_and_preprocess, copy splits_final.json into "
            f"nnUNet_preprocessed/{written.name}"
        )


def _export_predictions(config: Path, cell: str, out: Path) -> None:
    from jobs.application.export_predictions import export_predictions

    written, n_maps = export_predictions(*open_experiment(config), cell, out)
    typer.echo(f"{written}: {n_maps} label maps, in the common space")


def pictures(config: ConfigPath) -> None:
    """Draw and measure the synthetic slices again, for every cell that has them."""
    from gansfer.progress import Silent
    from jobs.stages.describe import describe_again

    plan, storage = open_experiment(config)
    for task in describe_again(plan, storage, Silent()):
        typer.echo(f"drawn   {task.id}")

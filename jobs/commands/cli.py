"""The command `gansfer`. A user's mistake ends as one line on stderr and exit code 2."""

from __future__ import annotations

import logging
import os
import sys
from typing import Annotated

import typer

import gansfer
from gansfer.errors import UserError, clear_storage_errors, not_permitted
from jobs.commands import (
    cluster_cli,
    experiment_cli,
    init_cli,
    local_cli,
    logs_cli,
    product_cli,
    segment_cli,
)
from jobs.worker.run import MISTAKE

app = typer.Typer(
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="GANsfer Learning: segment medical images with almost no labels, as a batch job.",
)
for _commands in (
    init_cli,
    local_cli,
    experiment_cli,
    cluster_cli,
    logs_cli,
    product_cli,
    segment_cli,
):
    _commands.register(app)
# What a login node may lack; pyproject.toml's extra `run` has all of them.
_SCIENTIFIC = {
    *("h5py", "jinja2", "matplotlib", "nibabel", "numpy", "pandas", "PIL", "safetensors", "scipy"),
    *("SimpleITK", "skimage", "sklearn", "threadpoolctl", "torch"),
}


def _print_version(asked: bool) -> None:
    if asked:
        typer.echo(f"gansfer {gansfer.__version__}")
        raise typer.Exit


@app.callback()
def options(
    version: Annotated[
        bool,
        typer.Option("--version", callback=_print_version, is_eager=True, help="print the version"),
    ] = False,
) -> None:
    """What stands before the command."""


def main() -> None:
    """Entry point: errors of the user's making become one line each."""
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s %(message)s")
    # Figures are files. A notebook's cells and terminals name a backend of their own, and what we
    # start inherits it: Matplotlib would refuse to load where that is not installed.
    os.environ["MPLBACKEND"] = "Agg"
    try:
        with clear_storage_errors():
            app()
    except UserError as error:
        for line in str(error).splitlines():
            typer.echo(f"error: {line}", err=True)
        sys.exit(MISTAKE)
    except PermissionError as error:
        typer.echo(f"error: {not_permitted(error)}", err=True)
        sys.exit(MISTAKE)
    except ModuleNotFoundError as error:
        package = (error.name or "").split(".")[0]
        if package not in _SCIENTIFIC:
            raise
        typer.echo(
            f"error: {package} is not installed here, and this command needs it; install it with "
            "pip install '.[run]', or run the command in the image",
            err=True,
        )
        sys.exit(MISTAKE)


if __name__ == "__main__":
    main()

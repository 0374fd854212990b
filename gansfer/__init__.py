"""gansfer: GANsfer Learning (Bowles et al. 2018) for medical image segmentation with few labels."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    from jobs.notebook.opened_run import Device, Run

__version__ = "0.2.0"


def open(path: str | Path, *, device: Device = "auto") -> Run:
    """A run, to be worked with in Python: its generators, segmenters, metrics and cohort.

    Args:
        path: the experiment's YAML file, or its run folder.
        device: where its networks compute here: "cpu", "cuda", or "auto" for CUDA where there is
            any; in place of the experiment's `run.device`.

    Raises:
        UserError: there is no such experiment, a setting is wrong, or a package is not installed.
    """
    # The one import of jobs from here, made when it is called: `import gansfer` stays light.
    try:
        from jobs.notebook.opened_run import open_run
    except ModuleNotFoundError as error:
        from gansfer.errors import UserError

        raise UserError(
            f"gansfer.open: {error.name} is not installed here; install it with "
            "pip install '.[run]'"
        ) from error
    return open_run(path, device)
